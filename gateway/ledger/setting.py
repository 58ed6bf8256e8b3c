"""Small things kept by key, with who wrote them and when: switches of the console, channels that are down."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, delete, select

from gateway.ledger.database import put, reading, writing
from gateway.ledger.tables import settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing kept."""

    key: str
    value: object
    at_ms: int
    author: str


def entries(engine: Engine, prefix: str) -> tuple[Entry, ...]:
    """Every key that starts with `prefix`, with who wrote it and when, by key."""
    query = select(settings).where(settings.c.key.startswith(prefix, autoescape=True)).order_by(settings.c.key)
    with reading(engine) as connection:
        return tuple(
            Entry(key=row.key, value=row.value, at_ms=row.at_ms, author=row.author) for row in connection.execute(query)
        )


def read(engine: Engine, prefix: str) -> dict[str, object]:
    """Every key that starts with `prefix`, and its value."""
    return {entry.key: entry.value for entry in entries(engine, prefix)}


def write(engine: Engine, key: str, value: object, *, author: str, now_ms: int) -> None:
    """Keep a value that JSON can hold."""
    with writing(engine) as connection:
        put(connection, settings, [{"key": key, "value": value, "at_ms": now_ms, "author": author}])


def forget(engine: Engine, key: str) -> None:
    """Remove a key; a key that is not there is none."""
    with writing(engine) as connection:
        connection.execute(delete(settings).where(settings.c.key == key))
