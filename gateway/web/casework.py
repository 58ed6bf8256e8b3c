"""What support staff do to tickets, for pages and API. Each deed is one transaction with its line in the ticket."""

from __future__ import annotations

import uuid

from gateway.errors import Refused
from gateway.incidents import TicketEvent
from gateway.ledger import audit, casebook, outbox, workspace
from gateway.ledger.database import Record, add_new, reading, writing
from gateway.ledger.tables import messages
from gateway.model import Message, Outcome, TicketPriority, TicketStatus
from gateway.web.deps import WebDeps
from gateway.web.session import Who
from gateway.web.words import DAY_MS

MAX_REPLY = 1_000  # characters; longer ones are no SMS (ten segments)
ANSWER_WITHIN_MS = DAY_MS  # a reply to what the customer wrote in the last day is an answer, not a new approach


def change(
    deps: WebDeps,
    who: Who,
    number: int,
    *,
    status: TicketStatus | None = None,
    priority: TicketPriority | None = None,
    assignee: str | None = None,
    outcome: Outcome | None = None,
    note: str = "",
) -> None:
    """Set what is given; `assignee` "" gives the ticket to nobody.

    Raises:
        NotFound: `ticket`.
        Refused: `unknown_assignee`.
    """
    ticket, now_ms, engine = find(deps, number), deps.now_ms(), deps.engine
    if assignee is not None and assignee != (ticket.assignee or ""):
        _check_assignee(deps, assignee)
        casebook.assign(engine, ticket.ticket_id, assignee or None, author=who.login, now_ms=now_ms)
    if priority is not None and priority != ticket.priority:
        casebook.set_priority(engine, ticket.ticket_id, priority, author=who.login, now_ms=now_ms)
    if outcome is not None and outcome != ticket.outcome:
        casebook.record_outcome(engine, ticket.ticket_id, outcome, author=who.login, now_ms=now_ms, remark=note)
    elif status is not None and status != ticket.status:
        casebook.set_status(engine, ticket.ticket_id, status, author=who.login, now_ms=now_ms)
    _done(deps, ticket)


def comment(deps: WebDeps, who: Who, number: int, *, text: str) -> None:
    """Add an internal note. Raises NotFound (`ticket`), Refused (`empty_comment`)."""
    ticket = find(deps, number)
    casebook.comment(deps.engine, ticket.ticket_id, author=who.login, text=text.strip(), now_ms=deps.now_ms())
    _done(deps, ticket)


def reply(deps: WebDeps, who: Who, number: int, *, contact_id: str, text: str) -> str:
    """Put a message to the customer into the outbox; its id. Policy decides at the moment of sending.

    Raises:
        NotFound: `ticket`.
        Refused: `empty_message`, `too_long`, `not_their_ticket`, `opted_out`.
    """
    ticket, text, now_ms = find(deps, number), text.strip(), deps.now_ms()
    if not text:
        raise Refused("empty_message", "a message has text")
    if len(text) > MAX_REPLY:
        raise Refused("too_long", f"{len(text)} characters, limit {MAX_REPLY}")
    with reading(deps.engine) as connection:
        contacts = workspace.contacts_of(connection, ticket.customer_id or "")
        said = workspace.thread(connection, contact_id=contact_id)
    contact = next((row for row in contacts if row.contact_id == contact_id), None)
    if contact is None:
        raise Refused("not_their_ticket", "this contact does not belong to the ticket's customer")
    if contact.opted_out:
        raise Refused("opted_out", "this contact said STOP; only their own START opens the way again")
    asked = [m.message_id for m in said if m.direction == "in" and m.created_ms > now_ms - ANSWER_WITHIN_MS]
    message = Message(
        message_id=f"msg_{uuid.uuid4().hex}",
        key=f"staff:{uuid.uuid4().hex}",
        contact_id=contact_id,
        ticket_id=ticket.ticket_id,
        channel=contact.channel,
        text=text,
        language=contact.language,
        urgent=False,
        created_ms=now_ms,
        expires_ms=now_ms + 3 * DAY_MS,
        answers=asked[-1] if asked else None,
    )
    event = TicketEvent(
        key=f"message:{message.message_id}", ticket_id=ticket.ticket_id, at_ms=now_ms, kind="message", author=who.login,
        text="",
    )  # fmt: skip
    with writing(deps.engine) as connection:
        add_new(connection, messages, [outbox.message_row(message)])
        casebook.add_events(connection, [event])
        audit.record(
            connection, at_ms=now_ms, actor=who.login, action="ticket.reply", subject=ticket.ticket_id,
            detail={"message": message.message_id},
        )  # fmt: skip
    _done(deps, ticket)
    return message.message_id


def find(deps: WebDeps, number: int) -> Record:
    """A ticket by the number people say. Raises NotFound (`ticket`)."""
    with reading(deps.engine) as connection:
        return workspace.ticket(connection, number)


def _check_assignee(deps: WebDeps, assignee: str) -> None:
    with reading(deps.engine) as connection:
        if assignee and assignee not in workspace.logins(connection):
            raise Refused("unknown_assignee", f"{assignee} is no agent or admin")


def _done(deps: WebDeps, ticket: Record) -> None:
    """A person has looked: the flag goes down, and open pages hear of it."""
    if ticket.attention:
        casebook.clear_attention(deps.engine, ticket.ticket_id, now_ms=deps.now_ms())
    deps.hub.publish("ticket", str(ticket.number))
