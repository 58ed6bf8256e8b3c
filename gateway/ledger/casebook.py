"""Writing the casebook: what a turn decided, all or nothing, and what people do to tickets.

A turn commits against the view it was planned from. Every incident carries a version; a writer whose view is old, or
who opens an incident that another process has just opened, changes nothing at all and plans again (`ledger_moved`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from gateway.errors import NotFound, Refused, TryLater
from gateway.incidents import AlertChange, TicketEvent, TurnOutcome, derive, fingerprint
from gateway.incidents.outcome import EventKind
from gateway.ledger import audit, evidence
from gateway.ledger.database import Record, add_new, is_conflict, is_number, put, reading, take_numbers, writing
from gateway.ledger.outbox import message_row
from gateway.ledger.tables import (
    alerts,
    incidents,
    messages,
    outcomes,
    ticket_events,
    tickets,
    watermarks,
)
from gateway.model import Incident, Outcome, Ticket, TicketPriority, TicketStatus

DONE: tuple[TicketStatus, ...] = ("solved", "closed")


def commit_turn(engine: Engine, outcome: TurnOutcome, *, watermark: str = "turn") -> None:
    """Write everything one turn decided, and its watermark, in one transaction.

    Raises:
        TryLater: `ledger_moved`: another writer was faster; nothing was written. Load a new view and plan again.
        IntegrityError: the outcome does not fit the ledger: a mistake of ours, which no repetition mends.
    """
    try:
        with writing(engine) as connection:
            _put_incidents(connection, outcome.incidents)
            _put_alerts(connection, outcome.alerts)
            _add_tickets(connection, outcome.tickets)
            for ticket_id, status in outcome.statuses:
                if status not in DONE or not ticket_row(connection, ticket_id).attention:  # a person is still called
                    _set_status(connection, ticket_id, status, now_ms=outcome.now_ms)
            add_events(connection, outcome.events)
            add_new(connection, messages, [message_row(message) for message in outcome.messages])
            if outcome.window is not None:
                put(connection, watermarks, [{"name": watermark, "window": outcome.window, "at_ms": outcome.now_ms}])
    except IntegrityError as exc:
        if not is_conflict(exc):
            raise
        raise TryLater("ledger_moved", "an incident or ticket was opened by another writer", after_s=0.05) from exc


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far turns have come; zeros before the first."""

    window: int = 0
    at_ms: int = 0  # the fleet's time then


def read_watermark(engine: Engine, *, watermark: str = "turn") -> Watermark:
    """The watermark that the newest committed turn left."""
    with reading(engine) as connection:
        found = connection.execute(select(watermarks).where(watermarks.c.name == watermark)).one_or_none()
    return Watermark() if found is None else Watermark(window=found.window, at_ms=found.at_ms)


def _put_incidents(connection: Connection, changed: Sequence[Incident]) -> None:
    """Parents first: children point at them."""
    for incident in sorted(changed, key=lambda i: i.parent_id is not None):
        row = asdict(incident) | {"fingerprint": fingerprint(incident.device_id, incident.cause)}
        if incident.version == 1:
            connection.execute(insert(incidents), row)
            continue
        mine = incidents.c.incident_id == incident.incident_id, incidents.c.version == incident.version - 1
        if connection.execute(update(incidents).where(*mine).values(row)).rowcount != 1:
            raise TryLater("ledger_moved", f"{incident.incident_id} was changed by another writer", after_s=0.05)


def _put_alerts(connection: Connection, changes: Sequence[AlertChange]) -> None:
    for change in changes:
        alert = change.alert
        if alert.state == "firing":
            row = {
                "alert_id": derive("alr", alert.rule, alert.device_id, alert.since_ms),
                "incident_id": change.incident_id,
                "rule": alert.rule,
                "device_id": alert.device_id,
                "cause": alert.cause or alert.rule,
                "severity": alert.severity,
                "since_ms": alert.since_ms,
                "fired_ms": alert.at_ms,
                "value": alert.value if alert.value == alert.value else None,
            }
            add_new(connection, alerts, [row])
        else:
            fires = alerts.c.rule == alert.rule, alerts.c.device_id == alert.device_id, alerts.c.state == "firing"
            connection.execute(update(alerts).where(*fires).values(state="resolved", resolved_ms=alert.at_ms))


def _add_tickets(connection: Connection, new: Sequence[Ticket]) -> None:
    if not new:
        return
    first = take_numbers(connection, "ticket", len(new))
    rows = [
        {name: getattr(ticket, name) for name in Ticket.__slots__ if name not in ("evidence", "number")}
        | {"number": first + position, "evidence": evidence.to_json(ticket.evidence)}
        for position, ticket in enumerate(new)
    ]
    connection.execute(insert(tickets), rows)


def add_events(connection: Connection, events: Sequence[TicketEvent]) -> None:
    """Append to time lines, each occasion once, within the caller's transaction."""
    add_new(connection, ticket_events, [asdict(event) for event in events])


# ---- what people do -------------------------------------------------------------------------------------------------


def comment(engine: Engine, ticket_id: str, *, author: str, text: str, now_ms: int, key: str = "") -> None:
    """Add a comment; the same `key` adds it once. Raises NotFound (`ticket`), Refused (`empty_comment`)."""
    if not text.strip():
        raise Refused("empty_comment", "a comment has text")
    with writing(engine) as connection:
        note(connection, ticket_row(connection, ticket_id), "comment", author=author, text=text, now_ms=now_ms, key=key)


def assign(engine: Engine, ticket_id: str, assignee: str | None, *, author: str, now_ms: int) -> None:
    """Give the ticket to a person, or to nobody. Raises NotFound (`ticket`)."""
    with writing(engine) as connection:
        row = ticket_row(connection, ticket_id)
        change_ticket(connection, row, {"assignee": assignee}, now_ms)
        note(connection, row, "assigned", author=author, text=assignee or "nobody", now_ms=now_ms)
        audit.record(connection, at_ms=now_ms, actor=author, action="ticket.assign", subject=row.ticket_id)


def set_priority(engine: Engine, ticket_id: str, priority: TicketPriority, *, author: str, now_ms: int) -> None:
    """Raises NotFound (`ticket`)."""
    with writing(engine) as connection:
        row = ticket_row(connection, ticket_id)
        change_ticket(connection, row, {"priority": priority}, now_ms)
        note(connection, row, "priority", author=author, text=priority, now_ms=now_ms)


def set_status(engine: Engine, ticket_id: str, status: TicketStatus, *, author: str, now_ms: int) -> None:
    """Move a ticket; `solved` and `closed` close its incident, so that only new trouble opens another.

    Raises:
        NotFound: `ticket`.
    """
    with writing(engine) as connection:
        row = ticket_row(connection, ticket_id)
        _set_status(connection, row.ticket_id, status, now_ms=now_ms)
        note(connection, row, "status", author=author, text=status, now_ms=now_ms)
        if status in DONE:
            _close_incident(connection, row.incident_id, now_ms)
        audit.record(
            connection,
            at_ms=now_ms,
            actor=author,
            action="ticket.status",
            subject=row.ticket_id,
            detail={"from": row.status, "to": status},
        )


def record_outcome(
    engine: Engine, ticket_id: str, outcome: Outcome, *, author: str, now_ms: int, remark: str = "", solve: bool = True
) -> None:
    """Say what a ticket turned out to be: it is kept as a label, and the ticket solved.

    Raises:
        NotFound: `ticket`.
    """
    with writing(engine) as connection:
        row = ticket_row(connection, ticket_id)
        label_outcome(connection, row, outcome, author=author, now_ms=now_ms, remark=remark)
        if solve and row.status not in DONE:
            _set_status(connection, row.ticket_id, "solved", now_ms=now_ms)
            _close_incident(connection, row.incident_id, now_ms)
        audit.record(
            connection,
            at_ms=now_ms,
            actor=author,
            action="ticket.outcome",
            subject=row.ticket_id,
            detail={"outcome": outcome},
        )


def label_outcome(
    connection: Connection, row: Record, outcome: Outcome, *, author: str, now_ms: int, remark: str = ""
) -> None:
    """Keep the label of a ticket's row, within the caller's transaction."""
    incident = connection.execute(select(incidents).where(incidents.c.incident_id == row.incident_id)).one()
    label = {
        "ticket_id": row.ticket_id,
        "incident_id": row.incident_id,
        "device_id": row.device_id,
        "cause": incident.cause,
        "rules": incident.rules,
        "outcome": outcome,
        "author": author,
        "note": remark,
        "at_ms": now_ms,
    }
    connection.execute(insert(outcomes), label)
    change_ticket(connection, row, {"outcome": outcome}, now_ms)
    note(connection, row, "outcome", author=author, text=outcome + (f": {remark}" if remark else ""), now_ms=now_ms)


def set_desk(engine: Engine, ticket_id: str, *, desk: str, ref: str) -> None:
    """Keep under which name another desk holds the ticket."""
    with writing(engine) as connection:
        wanted = tickets.c.ticket_id == ticket_id
        connection.execute(update(tickets).where(wanted).values(desk=desk, desk_ref=ref))


def give_to_customer(engine: Engine, incident_fingerprint: str, customer_id: str) -> None:
    """Say that the ticket of an open incident is about a customer, so that they can be answered on it."""
    wanted = select(incidents.c.incident_id).where(
        incidents.c.fingerprint == incident_fingerprint, incidents.c.state == "open"
    )
    with writing(engine) as connection:
        mine = update(tickets).where(tickets.c.incident_id.in_(wanted))
        connection.execute(mine.values(customer_id=customer_id))


def call_attention(engine: Engine, ticket_id: str, code: str, *, text: str, now_ms: int, key: str = "") -> None:
    """Flag a ticket for a person, and say why. Raises NotFound (`ticket`)."""
    with writing(engine) as connection:
        row = ticket_row(connection, ticket_id)
        change_ticket(connection, row, {"attention": code}, now_ms)
        note(connection, row, "attention", author="system", text=text, now_ms=now_ms, key=key)


def clear_attention(engine: Engine, ticket_id: str, *, now_ms: int) -> None:
    """A person has looked. Raises NotFound (`ticket`)."""
    with writing(engine) as connection:
        change_ticket(connection, ticket_row(connection, ticket_id), {"attention": ""}, now_ms)


def ticket_row(connection: Connection, ticket_id: str) -> Record:
    """The row of a ticket, by its id or the number people say."""
    wanted = tickets.c.number == int(ticket_id) if is_number(ticket_id) else tickets.c.ticket_id == ticket_id
    row = connection.execute(select(tickets).where(wanted)).one_or_none()
    if row is None:
        raise NotFound("ticket", ticket_id)
    return row


def change_ticket(connection: Connection, row: Record, values: Mapping[str, object], now_ms: int) -> None:
    """Change columns of a ticket's row, within the caller's transaction."""
    wanted = tickets.c.ticket_id == row.ticket_id
    connection.execute(update(tickets).where(wanted).values({**values, "updated_ms": now_ms}))


def note(
    connection: Connection, row: Record, kind: EventKind, *, author: str, text: str, now_ms: int, key: str = ""
) -> None:
    """Add a line to a ticket's time line, within the caller's transaction; the same `key` adds it once."""
    event = {"key": key or None, "ticket_id": row.ticket_id, "at_ms": now_ms, "kind": kind}
    add_new(connection, ticket_events, [event | {"author": author, "text": text}])


def _set_status(connection: Connection, ticket_id: str, status: TicketStatus, *, now_ms: int) -> None:
    values = {"status": status, "updated_ms": now_ms, "solved_ms": now_ms if status in DONE else None}
    connection.execute(update(tickets).where(tickets.c.ticket_id == ticket_id).values(values))


def _close_incident(connection: Connection, incident_id: str, now_ms: int) -> None:
    connection.execute(
        update(incidents)
        .where(incidents.c.incident_id == incident_id, incidents.c.state != "closed")
        .values(state="closed", updated_ms=now_ms, version=incidents.c.version + 1)
    )
