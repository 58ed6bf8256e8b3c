"""The audit chain: who did what, in rows that cannot be changed unseen.

Each row's hash is SHA-256(previous hash || canonical JSON of the row), so changing, removing or inserting a row breaks
every hash after it. Details hold ids and codes, never personal data: the chain outlives erasure.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, insert, select

from gateway.ledger.database import canonical, reading, take_numbers, writing
from gateway.ledger.tables import audit, counters

COUNTER = "audit"  # of rows ever written
LOOK, LOOK_MS = "customer.look", 15 * 60_000  # a page that refreshes itself is one look
RECENT = 500  # rows in which an earlier look is sought: beyond them a second one is recorded, which harms nobody


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One row of the chain."""

    number: int
    at_ms: int
    actor: str
    action: str
    subject: str
    detail: object


def record(
    connection: Connection,
    *,
    at_ms: int,
    actor: str,
    action: str,
    subject: str,
    detail: dict[str, object] | None = None,
) -> None:
    """Append a row within the caller's write transaction, so that a deed and its record stand or fall together."""
    number = take_numbers(connection, COUNTER)
    prev = connection.execute(select(audit.c.hash).where(audit.c.number == number - 1)).scalar() or ""
    row: dict[str, object] = {
        "number": number,
        "at_ms": at_ms,
        "actor": actor,
        "action": action,
        "subject": subject,
        "detail": detail or {},
    }
    connection.execute(insert(audit), row | {"prev": prev, "hash": _hash(prev, row)})


def note(
    engine: Engine, *, at_ms: int, actor: str, action: str, subject: str, detail: dict[str, object] | None = None
) -> None:
    """Append a row in a transaction of its own."""
    with writing(engine) as connection:
        record(connection, at_ms=at_ms, actor=actor, action=action, subject=subject, detail=detail)


def note_look(engine: Engine, *, at_ms: int, actor: str, subject: str) -> None:
    """Record that someone saw personal data in full, once in LOOK_MS for the same eyes and subject."""
    newest = select(audit).order_by(audit.c.number.desc()).limit(RECENT).subquery()
    seen = select(newest.c.number).where(newest.c.actor == actor, newest.c.action == LOOK, newest.c.subject == subject)
    with reading(engine) as connection:
        if connection.execute(seen.where(newest.c.at_ms > at_ms - LOOK_MS).limit(1)).scalar() is not None:
            return
    note(engine, at_ms=at_ms, actor=actor, action=LOOK, subject=subject)


def verify(engine: Engine) -> int | None:
    """The number of the first row that does not fit the chain, or is missing at its end; None where all fit."""
    prev, expected = "", 1
    with reading(engine) as connection:
        counted = select(counters.c.value).where(counters.c.name == COUNTER)
        given = connection.execute(counted).scalar() or 0  # first: rows may be added meanwhile
        for row in connection.execute(select(audit).order_by(audit.c.number)):
            content = {name: row._mapping[name] for name in ("number", "at_ms", "actor", "action", "subject", "detail")}
            if row.number != expected or row.prev != prev or row.hash != _hash(prev, content):
                return expected
            prev, expected = row.hash, expected + 1
    return expected if expected <= given else None


def recent(engine: Engine, *, limit: int = 100, subject: str = "") -> tuple[Deed, ...]:
    """Newest rows first."""
    query = select(audit).order_by(audit.c.number.desc()).limit(limit)
    if subject:
        query = query.where(audit.c.subject == subject)
    with reading(engine) as connection:
        return tuple(
            Deed(number=r.number, at_ms=r.at_ms, actor=r.actor, action=r.action, subject=r.subject, detail=r.detail)
            for r in connection.execute(query)
        )


def _hash(prev: str, row: dict[str, object]) -> str:
    return hashlib.sha256((prev + canonical(row)).encode()).hexdigest()
