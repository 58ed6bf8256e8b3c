"""Customers, their contacts, and what each contact agreed to or took back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sqlalchemy import Connection, Engine, bindparam, func, insert, select, update

from gateway.errors import NotFound
from gateway.ledger.database import Record, put, reading, writing
from gateway.ledger.search import customer_ids
from gateway.ledger.tables import consents, contacts, customers
from gateway.model import Contact, Customer, CustomerId

ConsentKind: TypeAlias = Literal["opt_in", "opt_out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """One thing a contact agreed to or took back."""

    contact_id: str
    kind: ConsentKind
    source: str
    wording: str
    at_ms: int


def save_customers(engine: Engine, wanted: Sequence[Customer], *, now_ms: int) -> None:
    """Add or replace customers with their contacts. Consent is not touched here: see `record_consent`."""
    with writing(engine) as connection:
        put_customers(connection, wanted, now_ms=now_ms)


def put_customers(connection: Connection, wanted: Sequence[Customer], *, now_ms: int) -> None:
    """As `save_customers`, within the caller's transaction. A new address may be reached, whatever the old one was."""
    rows = [{"customer_id": c.customer_id, "name": c.name, "created_ms": now_ms} for c in wanted]
    put(connection, customers, rows)
    told = [_row(contact) for customer in wanted for contact in customer.contacts]
    if told:
        moved = contacts.c.contact_id == bindparam("of"), contacts.c.address != bindparam("at")
        at = [{"of": row["contact_id"], "at": row["address"]} for row in told]
        connection.execute(update(contacts).where(*moved).values(unreachable=""), at)
    put(connection, contacts, told)


def find_customer(engine: Engine, customer_id: str) -> Customer:
    """One customer with contacts. Raises NotFound (`customer`)."""
    found = list_customers(engine, ids=[customer_id])
    if not found:
        raise NotFound("customer", customer_id)
    return found[0]


def list_customers(
    engine: Engine, *, search: str = "", ids: Sequence[str] | None = None, limit: int = 10_000
) -> tuple[Customer, ...]:
    """Customers by name, with their contacts; `search` looks in name, id and address."""
    with reading(engine) as connection:
        wanted = customer_ids(connection, search) if ids is None else list(ids)
        rows = connection.execute(select(customers).where(customers.c.customer_id.in_(wanted[:limit]))).all()
        owned = contacts_of(connection, [row.customer_id for row in rows])
    found = (
        Customer(customer_id=CustomerId(r.customer_id), name=r.name, contacts=owned.get(r.customer_id, ()))
        for r in rows
    )
    return tuple(sorted(found, key=lambda c: (c.name.casefold(), c.customer_id)))


def contacts_of(connection: Connection, customer_ids: Sequence[str]) -> dict[str, tuple[Contact, ...]]:
    """Contacts by customer, each in the order of their ids."""
    query = select(contacts).where(contacts.c.customer_id.in_(customer_ids)).order_by(contacts.c.contact_id)
    found: dict[str, tuple[Contact, ...]] = {}
    for row in connection.execute(query):
        found[row.customer_id] = (*found.get(row.customer_id, ()), contact_of(row))
    return found


def contacts_for(engine: Engine, customer_id: str) -> tuple[Contact, ...]:
    """Contacts of one customer; none where there is no such customer."""
    with reading(engine) as connection:
        return contacts_of(connection, [customer_id]).get(customer_id, ())


def find_contact(engine: Engine, contact_id: str) -> Contact:
    """One contact. Raises NotFound (`contact`)."""
    with reading(engine) as connection:
        row = connection.execute(select(contacts).where(contacts.c.contact_id == contact_id)).one_or_none()
    if row is None:
        raise NotFound("contact", contact_id)
    return contact_of(row)


def find_by_address(engine: Engine, channel: str, address: str) -> Contact | None:
    """The contact of an address, or None: a stranger."""
    query = select(contacts).where(contacts.c.channel == channel, contacts.c.address == address)
    with reading(engine) as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else contact_of(row)


def record_consent(
    engine: Engine, contact_id: str, kind: ConsentKind, *, source: str, wording: str, at_ms: int
) -> None:
    """Keep a contact's word; the newest one counts. Raises NotFound (`contact`)."""
    with writing(engine) as connection:
        note_consent(connection, contact_id, kind, source=source, wording=wording, at_ms=at_ms)


def note_consent(
    connection: Connection, contact_id: str, kind: ConsentKind, *, source: str, wording: str, at_ms: int
) -> None:
    """As `record_consent`, within the caller's transaction."""
    known = connection.execute(select(contacts.c.contact_id).where(contacts.c.contact_id == contact_id)).scalar()
    if known is None:
        raise NotFound("contact", contact_id)
    row = {"contact_id": contact_id, "kind": kind, "source": source, "wording": wording, "at_ms": at_ms}
    connection.execute(insert(consents), row)
    newest = (
        select(consents.c.kind)
        .where(consents.c.contact_id == contact_id)
        .order_by(consents.c.at_ms.desc(), consents.c.consent_id.desc())
        .limit(1)
    )
    opted_in = connection.execute(newest).scalar_one() == "opt_in"
    state = {"consented": opted_in, "opted_out": not opted_in}
    connection.execute(update(contacts).where(contacts.c.contact_id == contact_id).values(state))


def mark_unreachable(engine: Engine, contact_id: str, reason: str) -> None:
    """Keep that an address can never be reached, and why; "" takes it back."""
    with writing(engine) as connection:
        connection.execute(update(contacts).where(contacts.c.contact_id == contact_id).values(unreachable=reason))


def consent_history(engine: Engine, contact_id: str) -> tuple[Consent, ...]:
    """All a contact agreed to or took back, oldest first."""
    query = (
        select(consents).where(consents.c.contact_id == contact_id).order_by(consents.c.at_ms, consents.c.consent_id)
    )
    with reading(engine) as connection:
        return tuple(
            Consent(contact_id=r.contact_id, kind=r.kind, source=r.source, wording=r.wording, at_ms=r.at_ms)
            for r in connection.execute(query)
        )


def count_customers(engine: Engine) -> int:
    """How many customers there are."""
    with reading(engine) as connection:
        return int(connection.execute(select(func.count()).select_from(customers)).scalar_one())


def contact_of(row: Record) -> Contact:
    """A contact from its row."""
    return Contact(
        contact_id=row.contact_id,
        customer_id=CustomerId(row.customer_id),
        channel=row.channel,
        address=row.address,
        language=row.language,
        zone=row.zone,
        consented=row.consented,
        opted_out=row.opted_out,
        daily_cap=row.daily_cap,
        quiet_from=row.quiet_from,
        quiet_to=row.quiet_to,
        name=row.name,
        unreachable=row.unreachable,
    )


def _row(contact: Contact) -> dict[str, object]:
    kept = (
        "contact_id",
        "customer_id",
        "channel",
        "address",
        "language",
        "zone",
        "daily_cap",
        "quiet_from",
        "quiet_to",
        "name",
    )
    return {name: getattr(contact, name) for name in kept}
