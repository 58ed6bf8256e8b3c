"""InfluxDB: what is written is checked on a real server that speaks its protocol, Flux by InfluxData's own parser.

With BEFOREHAND_TEST_INFLUX_URL, _TOKEN and _ORG set, everything runs against a real InfluxDB 2.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from gateway.model import Block, Device, DeviceId, LogLines, Roster
from gateway.ports import BatchKey
from gateway.stores import flux
from gateway.stores.influx import InfluxStore
from gateway.stores.keyset import KeySet
from tests.conftest import free_port

PARSER = "@influxdata/flux-lsp-browser@0.8.40"
NOW_MS = time.time_ns() // 1_000_000 // 1000 * 1000
QUERIES = {
    "value_range": flux.value_range("b", 3, 0, 1000),
    "rolled_range": flux.value_range("b_hourly", 3, 0, 1 << 50, field="mean"),
    "thinned_range": flux.thinned_range("b", 3, 0, 100_000, buckets=50, fields=("min", "max")),
    "last_values": flux.last_values("b", [1, 2]),
    "newest_ranges": flux.newest_ranges('odd "name" \\ ${x}'),
    "keys_after": flux.keys_after("b", -5),
    "windows_after": flux.windows_after("b", 4),
    "last_window": flux.last_window("b"),
    "samples_of_window": flux.samples_of_window("b", 4, 0, 10),
    "logs_of_window": flux.logs_of_window("b", 4, 0, 10),
    "events_of_window": flux.events_of_window("b", 4, 10),
    "log_tail": flux.log_tail("b", 4, 0, 10, limit=20),
    "roll_up": flux.roll_up("b", "b_hourly", 0, 10),
}


@pytest.fixture
def roster() -> Roster:
    return fleet("lock 1", "router,2")


def fleet(*names: str) -> Roster:
    roster = Roster()
    for number, name in enumerate(names):
        roster.put_device(Device(device_id=DeviceId(name), number=number, type="router"))
        roster.series(number, roster.metric("heap_free_bytes"))
    return roster


@pytest.fixture(scope="module")
def victoria(tmp_path_factory):
    """A VictoriaMetrics server: its address."""
    if not (binary := shutil.which("victoria-metrics")):
        pytest.skip("victoria-metrics is not installed (Debian package victoria-metrics)")
    port = free_port()
    folder = tmp_path_factory.mktemp("victoria")
    server = subprocess.Popen(
        [binary, f"-storageDataPath={folder}", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=10y"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=1).close()
            break
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < deadline, "victoria-metrics did not start"
            time.sleep(0.05)
    yield url
    server.terminate()
    server.wait(10)


def store_at(url: str, roster: Roster, **changes: object) -> InfluxStore:
    """A store on a server that takes writes and knows neither buckets nor Flux."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(InfluxStore, "_make_buckets", lambda store: setattr(store, "_made", True))
        store = InfluxStore(roster, url=url, **({"token": "t", "org": "o", "bucket": "b"} | changes))
    store._keys = KeySet()
    return store


def block(*, window: int = 1, t_ms: int = NOW_MS) -> Block:
    logs = LogLines(
        device=np.array([0, 0]),
        t_ms=np.array([t_ms, t_ms]),
        severity=np.array([3, 1], np.int8),
        source=("kernel", "app"),
        text=('disk "sda" failed\n', "back\\slash"),
    )
    return Block(
        window=window,
        received_ms=t_ms,
        series=np.array([0, 0, 1]),
        t_ms=np.array([t_ms, t_ms + 1000, t_ms]),
        value=np.array([1.5, -2e-7, 3e15]),
        late=np.array([False, True, False]),
        logs=logs,
    )


def exported(url: str, match: str) -> list[dict[str, object]]:
    """What VictoriaMetrics holds; it makes what was written visible within a second or so."""
    deadline = time.monotonic() + 20
    while True:
        urllib.request.urlopen(f"{url}/internal/force_flush", timeout=5).close()
        with urllib.request.urlopen(f"{url}/api/v1/export?match[]={quote(match)}", timeout=5) as answer:
            rows = [json.loads(line) for line in answer.read().splitlines()]
        if rows or time.monotonic() > deadline:
            return sorted(rows, key=lambda row: row["metric"].get("series", ""))
        time.sleep(0.1)


@pytest.mark.external
def test_samples_arrive_with_their_tags_times_and_values(victoria, roster):
    store = store_at(victoria, roster)
    store.append(block(), [BatchKey(0, 1, 0)])
    store.append(block(), [BatchKey(0, 1, 0)])  # the same window again writes the same points over themselves

    rows = exported(victoria, 'samples_value{device!~"old.*|many"}')
    store.close()
    assert [(r["metric"]["device"], r["metric"]["metric"]) for r in rows] == [
        ("lock 1", "heap_free_bytes"),
        ("router,2", "heap_free_bytes"),
    ]
    assert set(zip(rows[0]["timestamps"], rows[0]["values"], strict=True)) == {(NOW_MS, 1.5), (NOW_MS + 1000, -2e-7)}
    assert set(rows[1]["values"]) == {3e15}


@pytest.mark.external
def test_samples_beyond_retention_are_left_out_and_the_rest_is_written(victoria):
    store = store_at(victoria, fleet("old", "older"), keep_raw_s=60)
    old = block(window=2, t_ms=NOW_MS - 1_000_000)
    mixed = Block(
        window=2, received_ms=NOW_MS, series=old.series, t_ms=np.array([NOW_MS - 1_000_000, NOW_MS + 7, NOW_MS + 7]),
        value=np.array([111.0, 5.0, 6.0]), late=old.late,
    )  # fmt: skip
    store.append(mixed, [])

    rows = exported(victoria, 'samples_value{device=~"old.*"}')
    store.close()
    assert sorted(value for row in rows for value in row["values"]) == [5.0, 6.0]


@pytest.mark.external
def test_a_window_of_many_lines_goes_in_several_writes(victoria, monkeypatch):
    monkeypatch.setattr("gateway.stores.influx.LINES_A_WRITE", 100)
    store = store_at(victoria, fleet("many"))
    t_ms = NOW_MS - 1000 * np.arange(250)[::-1]
    zeros = np.zeros(250, np.int64)
    many = Block(window=3, received_ms=NOW_MS, series=zeros, t_ms=t_ms, value=np.arange(250.0), late=zeros.astype(bool))
    store.append(many, [BatchKey(0, 1, n) for n in range(250)])

    def whole() -> bool:
        rows = exported(victoria, 'samples_value{device="many"}')
        return sorted(value for row in rows for value in row["values"]) == list(range(250))

    deadline = time.monotonic() + 20
    while not whole():
        assert time.monotonic() < deadline
    assert store.seen([BatchKey(0, 1, 249), BatchKey(0, 1, 250)]) == {BatchKey(0, 1, 249)}
    store.close()


@pytest.fixture(scope="module")
def flux_parser(tmp_path_factory) -> Path:
    """InfluxData's Flux parser from npm, or a skip."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("Node.js and npm are not installed")
    folder = tmp_path_factory.mktemp("flux")
    command = ["npm", "pack", PARSER, "--silent", "--pack-destination", str(folder)]
    packed = subprocess.run(command, capture_output=True, timeout=50, check=False, cwd=folder)
    archives = list(folder.glob("*.tgz"))
    if packed.returncode or not archives:
        pytest.skip(f"npm cannot fetch {PARSER}")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package"


@pytest.mark.external
def test_influxdatas_own_parser_and_type_checker_accept_every_query(flux_parser):
    wrong = "from(bucket: 3) |> range(start: -1h)"  # the checker must be able to say no
    validate = Path(__file__).parent / "flux" / "validate.mjs"
    run = subprocess.run(
        ["node", "--no-warnings", str(validate), str(flux_parser)],
        input=json.dumps([*QUERIES.values(), wrong]), capture_output=True, text=True, timeout=50, check=True,
    )  # fmt: skip

    said = json.loads(run.stdout)
    assert dict(zip([*QUERIES, "wrong"], said, strict=True)) == dict.fromkeys(QUERIES, True) | {"wrong": False}
