"""A fleet that connects all at once, as after a restart of the broker: how fast it is back, and what a link costs.

    python -m bench.connect [--quick] [--json FILE] [--devices 1000,2000,4000,8000]

The embedded broker with its authorization service and a ledger of that many devices; each device tries with the agent's
own waits (full jitter from two seconds on) until its session stands and its topics are subscribed to. The devices are a
process of their own on the same cores.

Keys of the JSON, each a list with one entry for every fleet: `devices`, `first_s` (until all are connected for the
first time, sessions are made), `again_s` (after the broker was killed), `connections_per_s` (the second),
`tries_per_device`, `gateway_ms` and `broker_ms` (processor time a connection).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from edge.link import ANSWER_S, backoff_s
from edge.wire import DOWN
from gateway import ledger
from gateway.app import make
from gateway.broker import Broker
from gateway.config import BrokerSettings, Settings
from gateway.ledger.registry import NewDevice
from gateway.model import DeviceId
from gateway.services import provision

FIRST_S, LONGEST_S = 2.0, 300.0  # the agent's defaults: link.retry_first and link.retry_longest
GIVE_UP_S = 300.0


class Session(asyncio.Protocol):
    """One device: `ready` once it is admitted and subscribed."""

    def __init__(self, device_id: str, token: str) -> None:
        self._device_id, self._token = device_id, token
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102  # asyncio documents it
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        names = _text(self._device_id) + _text(self._device_id) + _text(self._token)
        transport.write(_packet(0x10, _text("MQTT") + bytes([4, 0b1100_0000, 0, 60]) + names))

    def data_received(self, data: bytes) -> None:  # noqa: D102
        if data[0] == 0x20 and data[3]:
            self._fail(f"refused: {data[3]}")
        elif data[0] == 0x20 and self._transport is not None:
            topics = [_text(f"bf/1/{self._device_id}/{kind}") + b"\0" for kind in DOWN]
            self._transport.write(_packet(0x82, b"\0\1" + b"".join(topics)))
        elif data[0] == 0x90 and not self.ready.done():
            self.ready.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._fail(f"lost: {exc}")

    def close(self) -> None:
        """Let the link go."""
        self.ready.cancel()
        if self._transport is not None:
            self._transport.close()

    def _fail(self, reason: str) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(reason))


def _text(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode()


def _packet(kind: int, body: bytes) -> bytes:
    high, low = divmod(len(body), 128)
    return bytes([kind, low | 128, high] if high else [kind, low]) + body


async def connect(port: int, tokens: Mapping[str, str]) -> tuple[list[Session], Counter[str]]:
    """All devices, connected; and how often they tried, by how it ended."""
    tries: Counter[str] = Counter()

    async def one(device_id: str, token: str) -> Session:
        loop = asyncio.get_running_loop()
        for failed in range(1_000):
            await asyncio.sleep(backoff_s(failed, first_s=FIRST_S, longest_s=LONGEST_S, draw=random.random))
            link = Session(device_id, token)
            try:
                async with asyncio.timeout(ANSWER_S):
                    await loop.create_connection(lambda link=link: link, "127.0.0.1", port)  # type: ignore[misc]
                    await link.ready
            except (OSError, TimeoutError) as exc:
                tries[type(exc).__name__] += 1
                link.close()
            else:
                tries["connected"] += 1
                return link
        raise TimeoutError

    async with asyncio.timeout(GIVE_UP_S), asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(*device)) for device in tokens.items()]
    return [task.result() for task in tasks], tries


async def fleet(port: int, tokens: Mapping[str, str]) -> None:
    """The devices' process: connects at each line of its input, and says how it went."""
    links: list[Session] = []
    for _ in iter(sys.stdin.readline, ""):
        for link in links:
            link.close()
        began = time.monotonic()
        links, tries = await connect(port, tokens)
        print(json.dumps({"seconds": time.monotonic() - began, "tries": tries}), flush=True)


@asynccontextmanager
async def broker_of(folder: Path, devices: int) -> AsyncIterator[tuple[Broker, dict[str, str]]]:
    """The embedded broker, supervised, and the tokens of a fleet in its ledger."""
    settings = Settings(data_dir=str(folder), broker=BrokerSettings(port=0))
    engine = ledger.connect(settings.ledger_url)
    ledger.migrate(engine)
    wanted = [NewDevice(device_id=DeviceId(f"d{n:06d}"), type="router") for n in range(devices)]
    made = provision.add(engine, wanted, now_ms=time.time_ns() // 1_000_000)
    broker = make.broker(settings, engine, None)
    assert broker is not None
    await broker.start()
    watch = asyncio.create_task(broker.watch())
    try:
        yield broker, {one.device.device_id: one.token for one in made}
    finally:
        watch.cancel()
        await broker.stop()
        engine.dispose()


async def measure(devices: int) -> dict[str, float]:
    """One fleet: the first time, and again after the broker was killed."""
    with tempfile.TemporaryDirectory(prefix="bench-connect-") as name:
        async with broker_of(Path(name), devices) as (broker, tokens):
            (Path(name) / "tokens.json").write_text(json.dumps(tokens))
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bench.connect", "--fleet", str(broker.mqtt_port), f"{name}/tokens.json",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None

            async def round_of() -> dict[str, Any]:
                process.stdin.write(b"go\n")  # type: ignore[union-attr]
                return dict(json.loads(await process.stdout.readline()))  # type: ignore[union-attr]

            first = await round_of()
            restarts = broker.counts.get("restart", 0)
            psutil.Process(broker.pid).kill()
            while broker.counts.get("restart", 0) == restarts or not broker.pid:
                await asyncio.sleep(0.02)
            before = _cpu_s(), _cpu_s(broker.pid)
            again = await round_of()
            used = _cpu_s() - before[0], _cpu_s(broker.pid) - before[1]
            process.stdin.close()
            await process.wait()
    return {
        "devices": devices, "first_s": first["seconds"], "again_s": again["seconds"],
        "connections_per_s": devices / again["seconds"], "tries_per_device": sum(again["tries"].values()) / devices,
        "gateway_ms": 1000 * used[0] / devices, "broker_ms": 1000 * used[1] / devices,
    }  # fmt: skip


def _cpu_s(pid: int | None = None) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--devices", default="")
    parser.add_argument("--fleet", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if args.fleet:
        asyncio.run(fleet(int(args.fleet[0]), json.loads(Path(args.fleet[1]).read_text())))
        return
    sizes = [int(size) for size in (args.devices or ("500,1000" if args.quick else "1000,2000,4000,8000")).split(",")]
    rows = [asyncio.run(measure(size)) for size in sizes]
    table = Table(title="connecting all at once")
    for key in rows[0]:
        table.add_column(key.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" for value in row.values()))
    Console().print(table)
    if args.json:
        args.json.write_text(json.dumps({key: [row[key] for row in rows] for key in rows[0]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
