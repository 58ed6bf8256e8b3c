"""What tickets turned out to be, as labels to learn from."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, select

from gateway.ledger.database import reading
from gateway.ledger.tables import incidents, outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a person found of one incident."""

    number: int  # of the outcome: 1, 2, 3, ... in order
    device_id: str
    opened_ms: int  # when the incident was opened
    at_ms: int  # when the outcome was told
    outcome: str  # see `model.Outcome`
    cause: str  # of the incident


def told_after(engine: Engine, number: int) -> tuple[Label, ...]:
    """The outcomes told since that one, in order."""
    held = outcomes.join(incidents, incidents.c.incident_id == outcomes.c.incident_id)
    names = outcomes.c.outcome, incidents.c.cause
    query = select(outcomes.c.outcome_id, outcomes.c.device_id, incidents.c.opened_ms, outcomes.c.at_ms, *names)
    query = query.select_from(held).where(outcomes.c.outcome_id > number).order_by(outcomes.c.outcome_id)
    with reading(engine) as connection:
        return tuple(
            Label(number=row[0], device_id=row[1], opened_ms=row[2], at_ms=row[3], outcome=row[4], cause=row[5])
            for row in connection.execute(query)
        )
