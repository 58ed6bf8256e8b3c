"""Incoming messages: kept once, threaded to the ticket they answer, and what they change, all in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, insert, literal, select

from gateway.ledger.casebook import DONE, change_ticket, label_outcome, note, ticket_row
from gateway.ledger.database import add_new
from gateway.ledger.outbox import message_row
from gateway.ledger.people import note_consent
from gateway.ledger.tables import contacts, devices, messages, tickets
from gateway.model import Message, Outcome, TicketPriority, TicketStatus

THREAD_MS = 30 * 86_400_000  # an answer to something older than this stands alone (judgement)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """What a contact's message most likely answers: our last one with a ticket, else its customer's open ticket."""

    ticket_id: str | None = None
    template: str = ""
    device_type: str = ""
    why: str = ""  # the ticket's evidence in words
    title: str = ""
    person_wrote: bool = False  # whether our last word on it was a person's
    earlier: tuple[Mapping[str, Any], ...] = ()  # understandings of the contact's earlier messages on it, oldest first


def find_thread(connection: Connection, contact_id: str, *, now_ms: int) -> Thread:
    """The thread a message of this contact belongs to now."""
    query = (
        select(messages.c.template, tickets, devices.c.type)
        .join(tickets, tickets.c.ticket_id == messages.c.ticket_id)
        .outerjoin(devices, devices.c.device_id == tickets.c.device_id)
        .where(messages.c.contact_id == contact_id, messages.c.direction == "out", messages.c.answers.is_(None))
        .where(messages.c.state.in_(("sending", "sent", "delivered", "unknown")))
        .where(messages.c.created_ms > now_ms - THREAD_MS)
        .order_by(messages.c.created_ms.desc(), messages.c.message_id)
        .limit(1)
    )
    row = connection.execute(query).one_or_none() or connection.execute(_open_ticket(contact_id)).one_or_none()
    if row is None:
        return Thread()
    said = (
        select(messages.c.understanding)
        .where(messages.c.ticket_id == row.ticket_id, messages.c.contact_id == contact_id, messages.c.direction == "in")
        .order_by(messages.c.created_ms, messages.c.message_id)
    )
    last = select(messages.c.template).where(
        messages.c.ticket_id == row.ticket_id, messages.c.contact_id == contact_id, messages.c.direction == "out",
        messages.c.state.not_in(("skipped", "failed")),
    )  # fmt: skip
    newest = connection.execute(last.order_by(messages.c.created_ms.desc(), messages.c.message_id).limit(1)).scalar()
    return Thread(
        person_wrote=newest == "",
        ticket_id=row.ticket_id,
        template=row.template,
        device_type=row.type or "",
        why=row.evidence.get("why", ""),
        title=row.title,
        earlier=tuple(u for u in connection.execute(said).scalars() if u),
    )


def _open_ticket(contact_id: str) -> Select[*tuple[Any, ...]]:
    """The ticket of a contact's customer that changed last of those that are open, as a thread without a template."""
    owner = select(contacts.c.customer_id).where(contacts.c.contact_id == contact_id).scalar_subquery()
    return (
        select(literal("").label("template"), tickets, devices.c.type)
        .outerjoin(devices, devices.c.device_id == tickets.c.device_id)
        .where(tickets.c.customer_id == owner, tickets.c.status.not_in(DONE))
        .order_by(tickets.c.updated_ms.desc(), tickets.c.number.desc())
        .limit(1)
    )


def keep_reply(
    connection: Connection,
    *,
    message_id: str,
    contact_id: str,
    channel: str,
    text: str,
    provider_id: str,
    ticket_id: str | None,
    understanding: Mapping[str, object],
    now_ms: int,
) -> None:
    """Keep an incoming message, and show it on its ticket's time line."""
    row = {
        "message_id": message_id,
        "key": message_id,
        "direction": "in",
        "contact_id": contact_id,
        "ticket_id": ticket_id,
        "channel": channel,
        "text": text,
        "language": understanding.get("language", ""),
        "state": "received",
        "provider_id": provider_id,
        "created_ms": now_ms,
        "due_ms": now_ms,
        "expires_ms": now_ms,
        "understanding": dict(understanding),
    }
    connection.execute(insert(messages), row)
    if ticket_id is not None:
        ticket = ticket_row(connection, ticket_id)
        note(connection, ticket, "reply", author=contact_id, text=text, now_ms=now_ms, key=f"{message_id}:reply")


def keep_consent(connection: Connection, contact_id: str, kind: str, *, text: str, now_ms: int) -> None:
    """Record an opt-in or opt-out that came by message."""
    match kind:
        case "opt_in" | "opt_out":
            note_consent(connection, contact_id, kind, source="reply", wording=text[:200], at_ms=now_ms)
        case _:
            pass


def change(
    connection: Connection,
    ticket_id: str,
    *,
    author: str,
    now_ms: int,
    status: TicketStatus | None = None,
    priority: TicketPriority | None = None,
    outcome: Outcome | None = None,
    attention: str = "",
    brief: str = "",
) -> None:
    """Change a ticket as a reply asks for; `attention` calls a person and `brief` tells them why.

    One that is solved does not wait for its customer again: nothing would ever solve it a second time.
    """
    ticket = ticket_row(connection, ticket_id)
    kept = status == "waiting" and ticket.status in DONE
    values = {"status": None if kept else status, "priority": priority, "attention": attention or None}
    if wanted := {name: value for name, value in values.items() if value is not None}:
        change_ticket(connection, ticket, wanted, now_ms)
    if outcome is not None and ticket.outcome is None:
        label_outcome(connection, ticket, outcome, author=author, now_ms=now_ms)
    if attention:
        note(connection, ticket, "attention", author="system", text=brief, now_ms=now_ms)


def remark(connection: Connection, message_id: str, text: str, *, key: str, now_ms: int) -> None:
    """Say on its ticket's time line how a message fares; one without ticket has nowhere to say it."""
    found = select(messages.c.ticket_id).where(messages.c.message_id == message_id)
    if (ticket_id := connection.execute(found).scalar()) is not None:
        ticket = ticket_row(connection, ticket_id)
        note(connection, ticket, "delivery", author="system", text=text, now_ms=now_ms, key=key)


def queue_answer(connection: Connection, message: Message) -> None:
    """Put an answer into the outbox."""
    add_new(connection, messages, [message_row(message)])
