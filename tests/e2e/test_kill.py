"""Promises 1 and 2: whatever is killed, every batch that a device handed over is in the store, exactly once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import paho.mqtt.client as paho
import pytest

from edge import wire
from gateway.stores.duckdb import DuckDbStore
from tests.brokers import token
from tests.conftest import ROOT, free_port

DEVICES, BATCHES_PER_S, AGAIN_S = 10, 15, 1.0


class Agent:
    """A device that keeps each batch until the gateway says `stored`, and sends it again until then."""

    def __init__(self, port: int, device_id: str) -> None:
        self.device_id, self.made = device_id, 0
        self.held: dict[int, float] = {}  # seq to when it was last sent
        self._lock, self._online = threading.Lock(), threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=device_id, clean_session=True)
        self.client.username_pw_set(device_id, token(device_id))
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = lambda *_: self._online.clear()
        self.client.on_message = self._on_message
        self.client.connect_async("127.0.0.1", port)
        self.client.loop_start()

    def work(self, *, make: bool) -> None:
        """Make one batch, and send what is due."""
        now = time.monotonic()
        with self._lock:
            if make:
                self.held[self.made] = 0.0
                self.made += 1
            due = [seq for seq, at in self.held.items() if now - at > AGAIN_S] if self._online.is_set() else []
            self.held.update(dict.fromkeys(due, now))
        for seq in due:
            at = time.time_ns() // 1_000_000
            batch = wire.Batch(boot=1, seq=seq, sent_at_ms=at, t_ms=[at], columns={"sent_total": [float(seq)]})
            self.client.publish(wire.topic(self.device_id, "batch"), wire.encode_batch(batch), qos=1)

    def _on_connect(self, client, _, __, reason, ___) -> None:
        if not reason.is_failure:
            client.subscribe(wire.topic(self.device_id, "stored"), 1)
            self._online.set()

    def _on_message(self, _, __, message) -> None:
        with self._lock:
            for _boot, first, last in wire.decode_stored(message.payload):
                for seq in range(first, last + 1):
                    self.held.pop(seq, None)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Gateway:
    """The process under test."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self._log = (folder / "gateway.log").open("ab")
        self.start()

    def start(self) -> None:
        (self.folder / "broker.pid").unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.e2e.receiving", self.folder, str(self.port), str(DEVICES)]
        self._process = subprocess.Popen(
            [str(c) for c in command], cwd=ROOT, stdout=self._log, stderr=self._log, start_new_session=True
        )

    @property
    def broker_pid(self) -> int:
        """Process id of its broker, once it runs."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                return int((self.folder / "broker.pid").read_text())
            except (OSError, ValueError):
                time.sleep(0.02)
        raise AssertionError((self.folder / "gateway.log").read_text()[-3000:])

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def kill_broker(self) -> None:
        os.kill(self.broker_pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill what is left of it."""
        if self._process.poll() is None:
            broker = self.broker_pid
            self.kill()
            os.kill(broker, signal.SIGTERM)
        self._log.close()


@pytest.fixture
def gateway(tmp_path: Path):
    started = Gateway(tmp_path)
    yield started
    started.end()


def work(agents: list[Agent], seconds: float, *, make: bool = True) -> None:
    """Let the agents make and send batches for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for agent in agents:
            agent.work(make=make)
        time.sleep(1 / BATCHES_PER_S)


@pytest.mark.timeout(120)
def test_every_batch_handed_over_is_stored_exactly_once_whatever_is_killed(gateway: Gateway, tmp_path: Path):
    agents = [Agent(gateway.port, f"d{number}") for number in range(DEVICES)]
    assert gateway.broker_pid
    work(agents, 2)

    gateway.kill()  # its broker lives on, and is replaced
    work(agents, 0.5)
    gateway.start()
    work(agents, 2)

    gateway.kill_broker()
    work(agents, 2)

    broker = gateway.broker_pid
    gateway.kill()
    os.kill(broker, signal.SIGKILL)
    work(agents, 0.5)
    gateway.start()
    work(agents, 2)

    broker = gateway.broker_pid
    gateway.kill()
    os.kill(broker, signal.SIGKILL)
    shutil.rmtree(gateway.folder / "broker")
    gateway.start()
    work(agents, 2)

    deadline = time.monotonic() + 45
    while any(agent.held for agent in agents) and time.monotonic() < deadline:
        work(agents, 0.2, make=False)
    assert not any(agent.held for agent in agents), (tmp_path / "gateway.log").read_text()[-3000:]
    for agent in agents:
        agent.close()
    gateway.end()

    store = DuckDbStore(tmp_path / "series.duckdb", memory="256MB", threads=1)
    for number, agent in enumerate(agents):
        _, value = store.range(number, 0, 1 << 50)
        found = Counter(np.asarray(value, int).tolist())
        assert agent.made > 50
        assert found == Counter(range(agent.made))
    numbers = [block.window for block in store.since(0)]
    assert numbers == list(range(1, len(numbers) + 1))
    store.close()
