"""The order of receiving is the promise; a source and a store that record what is asked of them show it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from edge import wire
from gateway.errors import TryLater
from gateway.ingest import Dead, Intake
from gateway.model import Block, Device, DeviceId
from gateway.ports import BatchKey, Delivery
from gateway.services.deadletters import MAX_FILE_BYTES, DeadLetters
from gateway.services.receive import Pace, Receiver
from tests.unit.ingest.fleet import NOW_MS, batch, delivery, roster


class Trace:
    """A source and a store in one: what was asked, in order."""

    inflight = 100

    def __init__(self, *windows: list[Delivery], failures: Sequence[Exception] = ()) -> None:
        self.steps: list[object] = []
        self.keys: set[BatchKey] = set()
        self.marked: list[tuple[str, list[tuple[int, int, int]]]] = []
        self._windows, self._failures = windows, list(failures)

    async def windows(self, *, size: int, linger_s: float) -> AsyncIterator[list[Delivery]]:
        for window in self._windows:
            yield window
        await asyncio.Event().wait()

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        self.steps.append(("ack", len(deliveries)))

    async def mark(self, marks: Sequence[tuple[str, bytes]]) -> None:
        self.marked += [(topic, wire.decode_stored(payload)) for topic, payload in marks]

    def seen(self, keys: Sequence[BatchKey]) -> set[BatchKey]:
        return self.keys & set(keys)

    def append(self, block: Block, keys: Sequence[BatchKey]) -> None:
        if self._failures:
            self.steps.append("failed")
            raise self._failures.pop()
        assert not self.keys & set(keys)
        self.keys |= set(keys)
        self.steps.append(("append", block.window, len(keys)))

    def last_window(self) -> int:
        return 6


async def receive(trace: Trace, *, fleet=None, until: int, **more) -> Receiver:
    """Run a receiver on the trace until so many windows were acknowledged and their marks sent."""
    fleet = fleet or roster()

    async def turn(block: Block) -> None:
        trace.steps.append(("turn", block.window))

    receiver = Receiver(
        source=trace, store=trace, roster=fleet, intake=Intake(fleet), now_ms=lambda: NOW_MS,
        save_series=lambda series, metric: trace.steps.append(("series", series, metric)), on_block=turn,
        pace=Pace(linger_s=0.01, marks_every_s=0.0), **more,
    )  # fmt: skip
    task = asyncio.create_task(receiver.run())
    async with asyncio.timeout(10):
        while receiver.counts["windows"] < until or receiver._marks:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return receiver


async def test_a_backlog_is_told_until_nothing_more_has_come(monkeypatch: pytest.MonkeyPatch):
    receiver = await receive(Trace([delivery(batch(0), at_ms=NOW_MS - 90_000)]), until=1)

    assert receiver.lag_ms == 90_000
    monkeypatch.setattr("gateway.services.receive.QUIET_S", 0.0)
    assert receiver.lag_ms == 0


async def test_series_are_saved_before_the_append_and_the_acknowledgement_and_turn_come_after():
    trace = Trace([delivery(batch(0)), delivery(batch(1))])

    await receive(trace, until=1)

    assert trace.steps == [("series", 0, 0), ("append", 7, 2), ("ack", 2), ("turn", 7)]
    assert trace.marked == [("bf/1/a/stored", [(1, 0, 1)])]


async def test_while_the_store_fails_nothing_is_acknowledged_and_then_all_is_stored_once(monkeypatch):
    monkeypatch.setattr("gateway.services.receive.LONGEST_RETRY_S", 0.01)
    trace = Trace([delivery(batch(0))], [delivery(batch(0))], failures=[TryLater("store_full")] * 3)

    receiver = await receive(trace, until=2)

    assert [step for step in trace.steps if step != ("series", 0, 0)] == [
        "failed", "failed", "failed", ("append", 7, 1), ("ack", 1), ("ack", 1), ("turn", 7)
    ]  # fmt: skip
    assert receiver.counts["store_full"] == 3
    assert receiver.counts["duplicates"] == 1


async def test_a_repeat_in_the_next_window_is_dropped_though_the_first_is_not_committed_yet():
    trace = Trace(*([delivery(batch(seq)), delivery(batch(seq + 1))] for seq in range(20)))

    receiver = await receive(trace, until=20)

    assert trace.keys == {BatchKey(0, 1, seq) for seq in range(21)}
    assert receiver.counts["batches"] == 21
    assert receiver.counts["duplicates"] == 19


async def test_what_an_ended_run_had_under_way_is_stored_when_it_comes_again_and_is_not_late():
    trace = Trace([delivery(batch(0))], [delivery(batch(1))])
    fleet, blocks, ended = roster(), [], asyncio.Event()

    async def turn(block: Block) -> None:
        blocks.append(block)
        if not ended.is_set():
            await asyncio.sleep(0.05)  # until the second window is decoded
            ended.set()
            raise RuntimeError("the turn failed")

    def append(block: Block, keys: Sequence[BatchKey]) -> None:
        if block.window == 8 and not ended.is_set():
            raise TryLater("store_full", after_s=60.0)
        Trace.append(trace, block, keys)

    trace.append = append
    receiver = Receiver(
        source=trace, store=trace, roster=fleet, intake=Intake(fleet), now_ms=lambda: NOW_MS,
        save_series=lambda _, __: None, on_block=turn, pace=Pace(linger_s=0.01, marks_every_s=0.0),
    )  # fmt: skip
    with pytest.raises(ExceptionGroup):
        await receiver.run()
    trace.last_window = lambda: 7
    task = asyncio.create_task(receiver.run())
    async with asyncio.timeout(10):
        while len(blocks) < 2:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert trace.keys == {BatchKey(0, 1, 0), BatchKey(0, 1, 1)}
    assert [block.late.any() for block in blocks] == [False, False]


async def test_refused_deliveries_are_acknowledged_counted_and_kept(tmp_path):
    letters = DeadLetters(tmp_path)
    trace = Trace([delivery(b"junk"), delivery(batch(), device="nobody")])

    receiver = await receive(trace, until=1, dead_letters=letters)

    assert trace.steps == [("ack", 2)]
    assert receiver.counts["refused.bad_form"] == receiver.counts["refused.unknown_device"] == 1
    assert [letter.code for letter in letters.newest()] == ["unknown_device", "bad_form"]
    assert trace.marked == []


async def test_a_device_provisioned_meanwhile_is_looked_up_once_a_window():
    fleet, asked = roster("a"), []

    def look_up(ids: Sequence[str]) -> None:
        asked.append(list(ids))
        fleet.put_device(Device(device_id=DeviceId("new"), number=1, type="router"))

    trace = Trace([delivery(batch(), device="new"), delivery(batch(1), device="new")], [delivery(batch())])
    receiver = await receive(trace, fleet=fleet, until=2, on_unknown=look_up)

    assert asked == [["new"]]
    assert receiver.counts["batches"] == 3


def test_dead_letters_are_bounded_and_one_topic_cannot_push_out_the_others(tmp_path):
    letters = DeadLetters(tmp_path)
    flood = [Dead(delivery(b"x" * 5_000), "bad_form", "y" * 5_000)] * 500

    for _ in range(150):
        letters.keep([*flood, Dead(delivery(b"z", device="b"), "bad_form", "")], now_ms=NOW_MS)

    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert sum(sizes) < 2 * MAX_FILE_BYTES + 200_000
    assert {letter.topic for letter in letters.newest(30)} == {"bf/1/a/batch", "bf/1/b/batch"}
