"""What tickets turned out to be, as labels to learn from."""

from __future__ import annotations

from sqlalchemy import Engine, select

from gateway.ledger.database import reading
from gateway.ledger.tables import outcomes


def confirmed_after(engine: Engine, outcome_id: int) -> tuple[tuple[str, int, int], ...]:
    """(device id, outcome number, t_ms) of faults confirmed since that outcome, in order."""
    wanted = outcomes.c.outcome_id > outcome_id, outcomes.c.outcome == "confirmed"
    query = select(outcomes.c.device_id, outcomes.c.outcome_id, outcomes.c.at_ms).where(*wanted)
    with reading(engine) as connection:
        found = connection.execute(query.order_by(outcomes.c.outcome_id))
        return tuple((row.device_id, row.outcome_id, row.at_ms) for row in found)
