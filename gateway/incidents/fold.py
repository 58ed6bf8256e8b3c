"""Folding alerts into incidents: one open incident per device and cause, resolved only after verified recovery.

    (none) -fires-> open -all its alerts resolved-> open, quiet -quiet for a time-> resolved
                    open, quiet -fires-> open          resolved -fires within `reopen_ms`-> open, reopened + 1

Pure and idempotent: folding the same alerts into the result changes nothing. Old news (an alert that fired before the
incident went quiet) is ignored, so late data opens nothing that is over; it only moves the start of an open incident.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.incidents.ids import derive
from gateway.incidents.mute import set_mutes
from gateway.incidents.outcome import AlertChange
from gateway.incidents.shared import find_parents
from gateway.incidents.view import Fleet, Key, RuleInfo, View, worst
from gateway.model import Alert, Incident

MINUTE_MS, HOUR_MS = 60_000, 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How patient folding is. Defaults: judgement, to be replaced by what an operator's outcomes show."""

    quiet_ms: int = 15 * MINUTE_MS  # of quiet, beyond the rules' own `keep_firing_for`, before recovery is believed
    reopen_ms: int = 24 * HOUR_MS  # a resolved incident whose trouble returns within this goes on
    flap_doublings: int = 4  # each reopening doubles the quiet asked for, this many times at most
    tickets_per_hour: int = 60  # storm breaker: what one team can read; critical ones pass


def fold(
    alerts: Sequence[Alert],
    view: View,
    *,
    rules: Mapping[str, RuleInfo],
    fleet: Fleet,
    now_ms: int,
    timing: Timing | None = None,
) -> tuple[tuple[Incident, ...], tuple[AlertChange, ...]]:
    """Incidents as they shall be (new and changed ones only, by id), and the alerts that belong to them."""
    timing = timing or Timing()
    before: dict[Key, Incident] = {(i.device_id, i.cause): i for i in _newest_last((*view.recent, *view.open))}
    after = dict(before)
    changes: list[AlertChange] = []
    for alert in sorted(alerts, key=lambda a: (a.at_ms, a.device_id, a.rule, a.state, a.cause, a.severity)):
        key: Key = (alert.device_id, alert.cause or alert.rule)
        incident = _apply(after.get(key), alert, timing)
        if incident is not None and incident != after.get(key):
            after[key] = incident
            changes.append(AlertChange(alert=alert, incident_id=incident.incident_id))
        elif alert.state == "resolved":  # also where a person closed its incident before
            changes.append(AlertChange(alert=alert, incident_id=incident.incident_id if incident else ""))
    for key, incident in after.items():
        after[key] = _resolve_if_quiet(incident, now_ms, timing)
    after |= find_parents(after, fleet=fleet, now_ms=now_ms)
    after = set_mutes(after, view, rules=rules, fleet=fleet, now_ms=now_ms, tickets_per_hour=timing.tickets_per_hour)
    changed = [_written(i, before.get(key), now_ms) for key, i in after.items() if i != before.get(key)]
    return tuple(sorted(changed, key=lambda i: i.incident_id)), tuple(changes)


def _newest_last(incidents: Iterable[Incident]) -> list[Incident]:
    return sorted(incidents, key=lambda i: (i.state == "open", i.opened_ms, i.incident_id))


def _apply(incident: Incident | None, alert: Alert, timing: Timing) -> Incident | None:
    """The incident after one alert; an equal one where the alert changes nothing."""
    match alert.state:
        case "firing":
            return _fire(incident, alert, timing)
        case "resolved" if incident is not None and incident.state == "open" and alert.rule in incident.firing:
            firing = tuple(rule for rule in incident.firing if rule != alert.rule)
            return replace(incident, firing=firing, quiet_ms=None if firing else alert.at_ms)
        case _:  # pending is not yet an alert to anyone
            return incident


def _fire(incident: Incident | None, alert: Alert, timing: Timing) -> Incident:
    if incident is None or _is_over(incident, alert, timing):
        return _opened(alert)
    over_since = incident.quiet_ms if incident.state == "open" else _ended_ms(incident)
    if over_since is not None and alert.at_ms <= over_since:
        return incident  # old news
    return replace(
        incident,
        state="open",
        severity=worst((incident.severity, alert.severity)),
        opened_ms=min(incident.opened_ms, alert.at_ms),
        resolved_ms=None,
        quiet_ms=None,
        reopened=incident.reopened + (incident.state != "open"),
        parent_id=incident.parent_id if incident.state == "open" else None,
        rules=_with(incident.rules, alert.rule),
        firing=_with(incident.firing, alert.rule),
    )


def _is_over(incident: Incident, alert: Alert, timing: Timing) -> bool:
    """Whether the trouble that returns is a new one: a person closed the old one, or it is long ago."""
    if incident.state == "open":
        return False
    return alert.at_ms > _ended_ms(incident) + (0 if incident.state == "closed" else timing.reopen_ms)


def _ended_ms(incident: Incident) -> int:
    return incident.resolved_ms or incident.updated_ms


def _opened(alert: Alert) -> Incident:
    cause = alert.cause or alert.rule
    return Incident(
        incident_id=derive("inc", alert.device_id, cause, alert.at_ms),
        device_id=alert.device_id,
        cause=cause,
        state="open",
        severity=alert.severity,
        opened_ms=alert.at_ms,
        updated_ms=alert.at_ms,
        rules=(alert.rule,),
        firing=(alert.rule,),
    )


def _resolve_if_quiet(incident: Incident, now_ms: int, timing: Timing) -> Incident:
    if incident.state != "open" or incident.quiet_ms is None:
        return incident
    patience = timing.quiet_ms * 2 ** min(incident.reopened, timing.flap_doublings)
    if now_ms - incident.quiet_ms < patience:
        return incident
    return replace(incident, state="resolved", resolved_ms=incident.quiet_ms, muted="")


def _written(incident: Incident, before: Incident | None, now_ms: int) -> Incident:
    version = 1 if before is None or before.incident_id != incident.incident_id else before.version + 1
    return replace(incident, updated_ms=max(now_ms, incident.updated_ms), version=version)


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return names if name in names else tuple(sorted((*names, name)))
