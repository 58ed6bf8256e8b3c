"""The outbox: messages waiting to go, and how each fared.

    queued, held -mark_sending-> sending -mark_sent-> sent -callback-> delivered | undelivered | failed
                 -skip-> skipped         -postpone-> queued   -in_doubt-> unknown -callback-> sent, delivered, ...
                                         <-lose- sent, unknown: the provider says that it was lost on the way

A message is `sending`, durably, before its request leaves (promise 5); exactly one caller of `mark_sending` gets it.
A row still `sending` after a crash becomes `unknown`: its callback settles it, or after an hour a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, Engine, Update, func, select, update

from gateway.errors import NotFound
from gateway.ledger.database import Record, add_new, reading, writing
from gateway.ledger.people import contact_of
from gateway.ledger.tables import contacts, devices, incidents, messages, tickets, webhooks_seen
from gateway.model import Contact, Message, MessageState

DAY_MS = 86_400_000
_GONE = ("sending", "sent", "delivered", "undelivered", "unknown")  # states that count against the daily cap
_WAITING = ("queued", "held")

ProviderStatus: TypeAlias = Literal[
    "accepted", "scheduled", "queued", "sending", "sent", "delivered", "undelivered", "failed", "canceled", "read"
]
_RANK: Mapping[str, int] = {"accepted": 1, "scheduled": 1, "queued": 1, "sending": 2, "sent": 3, "delivered": 5,
                            "undelivered": 5, "failed": 5, "canceled": 5, "read": 6}  # fmt: skip
_STATE: Mapping[str, MessageState] = {"delivered": "delivered", "undelivered": "undelivered", "failed": "failed",
                                      "canceled": "skipped", "read": "delivered"}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A message whose time has come, with what must be asked again before it goes."""

    message: Message
    contact: Contact
    attempts: int
    holds: bool  # whether the condition it speaks of still holds
    device_zone: str | None


def message_row(message: Message) -> dict[str, object]:
    """The outbox row of a message."""
    row = asdict(message)
    return row | {"due_ms": message.due_ms or message.created_ms, "direction": "out"}


def due(engine: Engine, *, now_ms: int, limit: int = 50) -> tuple[Due, ...]:
    """Messages to try now: urgent ones first, then the oldest. Nothing is marked."""
    query = (
        select(
            messages,
            incidents.c.state.label("incident_state"),
            incidents.c.quiet_ms,
            devices.c.zone.label("zone"),
        )
        .outerjoin(tickets, tickets.c.ticket_id == messages.c.ticket_id)
        .outerjoin(incidents, incidents.c.incident_id == tickets.c.incident_id)
        .outerjoin(devices, devices.c.device_id == tickets.c.device_id)
        .where(messages.c.state.in_(_WAITING), messages.c.due_ms <= now_ms)
        .order_by(messages.c.urgent.desc(), messages.c.due_ms, messages.c.message_id)
        .limit(limit)
    )
    with reading(engine) as connection:
        rows = connection.execute(query).all()
        people = _contacts(connection, {row.contact_id for row in rows})
    return tuple(
        Due(
            message=_message(row),
            contact=people[row.contact_id],
            attempts=row.attempts,
            holds=_holds(row),
            device_zone=row.zone,
        )
        for row in rows
    )


def _holds(row: Record) -> bool:
    """A warning holds while its incident is open and not quiet; other messages always."""
    warns = row.ticket_id is not None and row.template and not row.answers and row.template not in ("recovered",)
    return not warns or (row.incident_state == "open" and row.quiet_ms is None)


def sent_times(engine: Engine, contact_id: str, *, now_ms: int) -> tuple[int, ...]:
    """When messages went to a contact within the last day, answers to its own ones left out; ascending."""
    at = func.coalesce(messages.c.sent_ms, messages.c.sending_ms, messages.c.created_ms)
    return _times(engine, at, contact_id, now_ms, messages.c.answers.is_(None))


def answer_times(engine: Engine, contact_id: str, *, now_ms: int) -> tuple[int, ...]:
    """When automatic answers went to a contact, or were queued, within the last day; ascending."""
    automatic = messages.c.answers.is_not(None) & (messages.c.template != "")
    return _times(engine, messages.c.created_ms, contact_id, now_ms, automatic)


def told(engine: Engine, ticket_id: str) -> tuple[str, ...]:
    """Ids of the contacts whom a warning of the ticket has reached, or was handed over for."""
    query = select(messages.c.contact_id).where(
        messages.c.ticket_id == ticket_id, messages.c.direction == "out", messages.c.answers.is_(None)
    )
    query = query.where(messages.c.state.in_(("sent", "delivered")), messages.c.template != "").distinct()
    with reading(engine) as connection:
        return tuple(sorted(connection.execute(query).scalars()))


def _times(engine: Engine, at: Any, contact_id: str, now_ms: int, kind: Any) -> tuple[int, ...]:
    query = select(at).where(messages.c.contact_id == contact_id, messages.c.direction == "out", kind)
    query = query.where(messages.c.state.in_(_GONE), at > now_ms - DAY_MS).order_by(at)
    with reading(engine) as connection:
        return tuple(int(t) for t in connection.execute(query).scalars())


def mark_sending(engine: Engine, message_id: str, *, now_ms: int) -> bool:
    """Whether the message is ours to send now; durable before this returns."""
    taken = {"state": "sending", "sending_ms": now_ms, "attempts": messages.c.attempts + 1, "reason": ""}
    return _move(engine, message_id, _WAITING, taken)


def mark_sent(engine: Engine, message_id: str, *, provider_id: str, now_ms: int, segments: int = 0) -> None:
    """The provider took it. A callback that was faster keeps its word."""
    with writing(engine) as connection:
        told = {"provider_id": provider_id, "sent_ms": now_ms, "segments": segments}
        connection.execute(_of(message_id).values(told))
        connection.execute(_of(message_id).where(messages.c.state.in_(("sending", "unknown"))).values(state="sent"))


def hold(engine: Engine, message_id: str, *, until_ms: int, reason: str) -> None:
    """Not now: try again at `until_ms`."""
    _move(engine, message_id, _WAITING, {"state": "held", "due_ms": until_ms, "reason": reason})


def skip(engine: Engine, message_id: str, *, reason: str, now_ms: int) -> None:
    """Never."""
    _move(engine, message_id, _WAITING, {"state": "skipped", "reason": reason, "settled_ms": now_ms})


def postpone(engine: Engine, message_id: str, *, until_ms: int, reason: str) -> None:
    """Nothing happened at the provider: try again at `until_ms`."""
    _move(engine, message_id, ("sending",), {"state": "queued", "due_ms": until_ms, "reason": reason})


def fail(engine: Engine, message_id: str, *, reason: str, now_ms: int, address_is_dead: bool = False) -> None:
    """This recipient can never get it; `address_is_dead` keeps that for other messages too."""
    with writing(engine) as connection:
        failed = {"state": "failed", "reason": reason, "settled_ms": now_ms}
        connection.execute(_of(message_id).where(messages.c.state == "sending").values(failed))
        if address_is_dead:
            owner = select(messages.c.contact_id).where(messages.c.message_id == message_id).scalar_subquery()
            connection.execute(update(contacts).where(contacts.c.contact_id == owner).values(unreachable=reason))


def in_doubt(engine: Engine, message_id: str, *, reason: str) -> None:
    """It may have gone; it is never repeated blindly."""
    _move(engine, message_id, ("sending",), {"state": "unknown", "reason": reason})


def recover(engine: Engine, *, before_ms: int) -> int:
    """Put rows left `sending` by a process that died into doubt; how many there were."""
    left = update(messages).where(messages.c.state == "sending", messages.c.sending_ms < before_ms)
    with writing(engine) as connection:
        return connection.execute(left.values(state="unknown", reason="crashed")).rowcount


def doubtful(engine: Engine, *, before_ms: int) -> tuple[tuple[str, str | None], ...]:
    """(message id, ticket id) of messages in doubt since before that time, not yet shown to a person; marks them."""
    late = update(messages).where(
        messages.c.state == "unknown", messages.c.sending_ms < before_ms, messages.c.settled_ms.is_(None)
    )
    with writing(engine) as connection:
        rows = connection.execute(
            late.values(settled_ms=before_ms).returning(messages.c.message_id, messages.c.ticket_id)
        ).all()
    return tuple(sorted((row.message_id, row.ticket_id) for row in rows))


def settle(
    engine: Engine, message_id: str, *, status: ProviderStatus, code: str, provider_id: str, now_ms: int
) -> bool:
    """Take a status callback; whether it moved the message. Ranks only grow, and a final word stays final."""
    rank, state = _RANK[status], _STATE.get(status)
    values: dict[str, object] = {"provider_rank": rank, "state": state or "sent"}
    if provider_id:
        values["provider_id"] = provider_id
    if state:
        values |= {"settled_ms": now_ms, "reason": code}
    stale = select(webhooks_seen.c.key).where(webhooks_seen.c.key == _lost(message_id, provider_id)).exists()
    lower = (messages.c.provider_rank < rank) & ~stale
    if status == "read":  # only a delivered message can be read
        lower &= messages.c.state == "delivered"
    elif state is None:
        lower &= messages.c.state.in_(("sending", "sent", "unknown"))
    with writing(engine) as connection:
        return connection.execute(_of(message_id).where(lower).values(values)).rowcount == 1


def lose(
    connection: Connection, message_id: str, *, provider_id: str, waits_ms: Sequence[int], reason: str, now_ms: int
) -> int | None:
    """Take a message that was lost on its way back into the outbox; when it is due again.

    The n-th loss waits for the n-th of `waits_ms`. None, and nothing changes: they are used up, it would be due after
    its own end, or this sending is not the one under way. Later words about a sending that was lost move nothing.
    """
    row = connection.execute(select(messages).where(messages.c.message_id == message_id)).one_or_none()
    if row is None or row.state not in ("sending", "sent", "unknown") or row.provider_id not in ("", provider_id):
        return None
    seen = select(func.count()).where(webhooks_seen.c.key.startswith(_lost(message_id, ""), autoescape=True))
    lost = connection.execute(seen).scalar_one()
    due_ms = now_ms + waits_ms[lost] if lost < len(waits_ms) else row.expires_ms
    if due_ms >= row.expires_ms or not first_sight(connection, _lost(message_id, provider_id), now_ms=now_ms):
        return None
    back = {"state": "held", "due_ms": due_ms, "reason": reason, "provider_id": "", "provider_rank": 0}
    connection.execute(_of(message_id).values(back | {"sent_ms": None, "settled_ms": None}))
    return due_ms


def _lost(message_id: str, provider_id: str) -> str:
    return f"lost:{message_id}:{provider_id}"


def recipient(engine: Engine, message_id: str) -> tuple[str, str | None]:
    """(contact id, ticket id) of a message. Raises NotFound (`message`)."""
    query = select(messages.c.contact_id, messages.c.ticket_id).where(messages.c.message_id == message_id)
    with reading(engine) as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("message", message_id)
    return row.contact_id, row.ticket_id


def was_seen(connection: Connection, key: str) -> bool:
    """Whether a webhook was seen before."""
    return connection.execute(select(webhooks_seen.c.key).where(webhooks_seen.c.key == key)).scalar() is not None


def first_sight(connection: Connection, key: str, *, now_ms: int) -> bool:
    """Whether a webhook was never seen before; it is now."""
    if was_seen(connection, key):
        return False
    add_new(connection, webhooks_seen, [{"key": key, "at_ms": now_ms}])
    return True


def _move(engine: Engine, message_id: str, source: Sequence[str], values: Mapping[str, Any]) -> bool:
    with writing(engine) as connection:
        return connection.execute(_of(message_id).where(messages.c.state.in_(source)).values(values)).rowcount == 1


def _of(message_id: str) -> Update:
    return update(messages).where(messages.c.message_id == message_id, messages.c.direction == "out")


def _contacts(connection: Connection, ids: set[str]) -> dict[str, Contact]:
    query = select(contacts).where(contacts.c.contact_id.in_(sorted(ids)))
    return {row.contact_id: contact_of(row) for row in connection.execute(query)}


def _message(row: Record) -> Message:
    return Message(**{name: row._mapping[name] for name in Message.__slots__})
