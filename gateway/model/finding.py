"""Episodes, forecasts, alerts, incidents, tickets: the conclusions of the gateway, as values. Times are event ms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateway.model.telemetry import CustomerId, DeviceId

Severity: TypeAlias = Literal["info", "warning", "critical"]
AlertState: TypeAlias = Literal["pending", "firing", "resolved"]
IncidentState: TypeAlias = Literal["open", "resolved", "closed"]
TicketStatus: TypeAlias = Literal["new", "open", "waiting", "solved", "closed"]
TicketPriority: TypeAlias = Literal["low", "normal", "high", "urgent"]
Outcome: TypeAlias = Literal["confirmed", "false_alarm", "self_fixed", "no_fault_found", "duplicate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A run of anomalies, with onset and end. (device, metric, detector, onset_ms) names it for ever."""

    device_id: DeviceId
    metric: str  # a metric's name; "" for a verdict on the whole device; "log:<template id>" for logs
    detector: str  # which detector, as `level`, `drift`, `stuck`, `silence`, `variance`, `cohort`, `log_burst`
    onset_ms: int
    end_ms: int | None = None  # None while it lasts
    peak: float = 1.0  # highest score; 1.0 is the threshold
    expected: float | None = None  # the normal level at onset, in the metric's unit
    observed: float | None = None  # the level now (or at the peak), in the metric's unit
    reason: str = ""  # one plain sentence: "compressor_current_amperes climbed 18 % in 9 days"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When a limit will be reached, or the probability of failure; unknown is no Forecast, never a guess."""

    device_id: DeviceId
    name: str  # as `battery`; rules say `forecast.battery_days_left`, `forecast.battery_risk_ratio`
    made_ms: int
    median_ms: int | None = None  # event time at which the limit is reached
    low_ms: int | None = None  # 90 % interval
    high_ms: int | None = None
    limit: float | None = None  # in the metric's unit
    metric: str = ""
    risk_ratio: float | None = None  # probability of failure within `horizon_ms`
    horizon_ms: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One transition of one rule on one device."""

    rule: str
    device_id: DeviceId
    state: AlertState
    at_ms: int  # when it entered this state
    since_ms: int  # when the condition first held
    severity: Severity = "warning"
    value: float | None = None  # of the rule's leading term
    cause: str = ""  # alerts of one device and cause share an incident; the rule's name where it gives none


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a ticket shows: enough for a person to decide without looking elsewhere. JSON-ready."""

    facts: tuple[tuple[str, float | str], ...] = ()  # last values, with their units in the names
    episodes: tuple[Episode, ...] = ()
    forecasts: tuple[Forecast, ...] = ()
    charts: tuple[str, ...] = ()  # metrics to draw
    log_tail: tuple[tuple[int, str, str], ...] = ()  # (t_ms, severity, text)
    firmware: str = ""
    why: str = ""  # explanation in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Alerts folded together because they share a cause."""

    incident_id: str
    device_id: DeviceId
    cause: str
    state: IncidentState
    severity: Severity
    opened_ms: int
    updated_ms: int
    resolved_ms: int | None = None
    reopened: int = 0
    rules: tuple[str, ...] = ()  # every rule that ever fired in it
    parent_id: str | None = None
    firing: tuple[str, ...] = ()  # rules firing now
    quiet_ms: int | None = None  # since when none fires; None while one does
    muted: str = ""  # why it makes no ticket and no message: silence, maintenance, inhibited, storm, shared_cause
    version: int = 0  # counts writes, so that two writers cannot undo each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Work for a person about an incident."""

    ticket_id: str
    incident_id: str
    device_id: DeviceId
    customer_id: CustomerId | None
    title: str
    status: TicketStatus
    priority: TicketPriority
    opened_ms: int
    updated_ms: int
    assignee: str | None = None
    outcome: Outcome | None = None
    evidence: Evidence = Evidence()
    number: int = 0  # what people say; the ledger gives it when the ticket is written
