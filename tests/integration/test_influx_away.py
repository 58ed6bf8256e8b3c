"""InfluxDB that is away, busy, or refuses us: what the store says of it, and that nothing is lost meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge import wire
from gateway.errors import ConfigError, TryLater
from gateway.model import Birth, Block, DeviceId, LogLines, Roster
from gateway.ports import BatchKey
from gateway.stores import influx_line
from gateway.stores.influx import InfluxStore
from gateway.stores.keyset import KeySet
from tests.agents import fleet, receiving
from tests.brokers import Device, embedded, running, source_of, until
from tests.conftest import free_port
from tests.contract.fake_influx import FakeInflux
from tests.integration.test_influx import NOW_MS, block

RETRY = {"Retry-After": "3"}


@pytest.fixture
def roster() -> Roster:
    made = fleet("d0", "d1")
    for number in range(2):
        made.series(number, made.metric("heap_free_bytes"))
    return made


@pytest.fixture
def server() -> Iterator[FakeInflux]:
    made = FakeInflux(0)
    yield made
    made.close()


def opened(url: str, roster: Roster, **more: object) -> InfluxStore:
    return InfluxStore(roster, url=url, **({"token": "t", "org": "o", "bucket": "b"} | more))


@pytest.mark.parametrize(
    ("status", "headers", "code", "after_s"),
    [
        (503, RETRY, "store_busy", 3),
        (429, RETRY, "store_busy", 3),
        (500, {}, "store_busy", 5),
        (404, {}, "store_refused", 5),
    ],
)
def test_an_answer_that_passes_is_try_later_and_the_window_counts_once(server, roster, status, headers, code, after_s):
    store = opened(server.url, roster)
    server.answers.append((204, {}))
    server.answers.append((status, headers))  # samples are written, log lines are not
    with pytest.raises(TryLater) as caught:
        store.append(block(), [BatchKey(0, 1, 0)])
    unseen = store.seen([BatchKey(0, 1, 0)])

    store.append(block(), [BatchKey(0, 1, 0)])

    assert (caught.value.code, caught.value.after_s) == (code, after_s)
    assert unseen == set()
    assert store.seen([BatchKey(0, 1, 0)]) == {BatchKey(0, 1, 0)}
    assert {name: len(server.of(name)) for name in ("samples", "logs", "batches", "windows")} == {
        "samples": 3, "logs": 2, "batches": 1, "windows": 1,
    }  # fmt: skip
    store.close()


def test_points_that_the_server_drops_do_not_hold_up_the_rest(server, roster):
    store = opened(server.url, roster)
    server.answers.append((422, {}))

    store.append(block(), [BatchKey(0, 1, 0)])

    assert store.seen([BatchKey(0, 1, 0)])
    assert len(server.of("windows")) == 1
    store.close()


def test_a_wrong_token_is_told_at_the_start_and_waited_for_later(server, roster):
    store = opened(server.url, roster)
    server.token = "another"
    with pytest.raises(TryLater, match="store_refused") as later:
        store.append(block(), [])
    store.close()
    server.buckets = []
    with pytest.raises(ConfigError, match="store_refused") as first:
        opened(server.url, roster)

    assert "BEFOREHAND_STORE__INFLUX_TOKEN" in later.value.detail
    assert "BEFOREHAND_STORE__INFLUX_TOKEN" in first.value.detail


def test_what_is_written_of_text_births_and_keys_is_read_back_as_it_was():
    texts = ["", "two\nlines\r\n", 'a "quote"', "back\\slash \\n no break", "Grüße, 你好 = ,"]
    birth = Birth(device_id=DeviceId("d0"), boot=2, t_ms=5, firmware='1"\\', metrics=(("x", "count"),))
    logs = LogLines(
        device=np.zeros(5, np.int64), t_ms=np.full(5, NOW_MS), severity=np.zeros(5, np.int8), source=("s",) * 5,
        text=tuple(texts),
    )  # fmt: skip
    none = np.empty(0, np.int64)
    made = Block(
        window=1, received_ms=NOW_MS, series=none, t_ms=none, value=np.empty(0), late=none.astype(bool), logs=logs,
        births=(birth,),
    )  # fmt: skip
    held = KeySet()
    for key in [BatchKey(3, 1, 0), BatchKey(3, 1, 1), BatchKey(3, 2, 9), BatchKey(4, 1, 5)]:
        held.add(key)

    lines = [*influx_line.logs(made, -1), *influx_line.events(made)]
    fields = [line.split(" ", 1)[1] for line in lines]
    read = [influx_line.plain(_unquoted(text.split("=", 1)[1])) for text in fields[:5]]
    ranges = [line.split('"')[1] for line in influx_line.ranges(held, NOW_MS)]

    assert not any("\n" in line for line in lines)
    assert read == texts
    assert "metrics" in fields[5]
    assert [sorted(influx_line.read_ranges(text)) for text in ranges] == [[(1, 0, 1), (2, 9, 9)], [(1, 5, 5)]]


def _unquoted(text: str) -> str:
    """The string at the beginning of a field's value, as InfluxDB reads it."""
    read, at = "", 1
    while text[at] != '"':
        at += text[at] == "\\" and text[at + 1] in '"\\'
        read, at = read + text[at], at + 1
    return read


async def test_while_it_is_away_the_broker_queues_and_then_everything_is_there_once(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("gateway.stores.influx.AWAY_S", 0.1)
    port, roster = free_port(), fleet("d0")
    async with running(embedded(tmp_path)) as broker:
        store = opened(f"http://127.0.0.1:{port}", roster)
        async with receiving(source_of(broker, ack_wait_s=1.0), store, roster) as receiver:
            device = await Device(broker.mqtt_port, "d0").connected()
            for seq in range(20):
                await device.publish("bf/1/d0/batch", batch(seq, time.time_ns() // 1_000_000 - 20 + seq))
            await until(lambda: receiver.blocked == "store_away")
            stored, marked = receiver.counts["batches"], len(device.got)

            server = FakeInflux(port, answers=[(503, {"Retry-After": "0"}), (429, {"Retry-After": "0"}), (500, {})])
            await until(lambda: receiver.counts["batches"] == 20)
            await until(lambda: len(device.got) > 0)
            device.close()
    server.close()

    assert (stored, marked) == (0, 0)
    assert receiver.counts["store_away"] >= 1
    assert receiver.counts["store_busy"] == 3
    assert receiver.blocked == ""
    assert len(server.of("batches")) == len(set(server.of("batches"))) == 20
    assert sorted(field.partition(",")[0] for field in server.of("samples")) == sorted(f"value={n}" for n in range(20))


def batch(seq: int, at_ms: int) -> bytes:
    columns = {"sent_total": [float(seq)]}
    return wire.encode_batch(wire.Batch(boot=1, seq=seq, sent_at_ms=at_ms, t_ms=[at_ms], columns=columns))
