"""Real brokers for tests: the embedded NATS server, and Mosquitto where it is installed."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from edge import wire
from gateway.broker import GATEWAY, Broker, BrokerConfig, hash_token
from gateway.sources.jetstream import JetStreamSource
from tests.conftest import ROOT, free_port

SEED = bytes(range(32))
MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/opt/homebrew/sbin")


def token(device_id: str) -> str:
    return f"token-of-{device_id}"


def credential(device_id: str) -> str | None:
    """Devices d0, d1, ... may connect."""
    return hash_token(token(device_id)) if device_id.startswith("d") else None


def embedded(folder: Path, **more) -> Broker:
    return Broker(
        BrokerConfig(directory=folder, mqtt_port=-1, ack_wait_s=1.0), seed=SEED, credential=credential, **more
    )


@contextlib.asynccontextmanager
async def running(broker: Broker) -> AsyncIterator[Broker]:
    """The broker, supervised."""
    await broker.start()
    watch = asyncio.create_task(broker.watch())
    try:
        yield broker
    finally:
        watch.cancel()
        await broker.stop()


def source_of(broker: Broker, **more) -> JetStreamSource:
    return JetStreamSource(
        broker.nats_url, user=GATEWAY, password=broker.config.gateway_password, mqtt_host="127.0.0.1",
        mqtt_port=broker.mqtt_port, **more,
    )  # fmt: skip


class Mosquitto:
    """A Mosquitto of its own, configured as docs/brokers.md says; without `users` (name to password) for anybody."""

    def __init__(self, folder: Path, *, users: Mapping[str, str] | None = None) -> None:
        if MOSQUITTO is None:
            pytest.skip("mosquitto is not installed (Debian package mosquitto)")
        self.port = free_port()
        self._file = folder / "mosquitto.conf"
        conf, acl = _documented()
        for said, meant in (
            ("listener 1883", f"listener {self.port} 127.0.0.1"),
            ("/etc/mosquitto/", f"{folder}/"),
            ("persistence true", f"persistence true\npersistence_location {folder}/\nuser root"),
        ):
            assert said in conf
            conf = conf.replace(said, meant)
        if users is None:
            kept = (line for line in conf.splitlines() if not line.startswith(("password_file", "acl_file")))
            conf = "\n".join(kept).replace("allow_anonymous false", "allow_anonymous true")
        else:
            _write(folder / "acl", acl)
            _write(folder / "passwords", "".join(f"{name}:{word}\n" for name, word in users.items()))
            subprocess.run(["mosquitto_passwd", "-U", folder / "passwords"], check=True, capture_output=True)
        self._file.write_text(conf)
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([MOSQUITTO, "-c", str(self._file)], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), contextlib.closing(socket.create_connection(("127.0.0.1", self.port))):
                return
            time.sleep(0.02)
        raise AssertionError(f"mosquitto does not answer on port {self.port}")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


def _documented() -> tuple[str, str]:
    """The configuration and the ACL that docs/brokers.md shows."""
    conf, acl = re.findall(r"```conf\n(.*?)```", (ROOT / "docs" / "brokers.md").read_text(), re.DOTALL)
    return conf, acl


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


class Device:
    """One MQTT client of a device; what it got is in `got`."""

    def __init__(self, port: int, device_id: str, *, password: str | None = None, clean: bool = False) -> None:
        self.device_id = device_id
        self.got: list[tuple[str, bytes]] = []
        self.refused = ""
        self._connected, self._ended = threading.Event(), threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=device_id, clean_session=clean)
        self.client.username_pw_set(device_id, token(device_id) if password is None else password)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = lambda *_: self._ended.set()
        self.client.on_message = lambda _, __, m: self.got.append((m.topic, m.payload))
        self.client.connect_async("127.0.0.1", port)
        self.client.loop_start()

    def _on_connect(self, client, _, __, reason, ___) -> None:
        if reason.is_failure:
            self.refused = str(reason)
        else:
            client.subscribe([(wire.topic(self.device_id, kind), 1) for kind in wire.DOWN])
        self._connected.set()

    @property
    def answered(self) -> bool:
        """Whether the broker has taken or refused it."""
        return self._connected.is_set()

    async def connected(self) -> Device:
        await until(self._connected.is_set)
        return self

    async def ended(self) -> None:
        await until(self._ended.is_set)

    async def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        info = self.client.publish(topic, payload, qos=qos, retain=retain)
        await asyncio.to_thread(info.wait_for_publish, 10)
        assert info.is_published()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


async def until(holds: Callable[[], bool | Awaitable[bool]], *, seconds: float = 15.0, what: str = "") -> None:
    """Wait until a condition holds; fail at the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = holds()
        if await found if isinstance(found, Awaitable) else found:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what or holds}")
