"""The meaning of ports.SeriesStore: every implementation passes this."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway.errors import ConfigError
from gateway.model import Birth, Block, Device, DeviceId, LogLines, Presence, Roster
from gateway.ports import BatchKey, SeriesStore
from gateway.stores.duckdb import DuckDbStore
from gateway.stores.influx import InfluxStore
from gateway.stores.retention import DAY_MS, HOUR_MS, Keep

NOW_MS = 1_800_000_000_000
Open = Callable[[], SeriesStore]


EXTERNAL = pytest.param("influx", marks=pytest.mark.external)


@pytest.fixture(params=["duckdb", "duckdb_runs", EXTERNAL])
def open_store(request: pytest.FixtureRequest, tmp_path: Path):
    """Opens the store under test, again and again on the same data; `duckdb_runs` makes runs of everything at once."""
    opened: list[SeriesStore] = []
    rows = 1 if request.param == "duckdb_runs" else 4_000_000
    made = influx(f"contract_{os.getpid()}_{time.time_ns()}") if request.param == "influx" else None

    def open_it() -> SeriesStore:
        for store in opened:
            store.close()
        store = made() if made else DuckDbStore(tmp_path / "series.duckdb", memory="256MB", threads=1, hot_rows=rows)
        opened[:] = [store]
        return store

    yield open_it
    for store in opened:
        store.close()


def influx(bucket: str) -> Open:
    """How to open a store on a real InfluxDB 2, or a skip."""
    if not (url := os.environ.get("BEFOREHAND_TEST_INFLUX_URL")):
        pytest.skip("BEFOREHAND_TEST_INFLUX_URL is not set (_TOKEN and _ORG belong to it)")
    token, org = os.environ["BEFOREHAND_TEST_INFLUX_TOKEN"], os.environ["BEFOREHAND_TEST_INFLUX_ORG"]
    roster = Roster()
    for number in range(4):
        roster.put_device(Device(device_id=DeviceId(f"d{number}"), number=number, type="router"))
        roster.series(number, roster.metric("heap_free_bytes"))
    return lambda: InfluxStore(roster, url=url, token=token, org=org, bucket=bucket, keep_raw_s=0, keep_rollup_s=0)


def block(window: int, rows: list[tuple[int, int, float]], *, logs: LogLines | None = None, **more) -> Block:
    rows = sorted(rows)
    series, t_ms, value = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    return Block(
        window=window, received_ms=NOW_MS, series=np.array(series, np.int64), t_ms=np.array(t_ms, np.int64),
        value=np.array(value, float), late=np.array([s % 2 == 1 for s in series], np.bool_),
        logs=logs or LogLines.none(), **more,
    )  # fmt: skip


def opened_twice(store: SeriesStore, open_store: Open) -> Iterator[SeriesStore]:
    """The store as it is, then the same data opened again."""
    yield store
    yield open_store()


def lines(*rows: tuple[int, int, int, str]) -> LogLines:
    device, t_ms, severity, text = zip(*rows, strict=True)
    return LogLines(
        device=np.array(device), t_ms=np.array(t_ms), severity=np.array(severity, np.int8),
        source=("kernel",) * len(rows), text=text,
    )  # fmt: skip


def same(one: Block, two: Block) -> bool:
    arrays = all(np.array_equal(getattr(one, name), getattr(two, name)) for name in ("series", "t_ms", "value", "late"))
    logs = one.logs.text == two.logs.text and np.array_equal(one.logs.t_ms, two.logs.t_ms)
    return arrays and logs and (one.window, one.births, one.presence) == (two.window, two.births, two.presence)


def test_what_was_appended_is_read_also_after_opening_again(open_store: Open):
    store = open_store()
    store.append(block(1, [(0, NOW_MS, 1.5), (1, NOW_MS + 1, 0.1)]), [BatchKey(0, 1, 0)])
    store.append(block(2, [(0, NOW_MS + 10, 2.5)]), [BatchKey(0, 1, 1)])
    store.settle(2)

    for reader in opened_twice(store, open_store):
        t_ms, value = reader.range(0, 0, NOW_MS + 100)
        assert t_ms.tolist() == [NOW_MS, NOW_MS + 10]
        assert value.tolist() == [1.5, 2.5]
        assert reader.range(0, NOW_MS, NOW_MS + 10)[0].tolist() == [NOW_MS]
        assert reader.last_window() == 2


def test_the_newest_value_of_each_series_and_none_where_there_is_none(open_store: Open):
    store = open_store()
    store.append(block(1, [(0, NOW_MS + 5, 1.0), (3, NOW_MS, 7.0)]), [])
    store.append(block(2, [(0, NOW_MS, 9.0)]), [])
    store.settle(2)

    for reader in opened_twice(store, open_store):
        t_ms, value = reader.last([3, 0, 1, 99])
        assert t_ms.tolist() == [NOW_MS, NOW_MS + 5, -1, -1]
        np.testing.assert_array_equal(value, [7.0, 1.0, np.nan, np.nan])
    assert open_store().last([])[0].size == 0


def test_keys_are_remembered_also_after_retention_folded_them(open_store: Open):
    store = open_store()
    keys = [BatchKey(0, 1, s) for s in (0, 1, 2, 5)] + [BatchKey(1, 7, 0), BatchKey(1, 0, 2**62)]
    store.append(block(1, []), keys)
    others = [BatchKey(0, 1, 3), BatchKey(0, 2, 0), BatchKey(1, 1, 0), BatchKey(1, 0, 5)]

    assert store.seen(keys + others) == set(keys)
    store.retain(NOW_MS)
    for reader in opened_twice(store, open_store):
        assert reader.seen(keys + others) == set(keys)


def test_blocks_since_a_watermark_come_back_as_they_were_committed(open_store: Open):
    store = open_store()
    birth = Birth(device_id=DeviceId("a"), boot=2, t_ms=5, firmware="2.1", metrics=(("x", "count"),))
    logs = lines((0, 5, 3, "boom"), (1, 2, 1, 'Grüße,\n"你好" \\n'))
    blocks = [
        block(1, [(0, NOW_MS, 1.0)]),
        block(2, [(1, 5, 2.0), (0, 7, 3.0), (1, 6, 4.0)], logs=logs, births=(birth,)),
        block(3, [], presence=(Presence(device_id=DeviceId("a"), t_ms=9, online=False),)),
    ]
    for one in blocks:
        store.append(one, [])

    for reader in opened_twice(store, open_store):
        found = list(reader.since(1))
        assert [b.window for b in found] == [2, 3]
        assert all(same(one, two) for one, two in zip(found, blocks[1:], strict=True))
    assert list(open_store().since(3)) == []


def test_a_thinned_range_keeps_extremes_ends_and_order(open_store: Open):
    store = open_store()
    rng = np.random.default_rng(1)
    value = np.round(rng.normal(size=5000), 3)
    value[1234], value[4321] = 50.0, -50.0
    store.append(block(1, [(0, NOW_MS + i * 1000, float(v)) for i, v in enumerate(value)]), [])

    t_ms, thinned = store.range(0, NOW_MS, NOW_MS + 5_000_000, limit=200)

    assert 100 <= t_ms.size <= 204
    assert (np.diff(t_ms) >= 0).all()
    assert {50.0, -50.0} <= set(thinned.tolist())
    assert set(zip(t_ms.tolist(), thinned.tolist(), strict=True)) <= set(
        zip((NOW_MS + np.arange(5000) * 1000).tolist(), value.tolist(), strict=True)
    )


def test_log_lines_are_read_newest_kept_oldest_first(open_store: Open):
    store = open_store()
    store.append(block(1, [], logs=lines((0, 30, 4, "c"), (0, 10, 1, "a"), (0, 20, 3, "b"), (1, 20, 3, "x"))), [])

    assert store.logs(0, 0, 100, limit=2) == [(20, "error", "kernel", "b"), (30, "critical", "kernel", "c")]
    assert store.logs(0, 10, 20) == [(10, "info", "kernel", "a")]
    assert store.logs(5, 0, 100) == []


def test_a_reader_misses_nothing_and_sees_nothing_twice_while_a_writer_appends(open_store: Open):
    store = open_store()
    store.append(block(1, [(0, 1, 0.0), (1, 1, 0.0)]), [])
    failures: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            t_ms = store.range(0, 0, NOW_MS)[0].tolist()
            if t_ms != list(range(1, len(t_ms) + 1)):
                failures.append(str(t_ms))

    reader = threading.Thread(target=read)
    reader.start()
    for window in range(2, 30):
        store.append(block(window, [(0, window, 0.0), (1, window, 0.0)]), [])
        store.settle(window - 1)
    done.set()
    reader.join()

    assert not failures
    assert store.range(0, 0, NOW_MS)[0].tolist() == list(range(1, 30))


def test_many_keys_are_remembered_after_retention_and_what_came_since(open_store: Open):
    store = open_store()
    store.append(block(1, []), [BatchKey(2, 1, seq) for seq in range(300)])
    store.retain(NOW_MS)
    store.append(block(2, []), [BatchKey(2, 1, 300), BatchKey(2, 2, 0)])

    for reader in opened_twice(store, open_store):
        assert len(reader.seen([BatchKey(2, 1, seq) for seq in range(400)])) == 301
        assert reader.seen([BatchKey(2, 2, 0), BatchKey(2, 2, 1), BatchKey(0, 1, 7)]) == {BatchKey(2, 2, 0)}


# What follows is DuckDB's own.


def test_samples_of_one_series_and_time_are_all_kept(tmp_path: Path):
    store = DuckDbStore(tmp_path / "s.duckdb")
    twice = block(1, [(1, 5, 2.0), (1, 5, 4.0)])
    store.append(twice, [])

    assert same(next(store.since(0)), twice)
    store.close()


def test_raw_samples_become_hourly_roll_ups_and_then_go(tmp_path: Path):
    keep = Keep(raw_ms=10 * DAY_MS, rollup_ms=100 * DAY_MS, logs_ms=5 * DAY_MS)
    store = DuckDbStore(tmp_path / "s.duckdb", hot_rows=1, keep=keep)
    old = NOW_MS - 20 * DAY_MS
    hour = old // HOUR_MS * HOUR_MS
    store.append(block(1, [(0, hour + i * 60_000, float(i)) for i in range(60)], logs=lines((0, old, 1, "x"))), [])
    store.append(block(2, [(0, NOW_MS, 5.0)], logs=lines((0, NOW_MS, 1, "y"))), [])
    store.settle(2)
    store.flush(everything=True)

    removed = store.retain(NOW_MS)

    assert removed == {"raw": 60, "rollup": 0, "logs": 1}
    t_ms, value = store.range(0, 0, NOW_MS + 1)
    assert t_ms.tolist() == [hour, NOW_MS]
    assert value.tolist() == [29.5, 5.0]
    assert set(store.range(0, old - DAY_MS, NOW_MS + 1, limit=1000)[1].tolist()) == {0.0, 59.0, 5.0}
    assert store.retain(NOW_MS + 85 * DAY_MS)["rollup"] == 1
    store.close()


def test_windows_that_are_not_settled_stay_as_they_are(tmp_path: Path):
    store = DuckDbStore(tmp_path / "s.duckdb", hot_rows=2)
    blocks = [block(w, [(0, w, float(w)), (1, w, 0.0)]) for w in range(1, 8)]
    for one in blocks:
        store.append(one, [])
    store.settle(4)
    store.flush(everything=True)

    assert all(same(a, b) for a, b in zip(store.since(4), blocks[4:], strict=True))
    assert store.range(0, 0, 100)[1].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    store.close()


def test_many_small_runs_are_merged_and_their_files_swept(tmp_path: Path):
    store = DuckDbStore(tmp_path / "s.duckdb", hot_rows=1)
    for window in range(1, 12):
        store.append(block(window, [(0, window, float(window))]), [])
        store.settle(window)
        store.flush(everything=True)
    store.close()

    store = DuckDbStore(tmp_path / "s.duckdb", hot_rows=1)

    assert len(list((tmp_path / "s.duckdb.runs").iterdir())) < 8
    assert store.range(0, 0, 100)[1].tolist() == [float(w) for w in range(1, 12)]
    store.close()


def test_a_store_in_use_is_told_with_the_way_out(tmp_path: Path):
    program = "import sys, pathlib; from gateway.stores.duckdb import DuckDbStore as D; D(pathlib.Path(sys.argv[1]))"
    store = DuckDbStore(tmp_path / "s.duckdb")
    other = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "s.duckdb"], capture_output=True, text=True, check=False
    )
    store.close()

    assert "ConfigError: store_locked" in other.stderr
    assert "stop the other gateway" in other.stderr
    (tmp_path / "bad.duckdb").write_bytes(b"no database at all" * 1000)
    with pytest.raises(ConfigError) as caught:
        DuckDbStore(tmp_path / "bad.duckdb")
    assert caught.value.code == "store_unreadable"


FULL = """
    import json, resource, sys, pathlib, numpy as np
    from gateway.errors import TryLater
    from gateway.model import Block
    from gateway.ports import BatchKey
    from gateway.stores.duckdb import DuckDbStore
    store = DuckDbStore(pathlib.Path(sys.argv[1]), memory="256MB", threads=1)
    rng = np.random.default_rng(1)
    def append(window):
        n = 50_000
        store.append(Block(window=window, received_ms=1, series=np.arange(n), t_ms=rng.integers(0, 2**60, n),
                     value=rng.normal(size=n), late=np.zeros(n, bool)), [BatchKey(0, 1, window)])
    append(1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, resource.RLIM_INFINITY))
    codes, window = [], 2
    while not codes and window < 60:
        try:
            append(window)
            window += 1
        except TryLater as exc:
            codes.append(exc.code)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    refused = sorted(k.seq for k in store.seen([BatchKey(0, 1, w) for w in range(1, window + 1)]))
    append(window)
    counts = [b.value.size for b in store.since(0)]
    print(json.dumps([codes, refused == list(range(1, window)), len(counts) == window, set(counts) == {50_000}]))
"""


def test_a_full_disk_writes_nothing_and_goes_on_when_there_is_room(tmp_path: Path):
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL), tmp_path / "s.duckdb"],
        capture_output=True, text=True, env=os.environ, timeout=50, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [["store_full"], True, True, True]
