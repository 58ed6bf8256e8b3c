"""How the ledger is opened, written and read: SQLite by default, PostgreSQL by URL.

SQLite runs in WAL mode with foreign keys on. A write transaction takes SQLite's lock at its start (`BEGIN IMMEDIATE`),
for one that began by reading fails at once, without waiting, when another writer was faster. Errors, which end in the
log, name no values: keys of devices and hashes of tokens are among them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, Row, Table, create_engine, event, make_url, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError

from gateway.errors import ConfigError, TryLater
from gateway.ledger.tables import counters

MAX_DIGITS = 18  # what a BIGINT holds whatever they are
BUSY_TIMEOUT_MS = 10_000  # longer than the longest turn's commit, shorter than a person's patience
MIGRATIONS = Path(__file__).parent / "migrations"

Record: TypeAlias = Row[*tuple[Any, ...]]


def canonical(value: object) -> str:
    """The one JSON text of a value: keys sorted, no spaces, no escapes beyond the needed, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def connect(url: str) -> Engine:
    """An engine for `sqlite:///path/ledger.db` or `postgresql://user:pass@host/name`; nothing is opened yet.

    Raises:
        ConfigError: `bad_ledger_url`: neither SQLite nor PostgreSQL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as exc:
        raise ConfigError("bad_ledger_url", "write sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME") from exc
    match parsed.get_backend_name():
        case "sqlite":
            engine = create_engine(parsed, json_serializer=canonical, hide_parameters=True)
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        case "postgresql":
            return create_engine(
                parsed.set(drivername="postgresql+psycopg"), json_serializer=canonical, hide_parameters=True,
                pool_pre_ping=True,
            )  # fmt: skip
        case other:
            raise ConfigError("bad_ledger_url", f"{other}: the ledger is sqlite or postgresql")


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are ours, not the driver's
    pragmas = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}")
    for pragma in (*pragmas, "secure_delete=ON"):  # what is erased or sealed again leaves no copy in free pages
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def forget_log(engine: Engine) -> None:
    """Empty SQLite's write-ahead log, in which earlier versions of rows rest; PostgreSQL minds its own."""
    if engine.dialect.name == "sqlite":
        held = engine.raw_connection()
        try:
            held.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        finally:
            held.close()


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A write transaction: committed at the end, rolled back by any exception. Raises TryLater (`ledger_full`)."""
    try:
        with engine.execution_options(writes=True).connect() as connection, connection.begin():
            yield connection
    except OperationalError as exc:
        if getattr(exc.orig, "sqlite_errorname", "") == "SQLITE_FULL" or getattr(exc.orig, "sqlstate", "") == "53100":
            raise TryLater("ledger_full", "the disk of the ledger is full: free some") from exc
        raise


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A read transaction: one consistent view."""
    with engine.connect() as connection, connection.begin():
        yield connection


def is_number(text: str) -> bool:
    """Whether a text is a number that a column can hold: Arabic digits, and not too many."""
    return text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS


def is_conflict(exc: IntegrityError) -> bool:
    """Whether a key was taken by another writer; any other broken constraint is a mistake of ours."""
    code = getattr(exc.orig, "sqlite_errorname", "") or getattr(exc.orig, "sqlstate", "")
    return code in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "23505")


def add_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert the rows whose unique keys are not there yet; leave the others as they are."""
    if rows:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), [dict(row) for row in rows])


def put(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows, or replace the given columns of those whose primary key is there. All rows have equal keys."""
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    keys = [column.name for column in table.primary_key]
    statement = dialect.insert(table)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    connection.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=changed)
        if changed
        else statement.on_conflict_do_nothing(),
        [dict(row) for row in rows],
    )


def take_numbers(connection: Connection, name: str, count: int = 1) -> int:
    """The first of `count` numbers of a counter that starts at 1; no other transaction gets the same."""
    add_new(connection, counters, [{"name": name, "value": 0}])
    step = update(counters).where(counters.c.name == name).values(value=counters.c.value + count)
    return int(connection.execute(step.returning(counters.c.value)).scalar_one()) - count + 1


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring the schema to `revision`; `base` empties it, `-2` goes two steps back. Safe to call at every start.

    Raises:
        ConfigError: `ledger_away`: the database cannot be opened.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    try:
        with writing(engine) as connection:
            config.attributes["connection"] = connection
            back = revision == "base" or revision.startswith("-")
            (command.downgrade if back else command.upgrade)(config, revision)
    except OperationalError as exc:
        place = engine.url.render_as_string(hide_password=True)
        raise ConfigError("ledger_away", f"{place} cannot be opened: {type(exc.orig).__name__}") from exc
