"""One running gateway: services joined, started, kept going, and stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import uvicorn
from sqlalchemy import Engine

import rules
from gateway import ledger
from gateway.app import make
from gateway.app.jobs import jobs_of
from gateway.app.vitals import Vitals
from gateway.broker import Broker
from gateway.config import Settings, duration_s
from gateway.ingest import Intake, Mapping
from gateway.ledger import registry
from gateway.model import Block, Roster
from gateway.ports import SeriesStore, TelemetrySource
from gateway.selfwatch import Watch
from gateway.services import snapshot
from gateway.services.deadletters import DeadLetters
from gateway.services.dispatch import Dispatch
from gateway.services.downlink import Downlink
from gateway.services.inbound import Inbound
from gateway.services.jobs import schedule
from gateway.services.judgement import Judgement
from gateway.services.mirror import Mirror
from gateway.services.receive import Receiver
from gateway.services.replies import Replies
from gateway.services.supervise import keep
from gateway.services.turn import Turn
from gateway.web.app import create_app
from gateway.web.deps import WebDeps
from gateway.web.hub import Hub

TICK_S = 1.0  # between judgements where nothing comes
RETAIN_S = 3_600.0  # roll-up and retention by the hour, a roll-up's own step
STOP_S = 1.0  # for the link; of the five seconds in which a gateway is to be gone
MIND_S = 2.0  # between looks at ourselves: how long a revoked device keeps its link

log = structlog.get_logger(__name__)


def now_ms() -> int:
    """Wall clock, Unix ms."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True, kw_only=True)
class Gateway:
    """Everything that runs, joined by `open_gateway`. `serve` runs it until it is cancelled."""

    settings: Settings
    ledger: Engine
    roster: Roster
    store: SeriesStore
    watch: Watch
    hub: Hub
    broker: Broker | None
    source: TelemetrySource
    turn: Turn
    dispatch: Dispatch
    downlink: Downlink
    console: socket.socket
    mirror: Mirror | None = None  # where tickets are told to another help desk
    receiver: Receiver = field(init=False)
    vitals: Vitals = field(init=False)
    web: uvicorn.Server = field(init=False)

    @property
    def console_url(self) -> str:
        """Where the console answers."""
        host, port = self.console.getsockname()[:2]
        return f"http://{'localhost' if host in ('0.0.0.0', '127.0.0.1') else host}:{port}"  # noqa: S104  # shown only

    @property
    def mqtt_port(self) -> int:
        """Where devices find the embedded broker; 0 with another."""
        return self.broker.mqtt_port if self.broker else 0

    async def serve(self) -> None:
        """Run every service until cancelled."""
        scheduler = schedule(jobs_of(self), ledger=self.ledger, clock=now_ms)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.web.serve(sockets=[self.console]), name="web")
                if self.broker is not None:
                    group.create_task(keep("broker", self.broker.watch))
                group.create_task(keep("receive", self._receive))
                group.create_task(keep("tick", self._ticks))
                group.create_task(keep("dispatch", self.dispatch.run))
                group.create_task(keep("mind", self._mind))
                if self.mirror is not None:
                    group.create_task(keep("mirror", self.mirror.run))
                scheduler.start()
        finally:
            if scheduler.running:
                scheduler.shutdown(wait=False)
            self.hub.close()

    async def on_block(self, block: Block) -> None:
        """The turn of one committed block."""
        await asyncio.to_thread(self.turn.advance, block, wall_ms=now_ms())
        if block.births:
            await self.downlink.remind(block.births)

    async def _receive(self) -> None:
        """Catch up with the store, then take what comes; a turn that failed ends the run, and this begins anew."""
        await self.receiver.patiently(lambda: self.turn.resume(wall_ms=now_ms()))
        await self.receiver.run()

    async def _ticks(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await asyncio.to_thread(self.turn.tick, wall_ms=now_ms())
            self.hub.publish("system")

    async def _mind(self) -> None:
        """Look at ourselves and at the registry: owners may change, and revoked devices lose their links."""
        version = -1
        while True:
            if (found := await asyncio.to_thread(registry.roster_version, self.ledger)) != version:
                await asyncio.to_thread(registry.reread_roster, self.ledger, self.roster)
                version = found
            self.vitals.take(now_ms())
            for device_id in await asyncio.to_thread(registry.refresh_roster, self.ledger, self.roster):
                if self.broker is not None:
                    await self.broker.disconnect(device_id)
            await asyncio.sleep(MIND_S)

    async def stop(self) -> None:
        """Close the link to the broker, keep what is in memory, release the store."""
        self.turn.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self.source.close()
        with contextlib.suppress(OSError):  # a full disk: the older snapshot stays
            await asyncio.to_thread(self.turn.save)
        await asyncio.to_thread(self.store.close)


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """A gateway ready to serve: its broker runs, its files are open. Leaving stops all of it.

    Raises:
        ConfigError: `port_in_use`, `broker_missing`, `disk_full`, `bad_ledger_url`, ... with the way out.
    """
    async with AsyncExitStack() as begun:
        begun.enter_context(make.data_folder(Path(settings.data_dir)))
        console = make.listener(settings.web.host, settings.web.port)
        begun.callback(console.close)
        engine = await asyncio.to_thread(
            ledger.open_ledger, settings.ledger_url, settings.ledger_key_file, now_ms=now_ms()
        )
        begun.callback(engine.dispose)
        plain = make.mapping(settings.ingest)
        broker = make.broker(settings, engine, plain)
        if broker is not None:
            begun.push_async_callback(broker.stop)
            await broker.start()
        gateway = await asyncio.to_thread(_join, settings, engine, broker, console, plain)
        begun.push_async_callback(gateway.stop)
        await gateway.source.open()
        yield gateway


def _join(
    settings: Settings, engine: Engine, broker: Broker | None, console: socket.socket, plain: Mapping | None
) -> Gateway:
    folder = Path(settings.data_dir)
    roster = registry.load_roster(engine)
    store = make.store(folder, roster, settings.store)
    watch, hub, texts = Watch(), Hub(started_ms=now_ms()), make.texts(settings.outreach)
    ruleset = rules.load(make.rule_paths(settings))
    allowed = settings.detect.false_alarms_per_week or None
    window, judgement = snapshot.restore(
        folder / "state",
        lambda held: Judgement(
            roster,
            ruleset,
            held=held,
            false_alarms_per_week=allowed,
            log_session=settings.detect.log_session,
            risk_horizon_ms=int(1000 * duration_s(settings.detect.risk_horizon)),
        ),
    )
    turn = Turn(
        ledger=engine, roster=roster, store=store, judgement=judgement, texts=texts, watch=watch,
        sender=settings.outreach.sender_name, tell=hub.publish, folder=folder / "state",
    )  # fmt: skip
    turn.window = window
    source, letters = make.source(settings, broker, plain), DeadLetters(folder / "dead-letters")
    inbound = Inbound(engine=engine, texts=texts, now_ms=now_ms, sender=settings.outreach.sender_name)
    channel = make.channel(settings, inbound, hub.publish)
    desk = make.desk(settings.desk)
    gateway = Gateway(
        settings=settings, ledger=engine, roster=roster, store=store, watch=watch, hub=hub, broker=broker,
        source=source, turn=turn, console=console,
        mirror=Mirror(engine=engine, desk=desk, watch=watch, now_ms=now_ms) if desk else None,
        dispatch=Dispatch(engine=engine, channels={"sms": channel}, now_ms=now_ms),
        downlink=Downlink(
            ledger=engine, source=source, now_ms=now_ms, folder=folder / "diagnostics", tell=hub.publish
        ),
    )  # fmt: skip
    gateway.receiver = Receiver(
        source=source, store=store, roster=roster, now_ms=now_ms, pace=make.pace(settings.ingest),
        intake=Intake(roster, limits=make.limits(settings.ingest), mapping=plain),
        save_series=lambda s, m: registry.save_new_series(engine, roster, from_series=s, from_metric=m),
        on_block=gateway.on_block, on_message=gateway.downlink.take,
        on_unknown=lambda _ids: registry.refresh_roster(engine, roster), dead_letters=letters,
    )  # fmt: skip
    gateway.vitals = Vitals(
        settings=settings, ledger=engine, watch=watch, receiver=gateway.receiver, turn=turn,
        dispatch=gateway.dispatch, broker=broker,
    )  # fmt: skip
    deps = WebDeps(
        engine=engine, store=store, roster=roster, hub=hub, watch=watch, now_ms=now_ms, settings=settings.web,
        replies=Replies(inbound=inbound, signed=make.signature_check(settings.outreach)), parts=gateway.vitals.parts,
        episodes=judgement.episodes, forecasts=judgement.forecasts, phones=settings.outreach.channel == "console",
        downlink=gateway.downlink, resume=gateway.dispatch.resume,
        rules={rule.alert: rule.cause for rule in ruleset.rules}, dead_letters=letters.newest,
    )  # fmt: skip
    gateway.web = make.Server(
        uvicorn.Config(create_app(deps), log_config=None, lifespan="off", access_log=False, timeout_graceful_shutdown=1)
    )
    return gateway
