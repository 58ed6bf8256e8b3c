"""From the console's API to a real agent and back: a whole gateway, its embedded broker, `edge.assembly`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import nats
import pytest
from httpx2 import AsyncClient
from nats.js.errors import NotFoundError

from edge.assembly import make_agent, serve
from edge.config import BufferSettings, read_settings
from edge.network import Network
from gateway.app import Gateway, now_ms, open_gateway
from gateway.broker import GATEWAY
from gateway.config import Settings
from gateway.ledger import access, audit
from gateway.ledger.access import User
from gateway.ledger.registry import NewDevice
from gateway.model import DeviceId
from gateway.services import provision
from gateway.services.provision import Credentials, Endpoint
from gateway.sources.jetstream import STREAM
from tests.brokers import until
from tests.conftest import free_port

DEVICE = "attic-1"
pytestmark = pytest.mark.timeout(90)


class Steady:
    name = "steady"

    def read(self, now_s: float) -> dict[str, float]:
        return {"temperature_celsius": 20.0 + now_s % 3}


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Gateway, Credentials]]:
    """A gateway with one provisioned device, serving on free ports."""
    settings = Settings.model_validate({
        "data_dir": str(folder), "broker": {"port": free_port()}, "web": {"port": 0}, "ingest": {"linger": "0.05s"},
    })  # fmt: skip
    async with open_gateway(settings) as gateway:
        wanted = [NewDevice(device_id=DeviceId(DEVICE), type="router")]
        (made,) = provision.add(gateway.ledger, wanted, now_ms=now_ms())
        serving = asyncio.create_task(gateway.serve())
        await listening(gateway)
        yield gateway, made
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def listening(gateway: Gateway) -> None:
    """Wait for the gateway's consumer: before its first start, the broker keeps nothing for it."""
    assert gateway.broker
    password = gateway.broker.config.gateway_password
    client = await nats.connect(gateway.broker.nats_url, user=GATEWAY, password=password)

    async def there() -> bool:
        with contextlib.suppress(NotFoundError):
            return bool(await client.jetstream().consumer_info(STREAM, "gateway"))
        return False

    await until(there, what="the gateway's consumer")
    await client.close()


@contextmanager
def agent(folder: Path, port: int, made: Credentials):
    """The device's agent, by the file that provisioning prints, on a thread of its own."""
    text = provision.agent_toml(made, Endpoint(host="127.0.0.1", port=port, tls=False))
    selftest = json.dumps([sys.executable, "-c", "print('motor ok')"])
    held = read_settings(text + f'\n[command.hooks]\nselftest = {selftest}\n\n[collect]\nflush_every = "1s"\n')
    network, stop = Network(), threading.Event()
    held = replace(held, buffer=BufferSettings(folder=folder, sync="never"), link=replace(held.link, retry_first=0.1))
    made_agent = make_agent(held, network, sensors=lambda _: [Steady()])
    made_agent.say(3, "radio", "rejoined at -71 dBm")
    thread = threading.Thread(
        target=serve, args=(network, [made_agent]), kwargs={"until": stop.is_set, "longest_s": 0.05}
    )
    thread.start()
    try:
        yield made_agent
    finally:
        stop.set()
        thread.join(10)
        made_agent.stop()
        network.close()


@asynccontextmanager
async def api(gateway: Gateway) -> AsyncIterator[AsyncClient]:
    """An agent's (the role's) API client."""
    access.save_user(
        gateway.ledger, User(login="ben", name="Ben", role="agent"), password="long enough", now_ms=now_ms()
    )
    secret, _ = access.issue_token(gateway.ledger, "ben", name="test", role="agent", now_ms=now_ms())
    base = f"{gateway.console_url.replace('localhost', '127.0.0.1')}/api/v1/devices/{DEVICE}"
    async with AsyncClient(base_url=base, headers={"Authorization": f"Bearer {secret}"}, timeout=20) as client:
        yield client


async def answer(client: AsyncClient, name: str) -> dict:
    """The answer to a command, when it is complete."""
    sent = (await client.post("/commands", json={"name": name})).raise_for_status().json()
    found: dict = {}

    async def come() -> bool:
        found.update((await client.get(f"/commands/{sent['command_id']}")).json())
        return found["state"] not in ("waiting", "started")

    await until(come, what=f"an answer to {name}")
    return found


async def reported(client: AsyncClient, state: str) -> dict:
    """Desired and reported settings, once they are in that state."""
    found: dict = {}

    async def come() -> bool:
        found.update((await client.get("/desired")).json())
        return found["state"] == state

    await until(come, what=f"settings {state}")
    return found


async def test_commands_and_settings_reach_a_real_agent_and_its_answers_come_back(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as (gateway, made), api(gateway) as client:
        with agent(tmp_path / "agent", gateway.mqtt_port, made) as device:
            await reported(client, "own")
            ping, selftest, unknown = [await answer(client, name) for name in ("ping", "selftest", "reboot")]
            diagnostics = await answer(client, "diagnostics")
            await client.put("/desired", json={"sample_every": "2s", "log_level": "error"})
            applied = await reported(client, "applied")
            kept = device.collect.sample_every
        away = await client.put("/desired", json={"sample_every": "5s"})
        with agent(tmp_path / "agent", gateway.mqtt_port, made):
            found = await reported(client, "applied")

        deeds = {(deed.actor, deed.action) for deed in audit.recent(gateway.ledger, subject=DEVICE)}

    assert (ping["state"], ping["code"], ping["text"]) == ("done", "done", "")
    assert (selftest["state"], selftest["text"].strip()) == ("done", "motor ok")
    assert (unknown["state"], unknown["code"]) == ("refused", "unknown_command")
    assert json.loads(diagnostics["text"])["logs"][0][2:] == ["radio", "rejoined at -71 dBm"]
    assert (applied["version"], applied["reported"]["sample_every"], kept) == (1, "2s", 2.0)
    assert applied["reported"]["log_level"] == "error"
    assert away.json()["state"] == "waiting"
    assert (found["version"], found["reported"]["sample_every"]) == (2, "5s")
    assert {("ben", "device.command.ping"), ("ben", "device.desired")} <= deeds
