"""Ledgers for tests: each test runs on an SQLite file and on PostgreSQL, migrated from empty, and thrown away.

PostgreSQL is `BEFOREHAND_TEST_POSTGRES_URL` (a server on which databases may be created), or a private cluster started
from Debian's binaries; without either, its tests skip.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url

from gateway import ledger
from gateway.ledger import seal
from gateway.ledger.tables import METADATA
from tests.integration.ledger.fleet import VAULT

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
SHARED = f"beforehand_{uuid.uuid4().hex[:8]}"
"""The database that PostgreSQL tests share, emptied before each: making one takes a checkpoint of the whole server."""


def _as_postgres(*command: str) -> list[str]:
    """PostgreSQL refuses to run as root."""
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else list(command)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a server; its private cluster speaks through a Unix socket only."""
    if given := os.environ.get("BEFOREHAND_TEST_POSTGRES_URL"):
        yield given
        return
    if not BINARIES or (os.geteuid() == 0 and shutil.which("runuser") is None):
        pytest.skip("no PostgreSQL: set BEFOREHAND_TEST_POSTGRES_URL or install its server binaries")
    binaries, home = BINARIES[-1], Path(tempfile.mkdtemp(prefix="pg"))
    home.chmod(0o777)
    cluster, quick = home / "data", "-c fsync=off -c full_page_writes=off -c synchronous_commit=off"
    options = f"-k {home} -c listen_addresses='' {quick}"
    try:
        _run(binaries / "initdb", "-D", cluster, "-U", "postgres", "-A", "trust", "-N", "--no-instructions")
        _run(binaries / "pg_ctl", "-D", cluster, "-w", "-l", home / "log", "-o", options, "start")
        yield f"postgresql+psycopg://postgres@/postgres?host={home}"
    finally:
        if cluster.exists():
            _run(binaries / "pg_ctl", "-D", cluster, "-m", "immediate", "-w", "stop")
        shutil.rmtree(home, ignore_errors=True)


def _run(*command: object) -> None:
    done = subprocess.run(
        _as_postgres(*map(str, command)), check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, cwd="/", timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()


def _execute(server: str, statement: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "template.sqlite"
    engine = ledger.connect(f"sqlite:///{path}")
    ledger.migrate(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgres_ledger(postgres_server: str) -> Iterator[str]:
    _execute(postgres_server, f"CREATE DATABASE {SHARED}")
    url = _database(postgres_server, SHARED)
    engine = ledger.connect(url)
    ledger.migrate(engine)
    engine.dispose()
    yield url
    _execute(postgres_server, f"DROP DATABASE {SHARED} WITH (FORCE)")


def _database(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with nothing in it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.sqlite'}"
        return
    server, name = request.getfixturevalue("postgres_server"), f"t{uuid.uuid4().hex}"
    _execute(server, f"CREATE DATABASE {name}")
    yield _database(server, name)
    _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated ledger of this test's own."""
    if request.param == "sqlite":
        path = tmp_path / "ledger.sqlite"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    url = request.getfixturevalue("postgres_ledger")
    _execute(url, f"TRUNCATE {', '.join(METADATA.tables)} RESTART IDENTITY CASCADE")
    yield url


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    """A migrated ledger of this test's own, which seals."""
    made = ledger.connect(ledger_url)
    seal.give(made, VAULT)
    yield made
    made.dispose()
