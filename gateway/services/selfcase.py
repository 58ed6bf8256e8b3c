"""Incidents about the gateway itself, through the same casebook: one open incident for each cause."""

from __future__ import annotations

from sqlalchemy import Engine

from gateway.errors import TryLater
from gateway.incidents import SELF, Fleet, View
from gateway.ledger import casebook, caseview
from gateway.model import Alert, AlertState, DeviceId, Evidence, Severity
from gateway.outreach import Texts
from gateway.services.plan import Casework, plan_turn

NO_FLEET = Casework(rules={}, fleet=Fleet({}, {}), device=lambda _device: None, texts=Texts({}))
TRIES = 5  # another writer may be faster; five times in a row it is not


def raise_self(
    engine: Engine, rule: str, *, title: str, why: str, now_ms: int, severity: Severity = "critical"
) -> None:
    """Open an incident about ourselves with its ticket; one that is open already stays as it is."""
    _transition(engine, rule, "firing", title=title, why=why, now_ms=now_ms, severity=severity)


def recover_self(engine: Engine, rule: str, *, now_ms: int) -> None:
    """What we raised under `rule` is over; the incident resolves after its quiet time."""
    _transition(engine, rule, "resolved", title="", why="", now_ms=now_ms, severity="info")


def _transition(
    engine: Engine, rule: str, state: AlertState, *, title: str, why: str, now_ms: int, severity: Severity
) -> None:
    alert = Alert(
        rule=rule, device_id=DeviceId(SELF), state=state, at_ms=now_ms, since_ms=now_ms, severity=severity, cause=rule
    )
    for attempt in range(TRIES):
        view = caseview.load_view(engine, now_ms=now_ms)
        ours = View(
            open=tuple(i for i in view.open if i.device_id == SELF),
            recent=tuple(i for i in view.recent if i.device_id == SELF),
            tickets=view.tickets,
        )
        outcome = plan_turn(
            [alert],
            ours,
            NO_FLEET,
            now_ms=now_ms,
            evidence_of=lambda _device, _rule: Evidence(why=why),
            title_of=lambda _device, _rule: title,
        )
        try:
            casebook.commit_turn(engine, outcome)
            break
        except TryLater:
            if attempt == TRIES - 1:
                raise
