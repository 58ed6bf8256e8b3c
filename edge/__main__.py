"""`beforehand-agent --config FILE`: run the agent on this device."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import socket
import ssl
import sys
from pathlib import Path
from time import monotonic, sleep

from edge import __version__
from edge.agent import Agent
from edge.assembly import HostSide, make_agent, serve
from edge.config import ConfigError, Settings, read_settings, reference
from edge.link import tls_context, told
from edge.network import Network
from edge.sensors import host_sensors

ONCE_S = 30.0  # how long --once waits for the gateway's word
IDLE_S = 60.0  # the longest sleep; signals and sockets end it

log = logging.getLogger("edge")


class Lines(logging.Formatter):
    """A log line: JSON for machines, words for a terminal."""

    def __init__(self, *, plain: bool) -> None:
        super().__init__()
        self._plain = plain

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record; its `fields` are what stands behind the event."""
        fields: dict[str, object] = getattr(record, "fields", {})
        if self._plain:
            pairs = " ".join(f"{key}={value}" for key, value in fields.items())
            line = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower():7} {record.getMessage()} {pairs}"
        else:
            head = {"t": round(record.created, 3), "level": record.levelname.lower(), "event": record.getMessage()}
            line = json.dumps(head | fields, default=str)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and do what it says; the exit code: 0 done, 1 failed, 2 settings wrong."""
    parser = argparse.ArgumentParser(prog="beforehand-agent", description="Sends what a device measures and logs.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the agent's settings, TOML")
    parser.add_argument("--check", action="store_true", help="check settings, sensors and broker, and exit")
    parser.add_argument("--once", action="store_true", help="send one batch, wait until it is stored, and exit")
    parser.add_argument("--settings", action="store_true", help="print every setting with its meaning, and exit")
    parser.add_argument("--verbose", action="store_true", help="log what is sent and received")
    parser.add_argument("--version", action="version", version=f"beforehand-agent {__version__}")
    arguments = parser.parse_args(argv)
    if arguments.settings:
        print(reference(), end="")
        return 0
    if arguments.config is None:
        parser.error("--config FILE is needed")
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(Lines(plain=sys.stderr.isatty()))
    logging.basicConfig(level=logging.DEBUG if arguments.verbose else logging.INFO, handlers=[stream])
    try:
        settings = read_settings(arguments.config.read_text(encoding="utf-8"))
        tls = tls_context(settings.link)
        if arguments.check:
            return check(settings, tls)
        return run(settings, tls, once=arguments.once)
    except (ConfigError, OSError, UnicodeDecodeError) as exc:
        print(f"beforehand-agent: {exc}", file=sys.stderr)
        return 2


def run(settings: Settings, tls: ssl.SSLContext | None, *, once: bool) -> int:
    """Run the agent until SIGTERM or SIGINT; with `once` until its first batch is stored."""
    network = Network()
    agent = make_agent(settings, network, tls=tls)
    host = HostSide(agent, settings, network)
    stopped: list[int] = []

    def stop(number: int, _frame: object) -> None:
        stopped.append(number)
        network.call_soon(lambda: None)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    log.info("agent.start", extra={"fields": {"id": agent.device_id, "boot": agent.run.boot, "reason": agent.reason}})
    until_s = monotonic() + ONCE_S
    if once:
        _read_twice(agent)
    serve(
        network,
        [agent],
        until=lambda: bool(stopped) or (once and (agent.waiting == 0 or monotonic() > until_s)),
        longest_s=0.2 if once else IDLE_S,
    )
    stored = agent.waiting == 0
    host.close()
    agent.stop()
    network.close()
    log.info("agent.stop", extra={"fields": {"waiting": agent.waiting}})
    return 1 if once and not stored else 0


def _read_twice(agent: Agent) -> None:
    """Two readings, as rates need, in one batch."""
    agent.read_now()
    sleep(1.0)
    agent.read_now()
    agent.flush()


def check(settings: Settings, tls: ssl.SSLContext | None) -> int:
    """Say what the agent would read and whether it reaches its broker; 1 where something is wrong."""
    print(f"settings  fine: device {settings.device.id}, type {settings.device.type or 'not given'}")
    wrong = 0
    sensors = host_sensors(settings.collect.sensors, disk_path=settings.collect.disk)
    for sensor in sensors:
        try:
            sensor.read(monotonic())
            found = ", ".join(f"{name}={value:g}" for name, value in sensor.read(monotonic() + 1e-3).items())
            print(f"sensor    {sensor.name}: {found or 'nothing on this machine'}")
        except (OSError, ValueError, LookupError) as exc:
            print(f"sensor    {sensor.name}: fails: {exc}")
    try:
        settings.buffer.folder.mkdir(parents=True, exist_ok=True)
        probe = settings.buffer.folder / "probe"
        probe.write_bytes(b"")
        probe.unlink()
        print(f"buffer    {settings.buffer.folder}, at most {settings.buffer.size >> 20} MiB")
    except OSError as exc:
        wrong += 1
        print(f"buffer    cannot be written: {exc}; give the agent's user the folder, or set buffer.folder")
    link = settings.link
    try:
        with socket.create_connection((link.host, link.port), timeout=10) as plain:
            if tls is not None:
                tls.wrap_socket(plain, server_hostname=link.host).close()
        print(f"broker    {link.host}:{link.port} answers{', certificate trusted' if tls else ', without TLS'}")
    except OSError as exc:
        wrong += 1
        print(f"broker    {link.host}:{link.port} not reached: {told(exc)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
