"""The desk that comes with the gateway: tickets live in the ledger, where the turn has written them already."""

from __future__ import annotations

from typing import Protocol

from gateway.model import Ticket


class TicketBook(Protocol):
    """What the desk needs of the ledger; `gateway.app` joins the two."""

    def add(self, ticket: Ticket) -> None:
        """Write the ticket unless it is there."""
        ...

    def comment(self, ticket_id: str, *, key: str, author: str, text: str) -> None:
        """Add a comment unless one of that key is there."""
        ...

    def solve(self, ticket_id: str, *, reason: str) -> None:
        """Solve the ticket unless it is solved or closed."""
        ...


class BuiltinDesk:
    """A `TicketDesk` over the casebook. Its ids are ours."""

    name = "builtin"

    def __init__(self, book: TicketBook) -> None:
        self.book = book

    def open(self, ticket: Ticket) -> str:
        """The ticket's id; it is added if it is not there."""
        self.book.add(ticket)
        return ticket.ticket_id

    def comment(self, ticket_id: str, *, comment_id: str, author: str, text: str) -> None:
        """Add a comment once."""
        self.book.comment(ticket_id, key=comment_id, author=author, text=text)

    def close(self, ticket_id: str, *, reason: str) -> None:
        """Solve the ticket; one that is solved stays so."""
        self.book.solve(ticket_id, reason=reason)
