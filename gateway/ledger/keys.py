"""Opening the ledger with the keys of its personal data, and giving it a new one.

The ledger remembers by which key it is sealed (`settings`: `ledger.key`), so that a lost or foreign key file is told at
the start and never papered over with a new key. Changing the key is: put a new one in front, seal everything again in
one transaction, drop the old ones. Killed anywhere in between, the next start goes on with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Connection, Engine, TableClause, Text, bindparam, inspect, select, update

from gateway.errors import ConfigError
from gateway.ledger import audit
from gateway.ledger.database import connect, forget_log, migrate, put, reading, take_numbers, writing
from gateway.ledger.seal import KEPT_APART, Sealed, Vault, give, new_key, read_keys, write_keys
from gateway.ledger.tables import METADATA, settings

NAME = "ledger.key"
ROWS = 1_000  # sealed again at once: bounds memory, not the transaction


def open_ledger(url: str, key_file: Path, *, now_ms: int) -> Engine:
    """The ledger, migrated to this version, its personal data sealed with the newest key of the file.

    The first start makes the key; a ledger of an earlier version is sealed on the way.

    Raises:
        ConfigError: `bad_ledger_url`, `ledger_away`, `ledger_key_unreadable`, or `ledger_key_missing`: the ledger is
            sealed with a key that the file does not hold.
    """
    engine = connect(url)
    try:
        _unlock(engine, key_file, now_ms=now_ms)
    except BaseException:
        engine.dispose()
        raise
    return engine


def rekey(url: str, key_file: Path, *, actor: str, now_ms: int) -> str:
    """Seal everything with a key that is new and alone; its name. Nothing else may have the ledger open.

    Raises:
        ConfigError: as `open_ledger`.
    """
    open_ledger(url, key_file, now_ms=now_ms).dispose()
    keys = (new_key(), *read_keys(key_file))
    write_keys(key_file, keys)
    engine = open_ledger(url, key_file, now_ms=now_ms)
    try:
        write_keys(key_file, keys[:1])
        name = Vault(keys).newest
        audit.note(engine, at_ms=now_ms, actor=actor, action="ledger.rekey", subject=f"key:{name}")
    finally:
        engine.dispose()
    return name


def check_keys(engine: Engine, key_file: Path) -> None:
    """Whether the file opens the ledger, without changing either. Raises ConfigError as `open_ledger`."""
    _check(_sealed_by(engine), Vault(read_keys(key_file)), key_file)


def rewrite(connection: Connection, tables: Iterable[TableClause], *, plain: bool = False) -> None:
    """Write every sealed column again: with the newest key, or plain. Tables have one key column, their first."""
    for table in tables:
        held = [column for column in table.c if isinstance(column.type, Sealed)]
        if not held:
            continue
        key = next(iter(table.c))
        new = {c.name: bindparam(f"new_{c.name}", type_=Text() if plain else c.type) for c in held}
        statement = update(table).where(key == bindparam("at")).values(new)
        every = query = select(key, *held).order_by(key).limit(ROWS)
        while rows := connection.execute(query).all():
            texts = [{"at": row[0]} | {f"new_{c.name}": row._mapping[c.name] for c in held} for row in rows]
            connection.execute(statement, texts)
            query = every.where(key > rows[-1][0])


def _unlock(engine: Engine, key_file: Path, *, now_ms: int) -> None:
    keys = read_keys(key_file)
    known = _sealed_by(engine)
    if not keys and known is None:
        keys = (new_key(),)
        write_keys(key_file, keys)
    vault = Vault(keys)
    _check(known, vault, key_file)
    give(engine, vault)
    migrate(engine)
    if known == vault.newest:
        return
    with writing(engine) as connection:
        take_numbers(connection, NAME)  # no other process seals at the same time
        _check(_recorded(connection), vault, key_file)
        rewrite(connection, METADATA.sorted_tables)
        put(connection, settings, [{"key": NAME, "value": vault.newest, "at_ms": now_ms, "author": "gateway"}])
    forget_log(engine)


def _check(known: str | None, vault: Vault, key_file: Path) -> None:
    if known is not None and bytes.fromhex(known) not in vault.ids:
        detail = f"{key_file} does not hold the key {known} that the ledger is sealed with; {KEPT_APART}"
        raise ConfigError("ledger_key_missing", detail)


def _sealed_by(engine: Engine) -> str | None:
    """The name of the key that the ledger is sealed with; None for one that is new or of an earlier version."""
    with reading(engine) as connection:
        return _recorded(connection) if inspect(connection).has_table(settings.name) else None


def _recorded(connection: Connection) -> str | None:
    found = connection.execute(select(settings.c.value).where(settings.c.key == NAME)).scalar()
    return found if isinstance(found, str) else None
