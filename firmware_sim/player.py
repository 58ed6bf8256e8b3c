"""Simulated devices behind real agents: the past on a fast clock, then the present at its own pace.

Everything but the sensors is what runs on a device: `edge.agent` with its disk buffer, wire format and MQTT link. In
the past the player feeds rows with event times of their own; in the present each agent reads on its own schedule.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Final

import numpy as np

from edge.agent import Agent
from edge.assembly import make_agent
from edge.config import BufferSettings, Collect, CommandSettings, Device, LinkSettings, Settings
from edge.network import Network
from edge.schedule import SYSTEM_CLOCK
from edge.wire import SEVERITIES
from firmware_sim.fault import TYPES
from firmware_sim.fleet import Fleet
from firmware_sim.log import Line
from firmware_sim.region import DAY_MS, HOUR_MS

ROUND_MS: Final = 12 * HOUR_MS  # event time in one batch of the past
CHATTER_MS: Final = 2 * DAY_MS  # so long before the present all lines are sent; before that, warnings and worse
WINDOW: Final = 24  # batches of one device on their way; also how far one device may be ahead of the others
FRESH_MS: Final = 400 * DAY_MS  # nothing that is played counts as a backlog: it is judged as it happened
GLIMPSE_MS: Final = 2000  # readings of one type within this time share one computation


@dataclass(frozen=True, slots=True)
class Secret:
    """What provisioning gave a device."""

    user: str
    token: str
    command_key: str = ""  # hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where the show plays."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    folder: Path  # of the devices' disk buffers
    pace_s: float  # between readings in the present


class Glimpses:
    """What devices measure right now, computed for a whole type at once."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._held: dict[str, tuple[int, list[dict[str, float]]]] = {}
        self._row = {int(device): row for kind in TYPES for row, device in enumerate(fleet.rows(kind))}

    def of(self, number: int, t_ms: int) -> dict[str, float]:
        """Readings of one device at a moment, to within GLIMPSE_MS; empty where it is silent."""
        kind = self.fleet.type[number]
        moment = t_ms // GLIMPSE_MS
        held = self._held.get(kind)
        if held is None or held[0] != moment:
            held = self._held[kind] = (moment, self._rows(kind, moment * GLIMPSE_MS))
        return held[1][self._row[number]]

    def _rows(self, kind: str, t_ms: int) -> list[dict[str, float]]:
        columns = self.fleet.measured(kind, np.array([t_ms])).columns
        table = np.stack([values[:, 0] for values in columns.values()], axis=1)
        return [{} if np.isnan(row[0]) else dict(zip(columns, row.tolist(), strict=True)) for row in table]


class SimulatedSensor:
    """All sensors of one simulated device; says nothing until the show is live."""

    def __init__(self, player: Player, number: int) -> None:
        self.name = "simulated"
        self._player = player
        self._number = number

    def read(self, now_s: float) -> dict[str, float]:
        """See `edge.sensors.Sensor`."""
        del now_s  # the world goes by the wall clock
        glimpses = self._player.glimpses
        return glimpses.of(self._number, SYSTEM_CLOCK.now_ms()) if glimpses else {}


class Player:
    """The agents of a fleet on one thread."""

    def __init__(self, fleet: Fleet, stage: Stage, secrets: Mapping[str, Secret]) -> None:
        self.fleet = fleet
        self.stage = stage
        self.secrets = secrets
        self.network = Network()
        self.glimpses: Glimpses | None = None
        self.agents: list[Agent | None] = [self._agent(number) for number in range(len(fleet.units))]
        self._said_ms = self._seen_ms = 0

    def _agent(self, number: int) -> Agent:
        unit, stage = self.fleet.units[number], self.stage
        secret = self.secrets[unit.device]
        settings = Settings(
            device=Device(
                id=unit.device, type=unit.type, model=unit.model, hardware=unit.hardware, firmware=unit.firmware
            ),
            link=LinkSettings(
                host=stage.host, port=stage.port, username=secret.user, password=secret.token,
                tls=stage.tls is not None, window=WINDOW, mark_timeout=300.0, retry_longest=10.0,
            ),
            buffer=BufferSettings(folder=stage.folder / unit.device, sync="never"),
            collect=Collect(
                sample_every=stage.pace_s, flush_every=FRESH_MS / 2000 if self.glimpses is None else stage.pace_s,
                sensors=(), log_lines_per_minute=100_000,
            ),
            command=CommandSettings(key=bytes.fromhex(secret.command_key)),
        )  # fmt: skip
        return make_agent(settings, self.network, tls=stage.tls, sensors=lambda _: [SimulatedSensor(self, number)])

    def serve(self, longest_s: float) -> None:
        """Let all agents do what is due, then wait for at most so long."""
        now_s = monotonic()
        due_s = now_s + longest_s
        for agent in self.agents:
            if agent is not None:
                due_s = min(due_s, agent.step() if agent.due_s <= now_s else agent.due_s)
        self.network.poll(max(0.0, due_s - monotonic()))

    # The past.

    def feed(self, start_ms: int, end_ms: int, step_ms: int, *, chatter: bool) -> None:
        """Give every agent what its device measured and said in [start, end), as one batch, and send it."""
        for line in self.fleet.lines(start_ms, end_ms):
            if chatter or line.severity not in ("debug", "info"):
                self._say(line)
        for kind in TYPES:
            part = self.fleet.measured(kind, np.arange(start_ms, end_ms, step_ms, dtype=np.int64))
            names = tuple(part.columns)
            table = np.stack(list(part.columns.values()), axis=2)  # (devices, samples, metrics)
            times = part.t_ms.tolist()
            for number, rows in zip(part.number.tolist(), table, strict=True):
                sent = np.flatnonzero(~np.isnan(rows[:, 0])).tolist()
                if (agent := self.agents[number]) is not None:
                    for at, row in zip(sent, rows[sent].tolist(), strict=True):
                        agent.add(times[at], dict(zip(names, row, strict=True)))
        for agent in self.agents:
            if agent is not None:
                agent.flush()
                agent.step()

    def _say(self, line: Line) -> None:
        agent = self.agents[line.number]
        if agent is not None:
            agent.say(SEVERITIES.index(line.severity), line.source, line.text, t_ms=line.t_ms)

    def furthest_behind(self) -> int:
        """The most batches that any device still has to see marked."""
        return max((agent.waiting for agent in self.agents if agent is not None), default=0)

    @property
    def linked(self) -> int:
        """How many agents have a session."""
        return sum(agent is not None and agent.link.up for agent in self.agents)

    # The present.

    def go_live(self, fleet: Fleet, now_ms: int) -> None:
        """From now on sensors speak; `fleet` is the same world with the show's own faults set to this moment."""
        self.fleet, self.glimpses = fleet, Glimpses(fleet)
        self._said_ms = self._seen_ms = now_ms
        pace_s = self.stage.pace_s
        for number, agent in enumerate(self.agents):
            if agent is None:
                continue
            if fleet.silent_at(number, now_ms):
                self._end(number)
                continue
            agent.collect = replace(agent.collect, flush_every=pace_s)
            agent.schedule.plan(now_ms, sample_every=pace_s, flush_every=pace_s, at_once=True)
            agent.due_s = 0.0

    def live(self, now_ms: int) -> None:
        """What happens besides readings: lines are written, devices restart, devices die."""
        for line in self.fleet.lines(self._said_ms, now_ms):
            self._say(line)
        self._said_ms = now_ms
        for number, agent in enumerate(self.agents):
            if agent is None:
                continue
            if self.fleet.silent_at(number, now_ms):
                self._end(number)
            elif self.fleet.boot_count(number, now_ms) > self.fleet.boot_count(number, self._seen_ms):
                self._end(number)
                self.agents[number] = self._agent(number)
        self._seen_ms = now_ms

    def _end(self, number: int) -> None:
        agent, self.agents[number] = self.agents[number], None
        if agent is not None:
            agent.stop()

    def stop(self) -> None:
        """All agents say goodbye; what is not stored yet stays on their disks."""
        for number in range(len(self.agents)):
            self._end(number)
        self.network.close()
