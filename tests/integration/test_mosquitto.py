"""The agent and the gateway with Debian's Mosquitto between them, set up as docs/brokers.md says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway import ledger
from gateway.app import make
from gateway.config import BrokerSettings, Settings
from gateway.ledger import registry
from gateway.ledger.registry import NewDevice
from gateway.model import DeviceId
from gateway.services import provision
from gateway.services.receive import Receiver
from gateway.stores.duckdb import DuckDbStore
from tests import brokers
from tests.agents import quick, receiving, running
from tests.brokers import Mosquitto, until

pytestmark = pytest.mark.external
NAMES = ("attic-1", "attic-2")


@dataclass
class Site:
    """A Mosquitto, a receiver behind it, and the agents' files."""

    mosquitto: Mosquitto
    receiver: Receiver
    store: DuckDbStore
    files: dict[str, str]
    passwords: dict[str, str]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    engine = ledger.connect(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    ledger.migrate(engine)
    wanted = [NewDevice(device_id=DeviceId(name), type="router") for name in NAMES]
    made = provision.add(engine, wanted, now_ms=time.time_ns() // 1_000_000)
    passwords = {one.device.device_id: one.token for one in made}
    (tmp_path / "mosquitto").mkdir()
    mosquitto = Mosquitto(tmp_path / "mosquitto", users={"beforehand": "secret", **passwords})
    held = BrokerSettings(url=f"mqtt://127.0.0.1:{mosquitto.port}", username="beforehand", password="secret")
    settings = Settings(data_dir=str(tmp_path), broker=held)
    assert make.broker(settings, engine, None) is None
    source, store = make.source(settings, None, None), DuckDbStore(tmp_path / "series.duckdb", memory="100MB")
    files = {one.device.device_id: provision.agent_toml(one, provision.endpoint_of(held)) for one in made}
    async with receiving(source, store, registry.load_roster(engine)) as receiver:
        yield Site(mosquitto, receiver, store, files, passwords)
    mosquitto.stop()
    engine.dispose()


async def test_every_batch_is_stored_once_and_marked_though_mosquitto_is_killed_meanwhile(site: Site, tmp_path: Path):
    settings = [quick(text, tmp_path / name) for name, text in site.files.items()]
    with running(settings[0]) as one, running(settings[1]) as two:
        for device in (one, two):
            device.feed(range(30))
        await until(lambda: site.receiver.counts["batches"] >= 10)
        await asyncio.to_thread(site.mosquitto.kill)  # what it held in memory is gone
        for device in (one, two):
            device.feed(range(30, 60))
        await asyncio.to_thread(site.mosquitto.start)
        for device in (one, two):
            device.feed(range(60, 90))

        await until(lambda: site.receiver.counts["batches"] == 180, seconds=30)
        await until(lambda: one.agent.waiting == two.agent.waiting == 0, what="the marks empty the buffers")
        assert one.agent.connects >= 2

    for series in (0, 1):
        assert sorted(site.store.range(series, 0, 1 << 50)[1].tolist()) == [float(n) for n in range(90)]


async def test_who_has_no_password_or_speaks_for_another_is_kept_out_by_mosquitto(site: Site):
    port = site.mosquitto.port
    stranger = await brokers.Device(port, "attic-1", password="guessed").connected()
    liar = await brokers.Device(port, "attic-2", password=site.passwords["attic-2"]).connected()
    honest = await brokers.Device(port, "attic-1", password=site.passwords["attic-1"]).connected()

    await liar.publish("bf/1/attic-1/batch", b"rubbish")
    await honest.publish("bf/1/attic-1/batch", b"its own rubbish")

    await until(lambda: site.receiver.counts["refused.bad_form"] == 1)
    assert site.receiver.counts["deliveries"] == 1
    assert stranger.refused
    for device in (stranger, liar, honest):
        device.close()
