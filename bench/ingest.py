"""Ingest for real: publish, commit, detection, rules and ledger, on one machine with broker and load generator.

    python -m bench.ingest [--quick] [--json FILE] [--overload-minutes N] [--only wide,narrow,half,overload,storage]

The whole gateway runs in this process as `beforehand run` starts it (defaults, library rules plus one without delay,
console included), its broker and the load generator (`bench.load`) as processes beside it. Runs, each on new data:

    wide      600-value batches, as fast as they are confirmed: values/s from first publish to the last committed turn
    narrow    3-value messages, likewise: messages/s
    half      600-value batches at half of what `wide` reached, devices going bad meanwhile: p99 from the publish of the
              first bad value to the commit of the incident
    overload  3-value messages at ten times 5,000/s, as far as agents' windows let them go: resident memory, and every
              confirmed batch is in the store
    storage   values that never repeat, at the digits agents send: bytes a value when all of it is settled

Keys of the JSON: `values_per_s` (wide), `messages_per_s` (narrow), `bytes_per_value` (storage),
`p99_publish_to_incident_s` (half), `peak_rss_mb` (overload, gateway process alone, MB of 2^20), `lost` (batches that
were confirmed and are not in the store, one by one, all runs), `runs` (everything, by run).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import structlog
from rich.console import Console
from rich.table import Table
from scipy.signal import lfilter

from bench.load import LEVELS, Spec
from edge.wire import METRICS, digits_of
from gateway import ledger
from gateway.app import open_gateway
from gateway.app.gateway import Gateway
from gateway.config import BrokerSettings, IngestSettings, RulesSettings, Settings, WebSettings
from gateway.incidents import TurnOutcome
from gateway.ledger.registry import NewDevice
from gateway.model import Block, DeviceId, Floats, Integers
from gateway.ports import BatchKey
from gateway.services import provision
from gateway.stores.duckdb import DuckDbStore

AIMS = {"values_per_s": 500_000, "messages_per_s": 5_000, "bytes_per_value": 3.5, "p99_publish_to_incident_s": 2.0}
RULE = """
rules:
  - alert: BenchHot
    expr: temperature_celsius > 100
    for: 0s
    severity: critical
    cause: overheating
    ticket: {priority: high, title: Too hot}
    explain: Hot.
"""
DRAIN_S = 600.0
Result = dict[str, Any]


class Measured:
    """What one run showed: turns as they are committed, memory as time goes by."""

    def __init__(self, gateway: Gateway) -> None:
        self.turned = 0  # values that passed a committed turn
        self.incident_ms: dict[str, int] = {}
        self.done_ms = 0
        self.peak_rss = self.peak_broker_rss = 0
        self._gateway = gateway
        advance = gateway.turn.advance

        def timed(block: Block, *, wall_ms: int) -> TurnOutcome:
            outcome = advance(block, wall_ms=wall_ms)
            self.done_ms = time.time_ns() // 1_000_000
            for incident in outcome.incidents:
                self.incident_ms.setdefault(incident.device_id, self.done_ms)
            self.turned += len(block)
            return outcome

        gateway.turn.advance = timed  # type: ignore[method-assign]  # the one place where a turn can be watched

    def cpu_s(self) -> tuple[float, float]:
        """Processor seconds that gateway and broker have used."""
        broker = self._gateway.broker
        spent = [psutil.Process(pid).cpu_times() for pid in (None, broker.pid if broker else None)]
        return spent[0].user + spent[0].system, spent[1].user + spent[1].system

    async def watch(self) -> None:
        """Note the highest resident memory, each half second."""
        mine = psutil.Process()
        while True:
            self.peak_rss = max(self.peak_rss, mine.memory_info().rss)
            if self._gateway.broker and self._gateway.broker.pid:
                broker = psutil.Process(self._gateway.broker.pid)
                self.peak_broker_rss = max(self.peak_broker_rss, broker.memory_info().rss)
            await asyncio.sleep(0.5)


async def run(spec: Spec) -> Result:
    """One run of the whole gateway on new data."""
    with _folder() as folder:
        (folder / "rule.yaml").write_text(RULE)
        settings = Settings(
            data_dir=str(folder / "data"), log_level="error", broker=BrokerSettings(port=0), web=WebSettings(port=0),
            rules=RulesSettings(paths=(str(folder / "rule.yaml"),)),
            ingest=IngestSettings(values_per_minute=1_000_000_000),
        )  # fmt: skip
        tokens = _provision(settings, spec.devices)
        (folder / "tokens.json").write_text(json.dumps(tokens))
        async with open_gateway(settings) as gateway:
            measured = Measured(gateway)
            tasks = [asyncio.create_task(gateway.serve()), asyncio.create_task(measured.watch())]
            try:
                return await _drive(gateway, measured, spec, folder / "tokens.json")
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


async def _drive(gateway: Gateway, measured: Measured, spec: Spec, tokens: Path) -> Result:
    await _load(gateway, replace(spec, batches=spec.devices, faults=0, first_seq=1 << 40), tokens)  # compiles kernels
    await _turned(gateway, measured, spec.devices)
    warm, used_s = measured.turned, [(0.0, 0.0)]
    account = await _load(gateway, spec, tokens, connected=lambda: used_s.append(measured.cpu_s()))
    confirmed = int(account["confirmed"])
    await _turned(gateway, measured, spec.devices + confirmed)
    took_s = (measured.done_ms - int(account["began_ms"])) / 1000
    used = [(after - before) / took_s for before, after in zip(used_s[-1], measured.cpu_s(), strict=True)]
    sent = replace(spec, batches=int(account["sent"]))
    lost = _lost(gateway, sent, {int(n): set(places) for n, places in account["unconfirmed"].items()})
    delays = [
        (measured.incident_ms[f"d{int(n):06d}"] - at) / 1000
        for n, at in account["faulty"].items()
        if f"d{int(n):06d}" in measured.incident_ms
    ]
    return {
        "devices": spec.devices, "batches": confirmed, "values": measured.turned - warm, "took_s": took_s,
        "values_per_s": (measured.turned - warm) / took_s, "messages_per_s": confirmed / took_s,
        "sent_per_s": account["sent"] / account["sending_s"], "lost": lost, "cuts": account["cuts"],
        "faults": len(account["faulty"]), "incidents": len(delays),
        "p99_publish_to_incident_s": float(np.quantile(delays, 0.99)) if delays else None,
        "gateway_cores": used[0], "broker_cores": used[1], "peak_rss_mb": measured.peak_rss / 2**20,
        "broker_peak_rss_mb": measured.peak_broker_rss / 2**20,
    }  # fmt: skip


def _lost(gateway: Gateway, spec: Spec, unconfirmed: dict[int, set[int]]) -> int:
    """How many batches were confirmed and are not in the store, by their keys."""
    lost = 0
    for device in range(spec.devices):
        places = set(range(len(range(device, spec.batches, spec.devices)))) - unconfirmed.get(device, set())
        keys = [BatchKey(device, 1, spec.first_seq + place) for place in sorted(places)]
        lost += len(keys) - len(gateway.store.seen(keys))
    return lost


async def _load(gateway: Gateway, spec: Spec, tokens: Path, *, connected: Callable[[], None] = lambda: None) -> Result:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.load", str(gateway.mqtt_port), str(tokens), json.dumps(asdict(spec)),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    await process.stdout.readline()
    connected()
    out = await process.stdout.read()
    if await process.wait():
        raise RuntimeError("the load generator failed")
    account: Result = json.loads(out)
    return account


async def _turned(gateway: Gateway, measured: Measured, batches: int) -> None:
    """Wait until so many batches are committed and their turns too."""
    deadline = time.monotonic() + DRAIN_S
    counts = gateway.receiver.counts
    while (counts["batches"] < batches or measured.turned < counts["values"]) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)


def _provision(settings: Settings, devices: int) -> dict[str, str]:
    Path(settings.data_dir).mkdir(parents=True)
    engine = ledger.connect(settings.ledger_url)
    ledger.migrate(engine)
    wanted = [
        NewDevice(device_id=DeviceId(f"d{n:06d}"), type=("router", "smart_lock", "heat_pump")[n % 3])
        for n in range(devices)
    ]
    made = provision.add(engine, wanted, now_ms=time.time_ns() // 1_000_000)
    engine.dispose()
    return {one.device.device_id: one.token for one in made}


def storage(*, devices: int, windows: int) -> Result:
    """Bytes a value at rest: 20 metrics a device each 10 s, first-order noise, rounded to the digits agents send."""
    value, t_ms = _drawn(devices, 30 * windows)
    start_ms = int(t_ms.min())
    with _folder() as folder:
        store = DuckDbStore(folder / "series.duckdb")
        began = time.perf_counter()
        for w in range(windows):
            span = slice(30 * w, 30 * w + 30)
            block = Block(
                window=w + 1, received_ms=start_ms, series=np.repeat(np.arange(value.shape[0]), 30),
                t_ms=t_ms[:, span].ravel(), value=value[:, span].ravel(), late=np.zeros(value[:, span].size, np.bool_),
            )  # fmt: skip
            store.append(block, [BatchKey(device, 1, w) for device in range(devices)])
        appended_s = time.perf_counter() - began
        store.flush()
        fresh = store.used_bytes()
        store.settle(windows)
        store.flush(everything=True)
        store.retain(start_ms)
        store.flush()
        began = time.perf_counter()
        store.range(7, 0, 2 * start_ms, limit=1_000)
        range_s = time.perf_counter() - began
        rest = store.used_bytes()
        store.close()
    return {
        "values": value.size, "appended_per_s": value.size / appended_s, "bytes_per_value": rest / value.size,
        "fresh_bytes_per_value": fresh / value.size, "range_s": range_s,
    }  # fmt: skip


def _drawn(devices: int, samples: int) -> tuple[Floats, Integers]:
    """(series, samples) values and times of 20 metrics a device."""
    rng = np.random.default_rng(1)
    values: list[Floats] = []
    times: list[Integers] = []
    for _ in range(devices):
        for name, (level, noise) in list(LEVELS.items())[:20]:
            around = lfilter([1.0], [1.0, -0.9], rng.normal(0, 0.44 * noise, samples))
            drawn = level * (1 + 0.2 * rng.uniform(-1, 1)) * (1 + around) if noise else level + np.arange(samples)
            values.append(_rounded(np.clip(drawn, METRICS[name].low, METRICS[name].high), digits_of(name)))
        clock = 1_800_000_000_000 + rng.integers(0, 10_000) + np.arange(samples) * 10_000
        times.append(clock + rng.integers(0, 8, samples))
    return np.stack(values), np.repeat(np.stack(times), 20, axis=0)


def _rounded(value: Floats, digits: int) -> Floats:
    if not digits:
        return np.round(value)
    return np.array([float(f"{v:.{digits}g}") for v in value])


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="bench-ingest-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(only: set[str], *, quick: bool, overload_minutes: float) -> dict[str, Result]:
    """All runs that are asked for, by name."""
    part = 0.15 if quick else 1.0
    wide = Spec(devices=300 if quick else 1_000, metrics=20, samples=30, step_ms=10_000, batches=int(24_000 * part))
    narrow = replace(wide, devices=500 if quick else 5_000, metrics=3, samples=1, batches=int(200_000 * part))
    runs: dict[str, Result] = {}
    if "storage" in only:
        runs["storage"] = storage(devices=50 if quick else 200, windows=80 if quick else 100)
    if "wide" in only:
        runs["wide"] = asyncio.run(run(wide))
    if "narrow" in only:
        runs["narrow"] = asyncio.run(run(narrow))
    if "half" in only:
        rate = runs.get("wide", {"messages_per_s": 1_000.0})["messages_per_s"] / 2
        seconds = 8.0 if quick else 30.0
        spec = replace(wide, batches=int(rate * seconds), batches_per_s=rate, faults=30 if quick else 200)
        runs["half"] = asyncio.run(run(spec))
    if "overload" in only:
        offered, seconds = 50_000.0, 4.0 if quick else 60 * overload_minutes
        spec = replace(
            narrow, batches=int(offered * seconds), batches_per_s=offered, seconds=seconds, until_stored=True
        )
        runs["overload"] = asyncio.run(run(replace(spec, seconds=seconds)))
    return runs


def summary(runs: dict[str, Result]) -> Result:
    """The documented keys; None where a run was left out."""
    keys = {
        "values_per_s": "wide", "messages_per_s": "narrow", "bytes_per_value": "storage",
        "p99_publish_to_incident_s": "half", "peak_rss_mb": "overload",
    }  # fmt: skip
    found = {key: runs.get(name, {}).get(key) for key, name in keys.items()}
    return found | {"lost": sum(one.get("lost", 0) for one in runs.values()), "runs": runs}


def table(found: Result) -> Table:
    """The documented keys beside their aims, and each run in a line."""
    shown = Table(title="ingest")
    for column in ("", "measured", "aim"):
        shown.add_column(column, justify="left" if not column else "right")
    for key in (*AIMS, "peak_rss_mb", "lost"):
        value = found[key]
        shown.add_row(key, "-" if value is None else f"{value:,.2f}", f"{AIMS[key]:,}" if key in AIMS else "")
    for name, one in found["runs"].items():
        text = ", ".join(f"{key} {value:,.1f}" for key, value in one.items() if isinstance(value, int | float))
        shown.add_row(name, text, "")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--overload-minutes", type=float, default=1.0)
    parser.add_argument("--only", default="storage,wide,narrow,half,overload")
    args = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    only = set(args.only.split(","))
    found = summary(measure(only, quick=args.quick, overload_minutes=args.overload_minutes))
    Console(width=150).print(table(found))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
