"""Small things kept by key, with who wrote them and when: switches of the console, channels that are down."""

from __future__ import annotations

from sqlalchemy import Engine, delete, select

from gateway.ledger.database import put, reading, writing
from gateway.ledger.tables import settings


def read(engine: Engine, prefix: str) -> dict[str, object]:
    """Every key that starts with `prefix`, and its value."""
    query = select(settings.c.key, settings.c.value).where(settings.c.key.startswith(prefix, autoescape=True))
    with reading(engine) as connection:
        return {row.key: row.value for row in connection.execute(query.order_by(settings.c.key))}


def write(engine: Engine, key: str, value: object, *, author: str, now_ms: int) -> None:
    """Keep a value that JSON can hold."""
    with writing(engine) as connection:
        put(connection, settings, [{"key": key, "value": value, "at_ms": now_ms, "author": author}])


def forget(engine: Engine, key: str) -> None:
    """Remove a key; a key that is not there is none."""
    with writing(engine) as connection:
        connection.execute(delete(settings).where(settings.c.key == key))
