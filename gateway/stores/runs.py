"""Sorted runs: Parquet files of samples that are settled, beside the DuckDB file. `stores.schema` has the layout."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import duckdb
import structlog

MERGED_ROWS = 64_000_000  # a merged run holds at most about this many rows: some 150 MB
MERGE_FROM = 8  # so many small runs are worth merging: reading opens each
RUBBISH_S = 3600.0  # a file no longer named is kept so long, for readers that found it named
_FORM = "FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2, ROW_GROUP_SIZE 65536"
log = structlog.get_logger(__name__)


class Runs:
    """The folder of runs. Writing takes a cursor of the store's; each call is one transaction."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def settle(self, con: duckdb.DuckDBPyConnection, table: int) -> None:
        """Turn a closed `hot` table into a run and drop it. Raises duckdb.Error; then nothing has changed."""
        self._write(con, f"SELECT series, t_ms, value, late FROM hot_{table}", f"DROP TABLE hot_{table}")

    def merge(self, con: duckdb.DuckDBPyConnection) -> int:
        """Merge small runs, oldest first, into one; how many were merged. Raises duckdb.Error."""
        query = "SELECT file, rows FROM run WHERE rows < ? ORDER BY first_ms, file"
        chosen: list[str] = []
        room = MERGED_ROWS
        for name, rows in con.execute(query, [MERGED_ROWS // 2]).fetchall():
            if rows > room:
                break
            chosen, room = [*chosen, name], room - rows
        if len(chosen) < MERGE_FROM:
            return 0
        names = ", ".join(f"'{name}'" for name in chosen)
        source = f"SELECT series, t_ms, value, late FROM {self.parquet(chosen)}"
        self._write(con, source, f"DELETE FROM run WHERE file IN ({names})")
        return len(chosen)

    def parquet(self, names: Sequence[str]) -> str:
        """A table expression over runs."""
        files = ", ".join("'" + str(self.folder / name).replace("'", "''") + "'" for name in names)
        return f"read_parquet([{files}])"

    def used_bytes(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.folder.iterdir())

    def sweep(self, con: duckdb.DuckDBPyConnection, *, older_s: float = RUBBISH_S) -> None:
        """Delete files that no row names any more, and rows whose file is gone."""
        named = {name for (name,) in con.execute("SELECT file FROM run").fetchall()}
        there = {path.name for path in self.folder.iterdir()}
        for name in there - named:
            path = self.folder / name
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime >= older_s:
                    path.unlink()
        for name in named - there:
            log.error("store.run_missing", file=name)
            con.execute("DELETE FROM run WHERE file = ?", [name]).fetchall()

    def _write(self, con: duckdb.DuckDBPyConnection, source: str, instead: str) -> None:
        name = f"{time.time_ns():020d}.parquet"
        path = self.folder / name
        target = str(path).replace("'", "''")
        con.execute(f"COPY ({source} ORDER BY series, t_ms) TO '{target}' ({_FORM})").fetchall()
        _sync(path)
        _sync(self.folder)
        con.execute("BEGIN")
        try:
            con.execute(
                f"INSERT INTO run SELECT ?, count(*), min(t_ms), max(t_ms) FROM {self.parquet([name])}", [name]
            ).fetchall()
            con.execute(instead).fetchall()
            con.execute("COMMIT")
        except BaseException:
            con.execute("ROLLBACK")
            raise


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
