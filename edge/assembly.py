"""Joins the parts of an agent: the one place that knows them all. Also runs agents until told to stop."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from time import monotonic
from typing import cast

from edge.agent import Agent
from edge.buffer import Buffer, Sync
from edge.commands import Commands, Gatekeeper
from edge.config import Collect, ExecSensor, Settings
from edge.custom import FileValue, run_program
from edge.door import Door
from edge.lines import parse_lines
from edge.link import Link, MqttLink
from edge.network import Network
from edge.schedule import SYSTEM_CLOCK, Clock
from edge.selfview import bundle, own_readings
from edge.sensors import Sensor, host_sensors
from edge.state import State
from edge.tailing import Tailing
from edge.wire import Reply, encode_reply

SensorsOf = Callable[[Collect], Sequence[Sensor]]


def make_agent(
    settings: Settings,
    network: Network,
    *,
    tls: ssl.SSLContext | None = None,
    sensors: SensorsOf | None = None,
    clock: Clock = SYSTEM_CLOCK,
    link: Link | None = None,
) -> Agent:
    """An agent with its disk buffer, link and commands; it connects once it is stepped.

    Args:
        settings: of this device.
        network: serves its sockets; many agents may share one.
        tls: from `link.tls_context`, shared by agents with the same settings; None: no TLS.
        sensors: what to read for given settings; None: those of the host and of the settings' `[[file]]` tables.
        clock: both clocks.
        link: in place of an MQTT link of its own.

    Raises:
        OSError: the buffer's folder cannot be used.
    """
    folder = settings.buffer.folder
    buffer = Buffer(folder / "batches", max_bytes=settings.buffer.size, sync=cast("Sync", settings.buffer.sync))
    state = State(folder, sync=settings.buffer.sync != "never")
    agent = Agent(
        settings,
        link=link or MqttLink(settings.device.id, settings.link, network, tls=tls),
        buffer=buffer,
        state=state,
        sensors=sensors or (lambda collect: [*_host(collect), *_files(settings)]),
        clock=clock,
    )
    agent.own_readings = own_readings(agent)
    agent.on_command = _commands(agent, settings, network, state)
    return agent


def _host(collect: Collect) -> list[Sensor]:
    return host_sensors(collect.sensors, disk_path=collect.disk)


def _files(settings: Settings) -> list[FileValue]:
    return [FileValue(one.metric, one.path, one.scale) for one in settings.file]


def _commands(agent: Agent, settings: Settings, network: Network, state: State) -> Callable[[bytes], None]:
    command = settings.command

    def reply(part: Reply) -> None:
        agent.link.publish("reply", encode_reply(part))

    def refused(code: str) -> None:
        agent.counts["command_" + code] += 1

    gatekeeper = Gatekeeper(settings.device.id, key=command.key, hooks=command.hooks, state=state)
    commands = Commands(
        gatekeeper,
        network,
        hooks=command.hooks,
        timeout_s=command.timeout,
        reply=reply,
        diagnose=lambda: bundle(agent),
        refused=refused,
    )
    return lambda payload: commands.obey(payload, now_ms=agent.clock.now_ms())


class HostSide:
    """What an agent on a real device has beside its sensors: the local socket, log files, programs. `close` it."""

    def __init__(self, agent: Agent, settings: Settings, network: Network) -> None:
        self._agent = agent
        self._network = network
        self._door: Door | None = None
        if settings.socket.path is not None:
            self._door = Door(settings.socket.path, mode=settings.socket.mode, network=network, take=agent.take)
        self._tailing = Tailing(
            settings.log,
            state=agent.state,
            say=agent.say,
            batches=lambda: agent.batches,
        )
        self._programs = [[one, 0.0] for one in settings.exec]
        agent.also_poll(self._poll)

    def _poll(self) -> None:
        self._tailing.poll()
        now_s = monotonic()
        for entry in self._programs:
            one, due_s = entry
            assert isinstance(one, ExecSensor)
            if now_s >= cast("float", due_s):
                entry[1] = now_s + one.every
                self._start(one)

    def _start(self, one: ExecSensor) -> None:
        def work() -> str:
            ran = run_program(one.argv, timeout_s=one.timeout)
            return ran.output if ran.ok else f"event warning {one.name} program {ran.code}"

        self._network.in_background(work, lambda output: self._agent.take(*parse_lines(output)))

    def close(self) -> None:
        """Flush what was read, note the places, remove the socket."""
        self._agent.flush()
        self._tailing.close()
        if self._door is not None:
            self._door.close()


def serve(network: Network, agents: Sequence[Agent], *, until: Callable[[], bool], longest_s: float = 1.0) -> None:
    """Run agents on this thread until `until()`, which is asked at least every `longest_s` seconds."""
    while not until():
        now_s = monotonic()
        for agent in agents:
            if agent.due_s <= now_s:
                agent.step()
        due_s = min((agent.due_s for agent in agents), default=now_s + longest_s)
        network.poll(min(longest_s, due_s - monotonic()))
