"""The embedded series store: a DuckDB file with sorted runs beside it. `stores.schema` explains the layout.

One writer at a time; readers take a snapshot of their own and never wait. What must be fast at every window (which
batches are stored, the newest value of each series) is in memory, and is read back when the store is opened.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import structlog

from gateway.errors import ConfigError, TryLater
from gateway.model import SEVERITIES, Birth, Block, Floats, Integers, LogLines, Presence
from gateway.ports import BatchKey
from gateway.stores import retention
from gateway.stores.keyset import KeySet
from gateway.stores.newest import Newest
from gateway.stores.runs import Runs
from gateway.stores.schema import HOT, TABLES, VERSION

HOT_ROWS = 4_000_000  # rows of one sorted run: sorting and writing one takes about 2 s of one core
CHECKPOINT = "128MB"  # of write-ahead log: a check point every few million values, each well under a second
_FULL = ("no space left", "disk full", "file too large", "could not write", "out of disk")
log = structlog.get_logger(__name__)


class DuckDbStore:
    """A `SeriesStore` in one file. Thread-safe; every method blocks."""

    def __init__(
        self, path: Path, *, memory: str = "1GB", threads: int = 2, hot_rows: int = HOT_ROWS,
        keep: retention.Keep | None = None,
    ) -> None:  # fmt: skip
        """Raises ConfigError (`store_locked`, `store_unreadable`, `store_version`)."""
        self._path, self._hot_rows = path, hot_rows
        self._config = {"memory_limit": memory, "threads": threads, "checkpoint_threshold": CHECKPOINT}
        self._keep = keep or retention.Keep()
        self._lock = threading.Lock()  # one writer
        self._runs = Runs(path.with_name(path.name + ".runs"))
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="compaction")
        self._compacting: Future[None] | None = None
        self._settled = 0
        self._keys, self._newest = KeySet(), Newest()
        self._hot, self._rows, self._last_window = 1, 0, 0
        self._db = self._open()
        self._load()

    def seen(self, keys: Sequence[BatchKey]) -> set[BatchKey]:
        """Which of the keys are stored already."""
        return {key for key in keys if key in self._keys}

    def append(self, block: Block, keys: Sequence[BatchKey]) -> None:
        """Commit one window. Raises TryLater (`store_full`, `store_busy`); then nothing was written."""
        with self._lock:
            try:
                self._write(block, keys)
            except duckdb.Error as exc:
                raise self._later(exc) from exc
            for key in keys:
                self._keys.add(key)
            self._newest.advance(block)
            self._last_window = max(self._last_window, block.window)
            self._rows += len(block)
            if self._rows >= self._hot_rows:
                self._next_hot()

    def settle(self, window: int) -> None:
        """Windows up to this one will not be asked for by `since` again: full tables of them are sorted away."""
        self._settled = max(self._settled, window)
        idle = self._compacting is None or self._compacting.done()
        if idle and self._closed_tables():
            self._compacting = self._pool.submit(self.compact)

    def last_window(self) -> int:
        """The highest committed window number; 0 where there is none."""
        return self._last_window

    def since(self, window: int) -> Iterator[Block]:
        """Blocks with a higher window number, in order, as they were committed."""
        with self._reading() as con:
            spans = con.execute("SELECT * FROM span WHERE number > ? ORDER BY number", [window]).fetchall()
        for number, received_ms, hot, births, presence in spans:
            with self._reading() as con:
                yield _block(con, number, hot, received_ms=received_ms, births=births, presence=presence)

    def range(self, series: int, start_ms: int, end_ms: int, *, limit: int = 0) -> tuple[Integers, Floats]:
        """(t_ms, value) of one series in [start, end), by time; thinned to about `limit` by min/max buckets if > 0."""
        with self._reading() as con:
            if limit <= 0:
                query = f"SELECT t_ms, value FROM ({self._samples(con, start_ms, end_ms)}) ORDER BY t_ms"
                found = con.execute(query, _window_of(series, start_ms, end_ms)).fetchnumpy()
                return _integers(found["t_ms"]), _floats(found["value"])
            width = max(1, -(-2 * (end_ms - start_ms) // limit))
            query = (
                f"SELECT arg_min(t_ms, least) AS t1, min(least) AS v1, arg_max(t_ms, most) AS t2, max(most) AS v2 "
                f"FROM ({self._samples(con, start_ms, end_ms)}) GROUP BY (t_ms - {int(start_ms)}) // {width}"
            )
            found = con.execute(query, _window_of(series, start_ms, end_ms)).fetchnumpy()
        t_ms = np.concatenate([_integers(found["t1"]), _integers(found["t2"])])
        value = np.concatenate([_floats(found["v1"]), _floats(found["v2"])])
        order = np.lexsort((value, t_ms))
        t_ms, value = t_ms[order], value[order]
        new = np.ones(t_ms.size, np.bool_)
        new[1:] = (t_ms[1:] != t_ms[:-1]) | (value[1:] != value[:-1])
        return t_ms[new], value[new]

    def last(self, series: Sequence[int]) -> tuple[Integers, Floats]:
        """Newest (t_ms, value) of each series; t_ms -1 and NaN where there is none."""
        return self._newest.of(series)

    def logs(self, device: int, start_ms: int, end_ms: int, *, limit: int = 200) -> list[tuple[int, str, str, str]]:
        """Newest `limit` log lines of a device in [start, end): (t_ms, severity, source, text), oldest first."""
        query = (
            "SELECT t_ms, severity, source, line FROM log WHERE device = ? AND t_ms >= ? AND t_ms < ? "
            "ORDER BY t_ms DESC, rowid DESC LIMIT ?"
        )
        with self._reading() as con:
            rows = con.execute(query, [device, start_ms, end_ms, limit]).fetchall()
        return [(t_ms, SEVERITIES[severity], source, text) for t_ms, severity, source, text in reversed(rows)]

    def retain(self, now_ms: int) -> dict[str, int]:
        """Apply roll-up and retention by class, fold keys and spans; rows removed by class."""
        with self._lock:
            try:
                self._write_newest()
                removed = retention.apply(
                    self._db, self._runs, self._keep, keys=self._keys, now_ms=now_ms, settled=self._settled
                )
                self._db.execute("CHECKPOINT").fetchall()
                self._runs.sweep(self._db)
            except duckdb.Error as exc:
                raise self._later(exc) from exc
        return removed

    def compact(self) -> None:
        """Turn the closed `hot` tables whose windows are settled into sorted runs, and merge small runs."""
        for number in self._closed_tables():
            con = self._db.cursor()
            try:
                self._runs.settle(con, number)
                self._runs.merge(con)
            except (duckdb.Error, OSError) as exc:  # tried again at the next settling
                log.warning("store.compaction_failed", error=str(exc)[:200])
                return
            finally:
                con.close()
            log.info("store.compacted", table=number)

    def flush(self, *, everything: bool = False) -> None:
        """Write a check point; with `everything`, also turn all settled samples into runs first."""
        with self._lock:
            if everything and self._rows:
                self._next_hot()
        if everything:
            self._pool.submit(self.compact).result()
        with self._lock:
            self._db.execute("CHECKPOINT").fetchall()

    def used_bytes(self) -> int:
        """Bytes in use on the disk: runs, and the blocks of the DuckDB file that hold anything.

        The file itself is larger by the blocks that were freed and wait to be used again, at most about two `hot`
        tables' worth; it does not grow with what is stored.
        """
        with self._lock:
            _, _, block, _, used, *_ = self._db.execute("PRAGMA database_size").fetchall()[0]
        return int(block) * int(used) + self._runs.used_bytes()

    def close(self) -> None:
        """Write what memory holds and let the file go."""
        self._pool.shutdown(wait=True)
        with self._lock, contextlib.suppress(duckdb.Error):
            self._write_newest()
            self._db.close()

    def _samples(self, con: duckdb.DuckDBPyConnection, start_ms: int, end_ms: int) -> str:
        """A query over all samples of $series in [$start, $end): t_ms, value, least, most."""
        bounds = "WHERE series = $series AND t_ms >= $start AND t_ms < $end"
        query = "SELECT file FROM run WHERE last_ms >= ? AND first_ms < ?"
        runs = [name for (name,) in con.execute(query, [start_ms, end_ms]).fetchall()]
        tables = [f"hot_{n}" for n in _hot_tables(con)] + ([self._runs.parquet(runs)] if runs else [])
        raw = [f"SELECT t_ms, value, value AS least, value AS most FROM {table} {bounds}" for table in tables]
        raw.append(f"SELECT t_ms, mean AS value, least, most FROM rollup {bounds}")
        return " UNION ALL ".join(raw)

    def _open(self) -> duckdb.DuckDBPyConnection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            db = duckdb.connect(str(self._path), config=self._config)
        except (duckdb.IOException, OSError) as exc:
            code = "store_locked" if "lock" in str(exc).lower() else "store_unreadable"
            hint = "stop the other gateway" if code == "store_locked" else "move the file away, or restore it"
            raise ConfigError(code, f"{self._path}: {hint} ({str(exc)[:120]})") from exc
        db.execute(TABLES).fetchall()
        found = db.execute("SELECT version FROM about").fetchone()
        if found is None:
            db.execute("INSERT INTO about VALUES (?)", [VERSION]).fetchall()
        elif found[0] != VERSION:
            raise ConfigError("store_version", f"{self._path} is of version {found[0]}, this gateway writes {VERSION}")
        return db

    def _load(self) -> None:
        """Read back what memory holds."""
        self._runs.sweep(self._db, older_s=0.0)
        tables = _hot_tables(self._db)
        self._hot = max(tables, default=1)
        self._db.execute(HOT.format(n=self._hot)).fetchall()
        self._rows = _one(self._db, f"SELECT count(*) FROM hot_{self._hot}")
        self._last_window = _one(self._db, "SELECT coalesce(max(number), 0) FROM span")
        self._keys, self._newest = KeySet(), Newest()
        for row in self._db.execute("SELECT device, boot, first, last FROM batch_range").fetchall():
            self._keys.add_range(*row)
        for row in self._db.execute("SELECT device, boot, seq FROM batch ORDER BY device, boot, seq").fetchall():
            self._keys.add(BatchKey(*row))
        self._newest.load(self._db.execute("SELECT series, t_ms, value FROM newest").fetchnumpy())
        for number in tables:
            query = f"SELECT series, max(t_ms) AS t_ms, arg_max(value, t_ms) AS value FROM hot_{number} GROUP BY series"
            self._newest.load(self._db.execute(query).fetchnumpy())

    def _write(self, block: Block, keys: Sequence[BatchKey]) -> None:
        con = self._db
        con.execute("BEGIN")
        try:
            samples = pa.table({"series": block.series, "t_ms": block.t_ms, "value": block.value, "late": block.late})
            _insert(con, f"hot_{self._hot} SELECT {block.window}, series, t_ms, value, late FROM incoming", samples)
            batches = np.array([(key.device, key.boot, key.seq) for key in keys], np.int64).reshape(-1, 3)
            held = pa.table({name: batches[:, i] for i, name in enumerate(("device", "boot", "seq"))})
            _insert(con, f"batch SELECT {block.window}, device, boot, seq FROM incoming", held)
            if len(block.logs):
                _insert(con, f"log SELECT {block.window}, * FROM incoming", _log_table(block.logs))
            births = json.dumps([asdict(birth) for birth in block.births])
            presence = json.dumps([asdict(change) for change in block.presence])
            span = [block.window, block.received_ms, self._hot, births, presence]
            con.execute("INSERT INTO span VALUES (?, ?, ?, ?, ?)", span).fetchall()
            con.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                con.execute("ROLLBACK")
            raise

    def _later(self, exc: duckdb.Error) -> TryLater:
        """A failed write as TryLater; a database that gave up is opened again first."""
        if isinstance(exc, duckdb.FatalException) or "invalidated" in str(exc):
            with contextlib.suppress(duckdb.Error, ConfigError):
                self._db.close()
                self._db = self._open()
                self._load()
        full = any(word in str(exc).lower() for word in _FULL)
        return TryLater("store_full" if full else "store_busy", str(exc)[:200], after_s=5.0)

    def _next_hot(self) -> None:
        """Close the table that is written to, and begin the next."""
        self._db.execute(HOT.format(n=self._hot + 1)).fetchall()
        self._hot, self._rows = self._hot + 1, 0

    def _closed_tables(self) -> list[int]:
        """Hot tables that are full and whose windows are all settled, oldest first."""
        with self._reading() as con:
            query = "SELECT hot, max(number) FROM span GROUP BY hot"
            highest: dict[int, int] = dict(con.execute(query).fetchall())
            closed = [n for n in _hot_tables(con) if n != self._hot]
        return [n for n in closed if highest.get(n, 0) <= self._settled]

    def _write_newest(self) -> None:
        newest = self._newest.table()
        con = self._db
        con.execute("BEGIN")
        con.execute("DELETE FROM newest").fetchall()
        _insert(con, "newest SELECT * FROM incoming", newest)
        con.execute("COMMIT")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A snapshot of the whole store."""
        con = self._db.cursor()
        try:
            con.execute("BEGIN")
            yield con
        except duckdb.Error as exc:
            raise TryLater("store_busy", str(exc)[:200]) from exc
        finally:
            con.close()


def _insert(con: duckdb.DuckDBPyConnection, what: str, incoming: pa.Table) -> None:
    con.register("incoming", incoming)
    con.execute(f"INSERT INTO {what}").fetchall()
    con.unregister("incoming")


def _hot_tables(con: duckdb.DuckDBPyConnection) -> list[int]:
    query = "SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'hot\\_%' ESCAPE '\\'"
    return sorted(int(name.removeprefix("hot_")) for (name,) in con.execute(query).fetchall())


def _window_of(series: int, start_ms: int, end_ms: int) -> dict[str, int]:
    return {"series": int(series), "start": int(start_ms), "end": int(end_ms)}


def _block(
    con: duckdb.DuckDBPyConnection, number: int, hot: int, *, received_ms: int, births: str, presence: str
) -> Block:
    query = f"SELECT series, t_ms, value, late FROM hot_{int(hot)} WHERE number = ? ORDER BY rowid"
    found = con.execute(query, [number]).fetchnumpy() if hot in _hot_tables(con) else {}
    lines = con.execute("SELECT * EXCLUDE number FROM log WHERE number = ? ORDER BY rowid", [number]).fetchall()
    device, t_ms, severity, source, text = zip(*lines, strict=True) if lines else ((),) * 5
    return Block(
        window=number,
        received_ms=received_ms,
        series=_integers(found.get("series", ())),
        t_ms=_integers(found.get("t_ms", ())),
        value=_floats(found.get("value", ())),
        late=np.asarray(found.get("late", ()), np.bool_),
        logs=LogLines(
            device=np.array(device, np.int64), t_ms=np.array(t_ms, np.int64), severity=np.array(severity, np.int8),
            source=tuple(source), text=tuple(text),
        ),
        births=tuple(Birth(**row | {"metrics": tuple(map(tuple, row["metrics"]))}) for row in json.loads(births)),
        presence=tuple(Presence(**row) for row in json.loads(presence)),
    )  # fmt: skip


def _log_table(logs: LogLines) -> pa.Table:
    return pa.table(
        {
            "device": logs.device, "t_ms": logs.t_ms, "severity": logs.severity,
            "source": list(logs.source), "line": list(logs.text),
        }
    )  # fmt: skip


def _one(con: duckdb.DuckDBPyConnection, query: str) -> int:
    row = con.execute(query).fetchone()
    return int(row[0]) if row else 0


def _integers(column: object) -> Integers:
    return np.asarray(column, np.int64)


def _floats(column: object) -> Floats:
    return np.asarray(column, np.float64)
