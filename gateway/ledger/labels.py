"""What tickets turned out to be, as labels to learn from."""

from __future__ import annotations

from sqlalchemy import Engine, func, select

from gateway.ledger.database import reading
from gateway.ledger.tables import incidents, outcomes
from gateway.model import Label


def told_after(engine: Engine, number: int) -> tuple[Label, ...]:
    """The outcomes told since that one, in order."""
    held = outcomes.join(incidents, incidents.c.incident_id == outcomes.c.incident_id)
    earlier = outcomes.alias()
    same = earlier.c.incident_id == outcomes.c.incident_id, earlier.c.outcome_id < outcomes.c.outcome_id
    before = select(func.max(earlier.c.at_ms)).where(*same, earlier.c.outcome == "confirmed").scalar_subquery()
    names = outcomes.c.outcome, incidents.c.cause, before
    query = select(outcomes.c.outcome_id, outcomes.c.device_id, incidents.c.opened_ms, outcomes.c.at_ms, *names)
    query = query.select_from(held).where(outcomes.c.outcome_id > number).order_by(outcomes.c.outcome_id)
    with reading(engine) as connection:
        return tuple(
            Label(
                number=row[0], device_id=row[1], opened_ms=row[2], at_ms=row[3], outcome=row[4], cause=row[5],
                before_ms=row[6],
            )
            for row in connection.execute(query)
        )  # fmt: skip
