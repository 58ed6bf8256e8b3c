"""One whole gateway in this process, on a real broker: what it counts, tells of itself, and does about revocation."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2 as httpx
import pytest

from edge.wire import Birth, encode_birth
from gateway.app import Gateway, open_gateway
from gateway.config import Settings
from gateway.errors import ConfigError, TryLater
from gateway.ledger import access, registry
from gateway.ledger.registry import NewDevice
from gateway.model import DeviceId
from gateway.services import provision
from tests.brokers import Device, until

pytestmark = pytest.mark.timeout(120)


def settings(folder: Path) -> Settings:
    return Settings.model_validate(
        {
            "data_dir": str(folder), "broker": {"port": 0}, "web": {"port": 0}, "ingest": {"linger": "0.1s"},
            "store": {"memory": "200MB"},
        }
    )  # fmt: skip


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Gateway]:
    async with open_gateway(settings(folder)) as gateway:
        serving = asyncio.create_task(gateway.serve())
        try:
            await until(lambda: gateway.web.started)
            yield gateway
        finally:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def get(gateway: Gateway, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(gateway.console_url + path, headers=headers)


async def admitted(gateway: Gateway, name: str = "r1") -> Device:
    (made,) = provision.add(gateway.ledger, [NewDevice(device_id=DeviceId(name), type="router")], now_ms=now_ms())
    return await Device(gateway.mqtt_port, name, password=made.token).connected()


async def test_what_is_refused_is_counted_kept_and_shown(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        device = await admitted(gateway)
        await device.publish("bf/1/r1/batch", b"rubbish")
        await until(lambda: gateway.watch.total("deliveries_refused") == 1)
        metrics = (await get(gateway, "/metrics")).text
        access.save_user(
            gateway.ledger, access.User(login="ada", name="Ada", role="admin"), password="x" * 12, now_ms=now_ms()
        )
        token, _ = access.issue_token(gateway.ledger, "ada", name="t", role="admin", now_ms=now_ms())
        system = (await get(gateway, "/api/v1/system", Authorization=f"Bearer {token}")).json()
        (letter,) = gateway.receiver._dead_letters.newest()
        device.close()

    assert 'beforehand_deliveries_refused_total{reason="bad_form"} 1.0' in metrics
    assert 'beforehand_part_up{part="Broker"} 1.0' in metrics
    assert system["problems"] == []
    assert (letter.topic, letter.code, letter.bytes) == ("bf/1/r1/batch", "bad_form", 7)


async def test_a_revoked_device_loses_its_link_within_seconds(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        device = await admitted(gateway)
        provision.revoke(gateway.ledger, "r1")  # as the command line does, in a process of its own
        await device.ended()
        revoked = gateway.roster.device("r1")
        device.close()

    assert revoked is not None
    assert revoked.revoked


async def test_a_store_that_takes_nothing_is_told_and_the_telling_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as gateway:
        device = await admitted(gateway)
        append, full = gateway.store.append, True

        def refusing(block, keys):
            if full:
                raise TryLater("store_full", after_s=0.2)
            append(block, keys)

        monkeypatch.setattr(gateway.store, "append", refusing)
        await device.publish("bf/1/r1/birth", birth())
        await until(lambda: "store_full" in gateway.watch.problems)
        down = await get(gateway, "/readyz")
        full = False
        await until(lambda: "store_full" not in gateway.watch.problems)
        up = await get(gateway, "/readyz")
        device.close()

    assert (down.status_code, down.json()["down"]) == (503, ["Series store"])
    assert up.status_code == 200


async def test_a_device_born_with_old_settings_gets_the_newest(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        device = await admitted(gateway)
        registry.set_desired(gateway.ledger, "r1", {"version": 4, "settings": {"sample_every": "9s"}})
        await device.publish("bf/1/r1/birth", birth())
        await until(lambda: [topic for topic, _ in device.got] == ["bf/1/r1/desired"])
        device.close()


async def test_two_gateways_do_not_share_a_folder(tmp_path: Path) -> None:
    async with open_gateway(settings(tmp_path)):
        with pytest.raises(ConfigError, match="already_running"):
            async with open_gateway(settings(tmp_path)):
                pass
    async with open_gateway(settings(tmp_path)):
        pass


def birth() -> bytes:
    return encode_birth(Birth(boot=1, t_ms=now_ms(), type="router", firmware="1.0"))
