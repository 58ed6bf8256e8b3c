"""The casebook as a ticket desk sees it: add, comment, solve, each harmless when repeated."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine, select

from gateway.errors import NotFound
from gateway.incidents import TicketEvent, TurnOutcome
from gateway.ledger import casebook
from gateway.ledger.database import reading
from gateway.ledger.tables import tickets
from gateway.model import Ticket


class LedgerBook:
    """Tickets of one ledger; `now_ms` tells the time of comments."""

    def __init__(self, engine: Engine, now_ms: Callable[[], int]) -> None:
        self.engine = engine
        self.now_ms = now_ms

    def add(self, ticket: Ticket) -> None:
        """Write the ticket unless it is there. Its incident must be."""
        if self._status(ticket.ticket_id) is None:
            casebook.commit_turn(self.engine, TurnOutcome(now_ms=self.now_ms(), tickets=(ticket,)))

    def comment(self, ticket_id: str, *, key: str, author: str, text: str) -> None:
        """Add a comment unless one of that key is there. Raises NotFound (`ticket`)."""
        casebook.comment(self.engine, ticket_id, author=author, text=text, now_ms=self.now_ms(), key=key)

    def solve(self, ticket_id: str, *, reason: str) -> None:
        """Solve the ticket unless it is solved or closed. Raises NotFound (`ticket`)."""
        status, now_ms = self._status(ticket_id), self.now_ms()
        if status is None:
            raise NotFound("ticket", ticket_id)
        if status not in casebook.DONE:
            event = TicketEvent(
                key=f"{ticket_id}:solved:{now_ms}", ticket_id=ticket_id, at_ms=now_ms, kind="status", text=reason
            )
            outcome = TurnOutcome(now_ms=now_ms, statuses=((ticket_id, "solved"),), events=(event,))
            casebook.commit_turn(self.engine, outcome)

    def _status(self, ticket_id: str) -> str | None:
        with reading(self.engine) as connection:
            return connection.execute(select(tickets.c.status).where(tickets.c.ticket_id == ticket_id)).scalar()
