"""What the console and the API read of tickets, customers, phones and the gateway itself. Every list has a limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from gateway.errors import NotFound
from gateway.ledger import search
from gateway.ledger.database import Record, is_number
from gateway.ledger.tables import (
    audit,
    consents,
    contacts,
    customers,
    devices,
    incidents,
    job_runs,
    messages,
    outcomes,
    ticket_events,
    tickets,
    users,
)
from gateway.ledger.views import OPEN_TICKET, Page

MOST_TICKETS = 2**31 - 1  # what the column holds
QUEUES = ("open", "mine", "unassigned", "waiting", "solved", "all")


def _queue(queue: str, login: str) -> list[ColumnElement[bool]]:
    still_open = tickets.c.status.in_(OPEN_TICKET)
    match queue:
        case "mine":
            return [still_open, tickets.c.assignee == login]
        case "unassigned":
            return [still_open, tickets.c.assignee.is_(None)]
        case "waiting":
            return [tickets.c.status == "waiting"]
        case "solved":
            return [tickets.c.status.in_(("solved", "closed"))]
        case "all":
            return []
        case _:
            return [still_open]


def _tickets() -> Select[Any]:
    return (
        select(
            *tickets.c,
            devices.c.type,
            devices.c.model,
            devices.c.firmware,
            devices.c.zone,
            customers.c.name.label("customer"),
            incidents.c.state.label("incident_state"),
            incidents.c.severity,
            incidents.c.cause,
            incidents.c.resolved_ms.label("incident_resolved_ms"),
        )
        .join(incidents, incidents.c.incident_id == tickets.c.incident_id)
        .outerjoin(devices, devices.c.device_id == tickets.c.device_id)
        .outerjoin(customers, customers.c.customer_id == tickets.c.customer_id)
    )


def ticket_page(
    connection: Connection,
    *,
    queue: str = "open",
    login: str = "",
    priority: str = "",
    type: str = "",  # noqa: A002 - the word of the registry and of the API
    text: str = "",
    device_id: str = "",
    customer_id: str = "",
    limit: int = 50,
    offset: int = 0,
) -> Page:
    """Tickets, those that need a person first, then the newest change, with device, customer and incident columns."""
    where = _queue(queue, login)
    for column, value in (
        (tickets.c.priority, priority),
        (devices.c.type, type),
        (tickets.c.device_id, device_id),
        (tickets.c.customer_id, customer_id),
    ):
        if value:
            where.append(column == value)
    if text.strip():
        needle = text.strip()
        matches = [field.icontains(needle, autoescape=True) for field in (tickets.c.title, tickets.c.device_id)]
        matches.append(tickets.c.customer_id.in_(search.named(connection, needle)))
        if is_number(needle.lstrip("#")):
            matches.append(tickets.c.number == int(needle.lstrip("#")))
        where.append(or_(*matches))
    query = _tickets().where(*where)
    total = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
    ordered = query.order_by(tickets.c.attention == "", tickets.c.updated_ms.desc(), tickets.c.number.desc())
    return Page(
        rows=connection.execute(ordered.limit(limit).offset(offset)).all(), total=total, offset=offset, limit=limit
    )


def ticket(connection: Connection, number: int) -> Record:
    """One ticket by the number people say. Raises NotFound (`ticket`)."""
    fits = 0 < number <= MOST_TICKETS  # beyond it the database would refuse the question itself
    row = connection.execute(_tickets().where(tickets.c.number == number)).one_or_none() if fits else None
    if row is None:
        raise NotFound("ticket", str(number)[:40])
    return row


def ticket_types(connection: Connection) -> Sequence[str]:
    """Product types that have tickets."""
    query = select(devices.c.type).join(tickets, tickets.c.device_id == devices.c.device_id).distinct()
    return connection.execute(query.order_by(devices.c.type)).scalars().all()


def queue_counts(connection: Connection, login: str) -> dict[str, int]:
    """How many tickets each queue holds."""
    counted = {
        queue: select(func.count()).select_from(tickets).where(*_queue(queue, login)).scalar_subquery().label(queue)
        for queue in QUEUES
    }
    return dict(connection.execute(select(*counted.values())).one()._mapping)


def ticket_events_of(connection: Connection, ticket_id: str) -> Sequence[Record]:
    """A ticket's time line, oldest first."""
    query = select(ticket_events).where(ticket_events.c.ticket_id == ticket_id)
    return connection.execute(query.order_by(ticket_events.c.at_ms, ticket_events.c.event_id).limit(500)).all()


def thread(connection: Connection, *, ticket_id: str = "", customer_id: str = "", contact_id: str = "") -> list[Record]:
    """Messages both ways, oldest first, with `contact_name`, `ticket_number`; the newest 300."""
    query = (
        select(messages, contacts.c.name.label("contact_name"), tickets.c.number.label("ticket_number"))
        .join(contacts, contacts.c.contact_id == messages.c.contact_id)
        .outerjoin(tickets, tickets.c.ticket_id == messages.c.ticket_id)
    )
    if ticket_id:
        query = query.where(messages.c.ticket_id == ticket_id)
    if customer_id:
        query = query.where(contacts.c.customer_id == customer_id)
    if contact_id:
        query = query.where(messages.c.contact_id == contact_id)
    newest = query.order_by(messages.c.created_ms.desc(), messages.c.message_id.desc()).limit(300)
    return list(reversed(connection.execute(newest).all()))


def customer_page(connection: Connection, *, text: str = "", limit: int = 50, offset: int = 0) -> Page:
    """Customers by name with `devices`, `open_tickets`, `contacts`, `opted_out`, `languages` and `last_ms`."""

    def count(table: Any, *where: Any) -> Any:
        return (
            select(func.count())
            .select_from(table)
            .where(table.c.customer_id == customers.c.customer_id, *where)
            .scalar_subquery()
        )

    last = (
        select(func.max(messages.c.created_ms))
        .join(contacts, contacts.c.contact_id == messages.c.contact_id)
        .where(contacts.c.customer_id == customers.c.customer_id)
        .scalar_subquery()
    )
    query = select(
        customers,
        count(devices, devices.c.revoked.is_(False)).label("devices"),
        count(tickets, tickets.c.status.in_(OPEN_TICKET)).label("open_tickets"),
        count(contacts).label("contacts"),
        count(contacts, contacts.c.opted_out.is_(True)).label("opted_out"),
        select(func.min(contacts.c.language))
        .where(contacts.c.customer_id == customers.c.customer_id)
        .scalar_subquery()
        .label("languages"),
        last.label("last_ms"),
    )
    owns: Sequence[str] = ()
    if needle := text.strip():
        named = devices.c.device_id.icontains(needle, autoescape=True)
        owns = connection.execute(select(devices.c.customer_id).where(named).distinct()).scalars().all()
    found = search.customer_ids(connection, text, also=owns)
    shown = found[offset : offset + limit]
    rows = {row.customer_id: row for row in connection.execute(query.where(customers.c.customer_id.in_(shown)))}
    return Page(rows=[rows[customer_id] for customer_id in shown], total=len(found), offset=offset, limit=limit)


def customer(connection: Connection, customer_id: str) -> Record:
    """One customer. Raises NotFound (`customer`)."""
    row = connection.execute(select(customers).where(customers.c.customer_id == customer_id)).one_or_none()
    if row is None:
        raise NotFound("customer", customer_id)
    return row


def contacts_of(connection: Connection, customer_id: str) -> Sequence[Record]:
    """Contacts of a customer."""
    query = select(contacts).where(contacts.c.customer_id == customer_id).order_by(contacts.c.contact_id)
    return connection.execute(query).all()


def consents_of(connection: Connection, customer_id: str) -> Sequence[Record]:
    """What a customer's contacts agreed to and took back, newest first, with `contact_name`."""
    query = (
        select(consents, contacts.c.name.label("contact_name"))
        .join(contacts, contacts.c.contact_id == consents.c.contact_id)
        .where(contacts.c.customer_id == customer_id)
        .order_by(consents.c.at_ms.desc(), consents.c.consent_id.desc())
        .limit(50)
    )
    return connection.execute(query).all()


def phones(connection: Connection, *, text: str = "", limit: int = 100) -> Sequence[Record]:
    """SMS contacts, those that wrote or were written to last first, with `customer`, `last_ms` and `last_text`."""
    newest = (
        select(messages.c.contact_id, func.max(messages.c.created_ms).label("last_ms"))
        .where(messages.c.state.in_(SHOWN))
        .group_by(messages.c.contact_id)
        .subquery()
    )
    last_text = (
        select(messages.c.text)
        .where(messages.c.contact_id == contacts.c.contact_id, messages.c.state.in_(SHOWN))
        .order_by(messages.c.created_ms.desc(), messages.c.message_id.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        select(contacts, customers.c.name.label("customer"), newest.c.last_ms, last_text.label("last_text"))
        .join(customers, customers.c.customer_id == contacts.c.customer_id)
        .outerjoin(newest, newest.c.contact_id == contacts.c.contact_id)
        .where(contacts.c.channel == "sms")
        .order_by(func.coalesce(newest.c.last_ms, 0).desc(), contacts.c.contact_id)
        .limit(limit)
    )
    if text.strip():
        query = query.where(contacts.c.contact_id.in_(search.contact_ids(connection, text)))
    return connection.execute(query).all()


def phone(connection: Connection, contact_id: str) -> Record | None:
    """One contact with `customer`; None where it is unknown."""
    query = (
        select(contacts, customers.c.name.label("customer"))
        .join(customers, customers.c.customer_id == contacts.c.customer_id)
        .where(contacts.c.contact_id == contact_id)
    )
    return connection.execute(query).one_or_none()


SHOWN = ("sent", "delivered", "received")
"""States of messages that have reached a phone, or come from one."""


def outbox_counts(connection: Connection) -> dict[str, int]:
    """Messages by state."""
    query = select(messages.c.state, func.count()).group_by(messages.c.state)
    return {row[0]: row[1] for row in connection.execute(query)}


def held_messages(connection: Connection, *, limit: int = 50) -> Sequence[Record]:
    """Messages that wait, failed or are in doubt, newest first, with `contact_name` and `ticket_number`."""
    query = (
        select(messages, contacts.c.name.label("contact_name"), tickets.c.number.label("ticket_number"))
        .join(contacts, contacts.c.contact_id == messages.c.contact_id)
        .outerjoin(tickets, tickets.c.ticket_id == messages.c.ticket_id)
        .where(messages.c.state.in_(("queued", "held", "sending", "unknown", "failed", "undelivered")))
        .order_by(messages.c.created_ms.desc())
        .limit(limit)
    )
    return connection.execute(query).all()


def jobs(connection: Connection) -> Sequence[Record]:
    """The newest run of each job."""
    newest = select(func.max(job_runs.c.run_id)).group_by(job_runs.c.job)
    return connection.execute(select(job_runs).where(job_runs.c.run_id.in_(newest)).order_by(job_runs.c.job)).all()


def outcome_counts(connection: Connection) -> dict[str, int]:
    """What tickets turned out to be."""
    query = select(outcomes.c.outcome, func.count()).group_by(outcomes.c.outcome)
    return {row[0]: row[1] for row in connection.execute(query)}


def audit_page(connection: Connection, *, actor: str = "", action: str = "", limit: int = 100, offset: int = 0) -> Page:
    """The audit chain, newest first."""
    where = [column == value for column, value in ((audit.c.actor, actor), (audit.c.action, action)) if value]
    total = connection.execute(select(func.count()).select_from(audit).where(*where)).scalar_one()
    query = select(audit).where(*where).order_by(audit.c.number.desc()).limit(limit).offset(offset)
    return Page(rows=connection.execute(query).all(), total=total, offset=offset, limit=limit)


def logins(connection: Connection) -> Sequence[str]:
    """Those a ticket can be given to."""
    query = select(users.c.login).where(users.c.disabled.is_(False), users.c.role != "viewer").order_by(users.c.login)
    return connection.execute(query).scalars().all()
