"""Reading the casebook as values: the view a turn is planned from, tickets, conversations, and what is new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, func, select

from gateway.errors import NotFound
from gateway.incidents import Mute, View
from gateway.ledger import evidence
from gateway.ledger.database import Record, is_number, reading
from gateway.ledger.tables import alerts, customers, incidents, messages, mutes, ticket_events, tickets
from gateway.model import Incident, Ticket

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketRow:
    """A ticket as lists show it."""

    ticket: Ticket
    attention: str
    customer: str  # name; "" where nobody owns the device
    cause: str
    severity: str
    incident_state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a ticket's time line."""

    event_id: int
    ticket_id: str
    at_ms: int
    kind: str
    author: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRow:
    """One message of a conversation, either way."""

    message_id: str
    direction: str
    contact_id: str
    ticket_id: str | None
    channel: str
    text: str
    language: str
    template: str
    urgent: bool
    state: str
    reason: str
    created_ms: int
    due_ms: int
    sent_ms: int | None
    settled_ms: int | None
    segments: int
    understanding: object


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRow:
    """One life of an alert."""

    rule: str
    device_id: str
    state: str
    severity: str
    since_ms: int
    fired_ms: int
    resolved_ms: int | None
    value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketDetail:
    """One ticket with all that belongs to it."""

    row: TicketRow
    incident: Incident
    children: tuple[Incident, ...]
    alerts: tuple[AlertRow, ...]
    events: tuple[Event, ...]
    messages: tuple[MessageRow, ...]


def load_view(engine: Engine, *, now_ms: int, reopen_ms: int = DAY_MS) -> View:
    """The casebook as `incidents.fold` must see it, in one consistent read."""
    recent = incidents.c.updated_ms >= now_ms - reopen_ms
    with reading(engine) as connection:
        live = connection.execute(select(incidents).where(incidents.c.state == "open")).all()
        over = connection.execute(select(incidents).where(incidents.c.state != "open", recent)).all()
        ids = [row.incident_id for row in (*live, *over)]
        held = select(tickets.c.incident_id, tickets.c.ticket_id).join(incidents)
        held = held.where((incidents.c.state == "open") | recent)
        lasting = connection.execute(select(mutes).where(mutes.c.until_ms > now_ms)).all()
        lately = select(func.count()).select_from(tickets).where(tickets.c.opened_ms > now_ms - HOUR_MS)
        return View(
            open=tuple(_incident(row) for row in live),
            recent=tuple(_incident(row) for row in over),
            tickets={row.incident_id: row.ticket_id for row in connection.execute(held)} if ids else {},
            mutes=tuple(Mute(kind=m.kind, labels=m.labels, from_ms=m.from_ms, until_ms=m.until_ms) for m in lasting),
            tickets_last_hour=int(connection.execute(lately).scalar_one()),
        )


def _tickets() -> Select[*tuple[Any, ...]]:
    return (
        select(
            tickets,
            func.coalesce(customers.c.name, "").label("customer"),
            incidents.c.cause,
            incidents.c.severity,
            incidents.c.state.label("incident_state"),
        )
        .join(incidents, incidents.c.incident_id == tickets.c.incident_id)
        .outerjoin(customers, customers.c.customer_id == tickets.c.customer_id)
    )


def list_tickets(engine: Engine, *, status: Sequence[str] = (), device_id: str = "") -> tuple[TicketRow, ...]:
    """Tickets by number."""
    query = _tickets().order_by(tickets.c.number)
    if status:
        query = query.where(tickets.c.status.in_(status))
    if device_id:
        query = query.where(tickets.c.device_id == device_id)
    with reading(engine) as connection:
        return tuple(_ticket_row(row) for row in connection.execute(query))


def find_ticket(engine: Engine, ticket_id: str) -> TicketDetail:
    """One ticket with all that belongs to it, by its id or its number. Raises NotFound (`ticket`)."""
    wanted = tickets.c.number == int(ticket_id) if is_number(ticket_id) else tickets.c.ticket_id == ticket_id
    with reading(engine) as connection:
        row = connection.execute(_tickets().where(wanted)).one_or_none()
        if row is None:
            raise NotFound("ticket", ticket_id)
        family = (incidents.c.incident_id == row.incident_id) | (incidents.c.parent_id == row.incident_id)
        found = select(incidents).where(family).order_by(incidents.c.incident_id)
        every = [_incident(one) for one in connection.execute(found)]
        children = tuple(i for i in every if i.incident_id != row.incident_id)
        return TicketDetail(
            row=_ticket_row(row),
            incident=next(i for i in every if i.incident_id == row.incident_id),
            children=children,
            alerts=_alerts(connection, alerts.c.incident_id.in_(select(incidents.c.incident_id).where(family))),
            events=_events(connection, row.ticket_id),
            messages=_messages(connection, messages.c.ticket_id == row.ticket_id),
        )


def alerts_of_device(engine: Engine, device_id: str) -> tuple[AlertRow, ...]:
    """All alerts a device ever had, oldest first."""
    with reading(engine) as connection:
        return _alerts(connection, alerts.c.device_id == device_id)


def conversation(engine: Engine, contact_id: str, *, limit: int = 200) -> tuple[MessageRow, ...]:
    """The newest messages with a contact, both ways, oldest first."""
    with reading(engine) as connection:
        return _messages(connection, messages.c.contact_id == contact_id)[-limit:]


def changes_since(engine: Engine, event_id: int, *, limit: int = 500) -> tuple[Event, ...]:
    """Ticket events with a higher id, in order: what a live page replays after a reconnect."""
    query = select(ticket_events).where(ticket_events.c.event_id > event_id).order_by(ticket_events.c.event_id)
    with reading(engine) as connection:
        return tuple(_event(row) for row in connection.execute(query.limit(limit)))


def last_event(engine: Engine) -> int:
    """The highest event id; 0 where there is none."""
    with reading(engine) as connection:
        return int(connection.execute(select(func.max(ticket_events.c.event_id))).scalar() or 0)


def _alerts(connection: Connection, wanted: ColumnElement[bool]) -> tuple[AlertRow, ...]:
    query = select(alerts).where(wanted).order_by(alerts.c.fired_ms, alerts.c.alert_id)
    return tuple(AlertRow(**_picked(row, AlertRow)) for row in connection.execute(query))


def _events(connection: Connection, ticket_id: str) -> tuple[Event, ...]:
    query = select(ticket_events).where(ticket_events.c.ticket_id == ticket_id)
    query = query.order_by(ticket_events.c.at_ms, ticket_events.c.event_id)
    return tuple(_event(row) for row in connection.execute(query))


def _messages(connection: Connection, wanted: ColumnElement[bool]) -> tuple[MessageRow, ...]:
    query = select(messages).where(wanted).order_by(messages.c.created_ms, messages.c.message_id)
    return tuple(MessageRow(**_picked(row, MessageRow)) for row in connection.execute(query))


def _event(row: Record) -> Event:
    return Event(**_picked(row, Event))


def _picked(row: Record, kind: type) -> dict[str, Any]:
    return {name: row._mapping[name] for name in kind.__slots__}  # type: ignore[attr-defined]


def _incident(row: Record) -> Incident:
    kept = _picked(row, Incident)
    return Incident(**kept | {"rules": tuple(kept["rules"]), "firing": tuple(kept["firing"])})


def _ticket_row(row: Record) -> TicketRow:
    return TicketRow(
        ticket=ticket_of(row),
        attention=row.attention,
        customer=row.customer,
        cause=row.cause,
        severity=row.severity,
        incident_state=row.incident_state,
    )


def ticket_of(row: Record) -> Ticket:
    """A ticket from its row."""
    return Ticket(**_picked(row, Ticket) | {"evidence": evidence.from_json(row.evidence)})
