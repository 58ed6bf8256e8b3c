"""The real agent on a thread of its own, and the receiving half of a gateway, joined by whatever broker a test runs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edge.agent import Agent
from edge.assembly import make_agent, serve
from edge.config import BufferSettings, Settings, read_settings
from edge.link import tls_context
from edge.network import Network
from gateway.ingest import Intake
from gateway.model import Block, Device, DeviceId, Roster
from gateway.ports import SeriesStore, TelemetrySource
from gateway.services.receive import Pace, Receiver


def quick(text: str, folder: Path) -> Settings:
    """An agent's settings from its file, with short waits and a buffer of the test's."""
    held = read_settings(text)
    link = replace(held.link, retry_first=0.1, retry_longest=0.5, mark_timeout=1.0)
    return replace(held, link=link, buffer=BufferSettings(folder=folder, sync="never"))


@dataclass
class Running:
    """An agent at work; it reads nothing by itself."""

    agent: Agent
    network: Network

    def feed(self, values: Iterable[float]) -> None:
        """One batch for each value."""

        def work() -> None:
            for value in values:
                self.agent.add(time.time_ns() // 1_000_000, {"sent_total": value})
                self.agent.flush()
            self.agent.due_s = 0.0

        self.network.call_soon(work)


@contextmanager
def running(settings: Settings) -> Iterator[Running]:
    """The agent on a thread of its own."""
    network, stop = Network(), threading.Event()
    agent = make_agent(settings, network, tls=tls_context(settings.link), sensors=lambda _: ())
    thread = threading.Thread(target=serve, args=(network, [agent]), kwargs={"until": stop.is_set, "longest_s": 0.02})
    thread.start()
    try:
        yield Running(agent, network)
    finally:
        stop.set()
        thread.join(10)
        agent.stop()
        network.close()


def fleet(*names: str) -> Roster:
    """A roster of routers."""
    made = Roster()
    for number, name in enumerate(names):
        made.put_device(Device(device_id=DeviceId(name), number=number, type="router"))
    return made


@asynccontextmanager
async def receiving(
    source: TelemetrySource, store: SeriesStore, roster: Roster, *, turn: Callable[[Block], None] = lambda _: None
) -> AsyncIterator[Receiver]:
    """A receiver at work; source and store are closed behind it."""

    async def on_block(block: Block) -> None:
        turn(block)

    receiver = Receiver(
        source=source, store=store, roster=roster, intake=Intake(roster), save_series=lambda _, __: None,
        on_block=on_block, pace=Pace(linger_s=0.02, marks_every_s=0.05),
    )  # fmt: skip
    await source.open()
    task = asyncio.create_task(receiver.run())
    try:
        yield receiver
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await source.close()
        store.close()
