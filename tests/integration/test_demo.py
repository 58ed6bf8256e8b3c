"""The demo's devices against a real broker: the past in order and whole, then the present, then a clean end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

from firmware_sim.demo import demo_fleet
from firmware_sim.region import DAY_MS, HOUR_MS
from tests.integration.edge_broker import NATS, Broker, StubGateway, eventually

DEVICES, DAYS, STEP_MS = 12, 3, 1_800_000
pytestmark = pytest.mark.skipif(not NATS, reason="nats-server is not installed")


class Demo:
    """`python -m firmware_sim.demo` as a process of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        now_ms = time.time_ns() // 1_000_000 // HOUR_MS * HOUR_MS
        units = demo_fleet(1, DEVICES, DAYS, begun_ms=now_ms, live_ms=now_ms).registry()
        config = {
            "broker": f"mqtt://127.0.0.1:{port}", "folder": str(folder / "demo"), "seed": 1, "devices": DEVICES,
            "days": DAYS, "step_s": STEP_MS / 1000, "pace_s": 1.0,
            "credentials": {unit.device: {"user": "u", "token": "p"} for unit in units},
        }  # fmt: skip
        path = folder / "demo.json"
        path.write_text(json.dumps(config))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "firmware_sim.demo", "--config", str(path)], stdout=subprocess.PIPE, text=True
        )

    def until(self, event: str) -> list[dict]:
        """Everything it says until that event."""
        said = []
        assert self.process.stdout
        for line in self.process.stdout:
            said.append(json.loads(line))
            if said[-1]["event"] == event:
                return said
        raise AssertionError(f"ended before {event}: {said}")

    def end(self) -> float:
        """Ask it to stop; the seconds it took."""
        begun_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(10)
        if self.process.stdout:
            self.process.stdout.close()
        assert code == 0
        return time.monotonic() - begun_s


def test_the_past_arrives_whole_and_in_order_then_the_present_and_a_second_start_goes_on(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.start()
    gateway = StubGateway(broker)
    demo = Demo(tmp_path, broker.port)
    try:
        said = demo.until("live")
        shares = [event["share"] for event in said if event["event"] == "playing"]
        past = list(gateway.batches)
        eventually(lambda: len({device for device, _ in gateway.batches[len(past) :]}) >= DEVICES - 2)
        took_s = demo.end()
        after_first = len(gateway.batches)
        demo = Demo(tmp_path, broker.port)
        again = demo.until("live")
        eventually(lambda: len(gateway.batches) > after_first)
        demo.end()
    finally:
        demo.process.kill()
        gateway.stop()
        broker.stop()

    times = defaultdict(list)
    for device, batch in past:
        assert not batch.historical
        times[device] += batch.t_ms
    assert len(times) == DEVICES
    live_ms = said[-1]["t_ms"]
    for device, got in times.items():
        assert got == sorted(set(got)), device
        assert (len(got) - 1) * STEP_MS == got[-1] - got[0]  # without a gap
    whole = [got for got in times.values() if got[-1] > live_ms - 2 * STEP_MS]
    assert len(whole) >= DEVICES - 2  # a dead device or two
    assert all(got[0] <= live_ms - DAYS * DAY_MS + HOUR_MS for got in whole)
    assert shares == sorted(shares)
    assert shares[-1] > 0.98
    assert {birth.type for _, birth in gateway.births} == {"smart_lock", "router", "heat_pump"}
    assert any(birth.metrics for _, birth in gateway.births)
    assert took_s < 5
    assert sum(event["event"] == "playing" for event in again) <= 1
    assert not [batch for _, batch in gateway.batches[after_first:] if batch.t_ms and batch.t_ms[0] < live_ms - DAY_MS]


def test_a_wrong_config_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text('{"brokr": "x"}')

    ran = subprocess.run(
        [sys.executable, "-m", "firmware_sim.demo", "--config", str(tmp_path / "demo.json")],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip

    assert ran.returncode == 2
    assert ran.stderr.startswith("firmware_sim.demo: expected an object with keys of broker")
    assert ran.stderr.count("\n") == 1
