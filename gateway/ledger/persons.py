"""Whole persons: taken in from a list, handed out, and erased. Each is one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, or_, select, update
from sqlalchemy.exc import IntegrityError

from gateway.errors import NotFound, Refused
from gateway.ledger import audit, registry
from gateway.ledger.database import forget_log, is_conflict, reading, writing
from gateway.ledger.people import note_consent, put_customers
from gateway.ledger.tables import consents, contacts, customers, devices, messages, outcomes, ticket_events, tickets
from gateway.model import Customer

ERASED = "erased"
SAID = ("reply", "comment", "message", "attention", "outcome")
"""Lines of time lines in which people may be named; a call for a person repeats what the customer wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What a contact agreed to before we knew them."""

    contact_id: str
    wording: str
    at_ms: int


def take_in(
    engine: Engine,
    wanted: Sequence[Customer],
    agreements: Sequence[Agreement],
    owned: Sequence[tuple[str, str]],
    *,
    now_ms: int,
) -> None:
    """Add or replace customers, note what they agreed to, and say whose devices are: all or none.

    `owned` holds (device id, customer id). Somebody who said STOP stays opted out: only their own START counts.

    Raises:
        NotFound: `device`. Refused: `address_taken`: a telephone belongs to another contact.
    """
    try:
        with writing(engine) as connection:
            put_customers(connection, wanted, now_ms=now_ms)
            for agreement in agreements:
                _agree(connection, agreement)
            for device_id, customer_id in owned:
                mine = update(devices).where(devices.c.device_id == device_id).values(customer_id=customer_id)
                if connection.execute(mine).rowcount == 0:
                    raise NotFound("device", f"{device_id}; nothing was taken in")
            registry.touch_roster(connection)
            counted: dict[str, object] = {"customers": len(wanted), "devices": len(owned)}
            audit.record(
                connection, at_ms=now_ms, actor="command line", action="customer.import", subject="customers",
                detail=counted,
            )  # fmt: skip
    except IntegrityError as exc:
        if not is_conflict(exc):
            raise
        raise Refused(
            "address_taken", "a telephone of the list belongs to another contact; nothing was taken in"
        ) from exc


def _agree(connection: Connection, agreement: Agreement) -> None:
    known = select(consents.c.kind, consents.c.wording).where(consents.c.contact_id == agreement.contact_id)
    held = connection.execute(known).all()
    if any(row.kind == "opt_out" or row.wording == agreement.wording for row in held):
        return
    note_consent(
        connection, agreement.contact_id, "opt_in", source="import", wording=agreement.wording, at_ms=agreement.at_ms
    )


def hand_out(engine: Engine, customer_id: str) -> dict[str, Any]:
    """All that is kept about a customer, as JSON holds it. Raises NotFound (`customer`)."""
    with reading(engine) as connection:
        row = connection.execute(select(customers).where(customers.c.customer_id == customer_id)).one_or_none()
        if row is None:
            raise NotFound("customer", customer_id)
        ids = select(contacts.c.contact_id).where(contacts.c.customer_id == customer_id)
        cases = select(tickets.c.ticket_id).where(tickets.c.customer_id == customer_id)
        return {
            "customer": dict(row._mapping),
            "contacts": _all(connection, select(contacts).where(contacts.c.customer_id == customer_id)),
            "consents": _all(connection, select(consents).where(consents.c.contact_id.in_(ids))),
            "messages": _all(connection, select(messages).where(messages.c.contact_id.in_(ids))),
            "devices": _all(connection, select(devices.c.device_id, devices.c.type, devices.c.site, devices.c.zone)
                            .where(devices.c.customer_id == customer_id)),
            "tickets": _all(connection, select(tickets).where(tickets.c.customer_id == customer_id)),
            "time_lines": _all(connection, select(ticket_events).where(ticket_events.c.ticket_id.in_(cases))),
        }  # fmt: skip


def erase(engine: Engine, customer_id: str, *, actor: str, now_ms: int) -> int:
    """Forget who a customer is and what was said; how many messages were emptied. What devices did stays, nobody's.

    Raises:
        NotFound: `customer`.
    """
    with writing(engine) as connection:
        mine = contacts.c.customer_id == customer_id
        blank = update(customers).where(customers.c.customer_id == customer_id).values(name="", note="")
        if connection.execute(blank).rowcount == 0:
            raise NotFound("customer", customer_id)
        ids = list(connection.execute(select(contacts.c.contact_id).where(mine)).scalars())
        for contact_id in ids:
            gone: dict[str, object] = {
                "address": f"{ERASED}-{contact_id}",
                "name": "",
                "zone": None,
                "unreachable": ERASED,
            }
            gone |= {"consented": False, "opted_out": True}
            connection.execute(update(contacts).where(contacts.c.contact_id == contact_id).values(gone))
        theirs = messages.c.contact_id.in_(ids)
        waiting = update(messages).where(theirs, messages.c.state.in_(("queued", "held")))
        connection.execute(waiting.values(state="skipped", reason=ERASED, settled_ms=now_ms))
        empty = {"text": "", "understanding": None, "provider_id": ""}
        emptied = connection.execute(update(messages).where(theirs).values(empty)).rowcount
        spoken = select(messages.c.ticket_id).where(theirs, messages.c.ticket_id.is_not(None))
        owned = (tickets.c.customer_id == customer_id) | tickets.c.ticket_id.in_(spoken)
        cases = select(tickets.c.ticket_id).where(owned)
        said = ticket_events.c.kind.in_(SAID) & ticket_events.c.ticket_id.in_(cases)
        connection.execute(
            update(ticket_events).where(or_(said, ticket_events.c.author.in_(ids))).values(text="", detail=None)
        )
        connection.execute(update(outcomes).where(outcomes.c.ticket_id.in_(cases)).values(note=""))
        connection.execute(update(consents).where(consents.c.contact_id.in_(ids)).values(wording=""))
        connection.execute(update(devices).where(devices.c.customer_id == customer_id).values(customer_id=None))
        registry.touch_roster(connection)
        audit.record(
            connection, at_ms=now_ms, actor=actor, action="customer.erase", subject=f"customer:{customer_id}"
        )  # fmt: skip
    forget_log(engine)
    return int(emptied)


def _all(connection: Connection, query: Any) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in connection.execute(query)]
