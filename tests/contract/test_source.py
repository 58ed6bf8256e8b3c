"""The meaning of ports.TelemetrySource: every implementation passes this, on every broker it is made for."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.broker import GATEWAY
from gateway.errors import TryLater
from gateway.ports import Delivery, TelemetrySource
from gateway.sources.mqtt import MqttSource
from tests.brokers import Device, Mosquitto, embedded, running, source_of, until

TOPIC = "bf/1/d0/batch"


@dataclass
class Bench:
    """A broker, a way to open sources on it and one to restart it."""

    port: int
    open: Callable[..., TelemetrySource]
    restart: Callable[[], object]


@pytest.fixture(params=["jetstream", "mqtt_on_nats", pytest.param("mqtt_on_mosquitto", marks=pytest.mark.external)])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    if request.param == "mqtt_on_mosquitto":
        mosquitto = Mosquitto(tmp_path)

        def again() -> None:
            mosquitto.stop()
            mosquitto.start()

        yield Bench(mosquitto.port, lambda **more: MqttSource(f"mqtt://127.0.0.1:{mosquitto.port}", **more), again)
        mosquitto.stop()
        return
    async with running(embedded(tmp_path)) as broker:

        def open_source(**more: object) -> TelemetrySource:
            if request.param == "jetstream":
                return source_of(broker, ack_wait_s=1.0, **more)
            password = broker.config.gateway_password
            return MqttSource(f"mqtt://127.0.0.1:{broker.mqtt_port}", user=GATEWAY, password=password, **more)

        yield Bench(broker.mqtt_port, open_source, broker._process.kill)


class Reader:
    """Reads windows of a source in the background; acknowledges where told to."""

    def __init__(self, source: TelemetrySource, *, acknowledge: bool, size: int = 100) -> None:
        self.source = source
        self.windows: list[list[Delivery]] = []
        self.acknowledged: list[bytes] = []
        self._task = asyncio.create_task(self._read(acknowledge, size))

    async def _read(self, acknowledge: bool, size: int) -> None:
        async for window in self.source.windows(size=size, linger_s=0.05):
            self.windows.append(window)
            if acknowledge:
                await self.source.ack(window)
                self.acknowledged += [delivery.payload for delivery in window]

    @property
    def payloads(self) -> list[bytes]:
        return [delivery.payload for window in self.windows for delivery in window]

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self.source.close()


class Counted(deque[Delivery]):
    """Deliveries that are held, and how many there ever were at once."""

    most = 0

    def append(self, delivery: Delivery) -> None:
        super().append(delivery)
        self.most = max(self.most, len(self))


async def listening(bench: Bench, **more: object) -> None:
    """Make the durable subscription known to the broker, then go away."""
    reader = Reader(bench.open(**more), acknowledge=True)
    device = await Device(bench.port, "d9").connected()
    count = 0

    async def heard() -> bool:
        nonlocal count
        count += 1
        await device.publish("bf/1/d9/birth", b"%d" % count)
        return bool(reader.payloads)

    await until(heard)
    await until(lambda: len(set(reader.payloads)) >= 1 and reader.payloads[-1] == b"%d" % count)
    device.close()
    await reader.close()


async def test_deliveries_come_with_topic_and_payload_in_windows(bench: Bench):
    await listening(bench)
    reader = Reader(bench.open(), acknowledge=True, size=4)
    device = await Device(bench.port, "d0").connected()

    for number in range(10):
        await device.publish(TOPIC, b"%d" % number)

    await until(lambda: len(reader.payloads) >= 10)
    assert reader.payloads == [b"%d" % number for number in range(10)]
    assert {delivery.topic for window in reader.windows for delivery in window} == {TOPIC}
    assert max(len(window) for window in reader.windows) <= 4
    device.close()
    await reader.close()


async def test_what_was_not_acknowledged_comes_again_and_what_was_does_not(bench: Bench):
    await listening(bench)
    device = await Device(bench.port, "d0").connected()
    first = Reader(bench.open(), acknowledge=True)
    await device.publish(TOPIC, b"acknowledged")
    await until(lambda: b"acknowledged" in first.acknowledged)
    await first.close()
    second = Reader(bench.open(), acknowledge=False)
    await device.publish(TOPIC, b"held")
    await until(lambda: b"held" in second.payloads)
    await second.close()

    third = Reader(bench.open(), acknowledge=True)

    await until(lambda: b"held" in third.payloads)
    assert b"acknowledged" not in second.payloads + third.payloads
    device.close()
    await third.close()


async def test_what_came_later_and_was_acknowledged_does_not_cover_what_was_not(bench: Bench):
    """The broker may take its time with what a link that ended left behind; it must not be lost by then."""
    await listening(bench)
    device = await Device(bench.port, "d0").connected()
    ended = Reader(bench.open(), acknowledge=False)
    for number in range(5):
        await device.publish(TOPIC, b"early %d" % number)
    await until(lambda: len(set(ended.payloads)) == 5)
    await ended.close()
    for number in range(5):
        await device.publish(TOPIC, b"late %d" % number)

    reader = Reader(bench.open(), acknowledge=True)

    await until(lambda: len(set(reader.payloads)) == 10)
    device.close()
    await reader.close()


async def test_windows_asked_for_anew_begin_with_what_was_not_acknowledged(bench: Bench):
    await listening(bench)
    source = bench.open()
    device = await Device(bench.port, "d0").connected()
    await source.open()
    for number in range(5):
        await device.publish(TOPIC, b"%d" % number)
    first = source.windows(size=5, linger_s=0.5)
    while len(await anext(first)) == 0:
        pass
    await first.aclose()  # as when the turn failed
    await device.publish(TOPIC, b"5")

    reader = Reader(source, acknowledge=True)

    await until(lambda: set(reader.payloads) == {b"%d" % number for number in range(6)})
    device.close()
    await reader.close()


async def test_an_opened_source_misses_nothing(bench: Bench):
    source = bench.open()
    await source.open()
    device = await Device(bench.port, "d0").connected()
    await device.publish("bf/1/d0/birth", b"first word")

    reader = Reader(source, acknowledge=True)

    await until(lambda: reader.payloads == [b"first word"])
    device.close()
    await reader.close()


async def test_what_was_published_while_nobody_listened_comes_later(bench: Bench):
    await listening(bench)
    device = await Device(bench.port, "d0").connected()
    for number in range(300):
        await device.publish(TOPIC, b"%d" % number)

    reader = Reader(bench.open(), acknowledge=True)

    await until(lambda: set(reader.payloads) == {b"%d" % number for number in range(300)})
    device.close()
    await reader.close()


async def test_no_more_than_inflight_are_unacknowledged_at_once(bench: Bench):
    await listening(bench, inflight=10)
    device = await Device(bench.port, "d0").connected()
    for number in range(30):
        await device.publish(TOPIC, b"%d" % number)

    reader = Reader(bench.open(inflight=10), acknowledge=False, size=100)
    for so_far in (10, 20, 30):  # all 30 wait, and a window lingers: whoever gave more would have given it
        await until(lambda so_far=so_far: len(reader.payloads) >= so_far)
        assert sorted(reader.payloads, key=int) == [b"%d" % number for number in range(so_far)]
        await reader.source.ack([delivery for window in reader.windows for delivery in window][-10:])
    device.close()
    await reader.close()


async def test_it_reconnects_by_itself_when_the_broker_restarts(bench: Bench):
    await listening(bench)
    reader = Reader(bench.open(), acknowledge=True)
    device = await Device(bench.port, "d0").connected()
    await device.publish(TOPIC, b"before")
    await until(lambda: b"before" in reader.payloads)

    await asyncio.to_thread(bench.restart)

    async def heard() -> bool:
        info = device.client.publish(TOPIC, b"after", qos=1)
        with contextlib.suppress(RuntimeError):  # the device is not connected yet
            await asyncio.to_thread(info.wait_for_publish, 1)
        return b"after" in reader.payloads

    await until(heard, seconds=25)
    device.close()
    await reader.close()


async def test_messages_without_an_acknowledgement_are_bounded_too(tmp_path: Path):
    async with running(embedded(tmp_path)) as broker:
        password = broker.config.gateway_password
        source = MqttSource(f"mqtt://127.0.0.1:{broker.mqtt_port}", user=GATEWAY, password=password, inflight=10)
        source._held = held = Counted()
        await source.open()
        device = await Device(broker.mqtt_port, "d0").connected()
        for number in range(50):
            await device.publish(TOPIC, b"%d" % number, qos=0)
        await until(lambda: len(held) >= 10)
        reader = Reader(source, acknowledge=True)
        await until(lambda: len(reader.payloads) >= 50)

        assert held.most == 10
        assert reader.payloads == [b"%d" % number for number in range(50)]
        device.close()
        await reader.close()


async def test_what_the_broker_retains_is_told_when_it_is_published_and_never_again(bench: Bench):
    await listening(bench)
    device = await Device(bench.port, "d0").connected()
    first = Reader(bench.open(), acknowledge=True)
    await device.publish(TOPIC, b"kept", retain=True)
    await until(lambda: b"kept" in first.acknowledged)
    await first.close()
    source = bench.open()
    second = Reader(source, acknowledge=True)
    await source.open()  # subscribed: what is retained comes with that, before all that is published later
    await device.publish(TOPIC, b"after")
    await until(lambda: b"after" in second.payloads)

    assert b"kept" not in second.payloads
    device.close()
    await second.close()


async def test_marks_and_commands_reach_the_device(bench: Bench):
    await listening(bench)
    source = bench.open()
    reader = Reader(source, acknowledge=True)
    device = await Device(bench.port, "d0").connected()
    await device.publish(TOPIC, b"x")
    await until(lambda: b"x" in reader.payloads)

    await source.mark([("bf/1/d0/stored", b"mark")])
    await source.publish("bf/1/d0/command", b"command")
    await source.publish("bf/1/d1/desired", b"kept", retain=True)
    late = await Device(bench.port, "d1").connected()

    await until(lambda: {("bf/1/d0/stored", b"mark"), ("bf/1/d0/command", b"command")} <= set(device.got))
    await until(lambda: ("bf/1/d1/desired", b"kept") in late.got)
    for one in (device, late):
        one.close()
    await reader.close()


async def test_a_publish_without_a_broker_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.sources.mqtt.PUBLISH_S", 0.2)
    source = MqttSource("mqtt://127.0.0.1:1")

    with pytest.raises(TryLater, match="broker_away"):
        await source.publish("bf/1/d0/command", b"x")
    await source.close()
