"""What the embedded store forgets, by class: raw samples become hourly roll-ups, then those go; log lines; old keys.

A run goes as a whole, once its newest sample is too old: no file is ever rewritten to forget a part of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from gateway.ports import BatchKey
from gateway.stores.keyset import KeySet
from gateway.stores.runs import Runs

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
DIGEST_DAYS = 3  # a broker holds a plain MQTT message for redelivery far shorter


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How long each class is kept."""

    raw_ms: int = 90 * DAY_MS
    rollup_ms: int = 730 * DAY_MS
    logs_ms: int = 30 * DAY_MS


def apply(
    db: duckdb.DuckDBPyConnection, runs: Runs, keep: Keep, *, keys: KeySet, now_ms: int, settled: int
) -> dict[str, int]:
    """Apply retention in one transaction; rows removed by class: `raw`, `rollup`, `logs`.

    Args:
        db: the writer's connection.
        runs: the folder of runs.
        keep: how long each class is kept.
        keys: all keys; those folded stay in it, old digests leave it.
        now_ms: the gateway's clock.
        settled: spans up to this window are not asked for again.
    """
    db.execute("BEGIN")
    try:
        removed = {
            "raw": _roll_up(db, runs, now_ms - keep.raw_ms),
            "rollup": _delete(db, "rollup", "t_ms < ?", now_ms - keep.rollup_ms),
            "logs": _delete(db, "log", "t_ms < ?", now_ms - keep.logs_ms),
        }
        _fold_keys(db, keys, now_ms=now_ms)
        db.execute(
            "DELETE FROM span WHERE number <= ? AND received_ms < ? AND number < (SELECT max(number) FROM span) "
            "AND NOT EXISTS (SELECT 1 FROM duckdb_tables() WHERE table_name = 'hot_' || hot)",
            [settled, now_ms - DIGEST_DAYS * DAY_MS],
        ).fetchall()
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    return removed


def _roll_up(db: duckdb.DuckDBPyConnection, runs: Runs, until_ms: int) -> int:
    """Make roll-ups of the runs that lie before `until_ms` as a whole, and let them go; their rows."""
    old = db.execute("SELECT file, rows FROM run WHERE last_ms < ?", [until_ms]).fetchall()
    for name, _ in old:
        db.execute(
            f"INSERT INTO rollup SELECT series, t_ms // {HOUR_MS} * {HOUR_MS} AS hour, min(value), avg(value), "
            f"max(value), arg_max(value, t_ms), count(*) FROM {runs.parquet([name])} GROUP BY ALL ORDER BY 1, 2"
        ).fetchall()
        db.execute("DELETE FROM run WHERE file = ?", [name]).fetchall()
    return sum(rows for _, rows in old)


def _delete(db: duckdb.DuckDBPyConnection, table: str, condition: str, bound: int) -> int:
    row = db.execute(f"DELETE FROM {table} WHERE {condition}", [bound]).fetchone()
    return int(row[0]) if row else 0


def _fold_keys(db: duckdb.DuckDBPyConnection, keys: KeySet, *, now_ms: int) -> None:
    """Write the intervals anew and forget the single keys they hold; keep digests of the last days only."""
    since = (now_ms - DIGEST_DAYS * DAY_MS,)
    db.execute(
        "DELETE FROM batch WHERE boot > 0 OR number NOT IN (SELECT number FROM span WHERE received_ms >= ?)", since
    ).fetchall()
    keys.forget_digests(BatchKey(*row) for row in db.execute("SELECT device, boot, seq FROM batch").fetchall())
    columns = list(zip(*keys.ranges(), strict=True)) or [(), (), (), ()]
    names = ("device", "boot", "first", "last")
    db.execute("DELETE FROM batch_range").fetchall()
    held = pa.table({name: pa.array(column, pa.int64()) for name, column in zip(names, columns, strict=True)})
    db.register("incoming", held)
    db.execute("INSERT INTO batch_range SELECT * FROM incoming ORDER BY device, boot, first").fetchall()
    db.unregister("incoming")
