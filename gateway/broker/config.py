"""The configuration file of the embedded NATS server.

One account holds the gateway and all devices. The gateway's two users are in the file; a device is admitted by the
gateway's authorization service (`broker.admission`) at the moment it connects, so the file does not grow with the
fleet, nothing is reloaded when a device is added, and a token is never on the broker's disk.

The MQTT topic `bf/1/<device_id>/batch` is the subject `bf.1.<device_id>.batch` in NATS.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from gateway.broker.certificate import Tls

ACCOUNT = "BEFOREHAND"
GATEWAY, SYSTEM = "gateway", "system"
MAX_PAYLOAD_BYTES = 1 << 20  # NATS' own default and recommendation; a batch is at most a quarter of it
MAX_LOG_BYTES = 5 << 20
MAX_ACK_PENDING = 1_000  # an MQTT session's subscriptions share 65,535 (nats-server, mqttDefaultMaxAckPending)
STORE_TIMEOUT_S = 60.0  # so long a publish may wait for its place on the disk before the server cuts the device off
# What waits in the server's memory for its place on the disk. Beyond it devices are cut off and send again later, so it
# must hold a fleet's windows: 32 batches of each of 10,000 devices. NATS' own 10,000 messages cut 5,000 devices off.
MAX_BUFFERED, MAX_BUFFERED_BYTES = 320_000, 256 << 20
AUTH_TIMEOUT_S = 20.0  # a fleet that reconnects at once waits for the authorization service rather than being refused


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConfig:
    """What the embedded broker runs with. Passwords are made anew for each start and live in the file alone."""

    directory: Path  # holds nats.conf, the JetStream store and the server's files
    mqtt_host: str = "127.0.0.1"
    mqtt_port: int = 1883  # 0 or -1 takes a free one, which a restart keeps
    nats_port: int = -1  # of 127.0.0.1; -1 takes a free one
    monitor_port: int = -1
    max_disk_bytes: int = 10 << 30
    memory: str = "1GiB"  # soft limit of the server's heap (GOMEMLIMIT)
    ack_wait_s: float = 30.0  # an MQTT subscriber that has not confirmed a delivery for so long gets it again
    tls: Tls | None = None
    issuer: str = ""  # public key of the account that signs for devices; empty admits no device
    gateway_password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    system_password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def file(self) -> Path:
        """Where the configuration is written."""
        return self.directory / "nats.conf"

    @property
    def pid_file(self) -> Path:
        """Where the server writes its process id."""
        return self.directory / "nats.pid"

    @property
    def log_file(self) -> Path:
        """Where the server logs."""
        return self.directory / "nats.log"

    def write(self) -> None:
        """Write the file; it holds passwords, so only its owner may read it."""
        self.file.unlink(missing_ok=True)
        self.file.touch(mode=0o600)
        self.file.write_text(self.render())

    def render(self) -> str:
        """The text of `nats.conf`."""
        callout = f"""
authorization {{
  timeout: {AUTH_TIMEOUT_S:g}
  auth_callout {{ issuer: {self.issuer}, account: {ACCOUNT}, auth_users: [ {GATEWAY}, {SYSTEM} ] }}
}}"""
        return f"""# Written by the gateway at every start; changes here are lost.
server_name: beforehand
listen: "127.0.0.1:{self.nats_port}"
http: "127.0.0.1:{self.monitor_port}"
ports_file_dir: {_text(self.directory)}
pid_file: {_text(self.pid_file)}
log_file: {_text(self.log_file)}
logfile_size_limit: {MAX_LOG_BYTES}
logfile_max_num: 3
max_payload: {MAX_PAYLOAD_BYTES}
jetstream {{
  store_dir: {_text(self.directory / "jetstream")}
  max_file_store: {self.max_disk_bytes}
  max_buffered_msgs: {MAX_BUFFERED}
  max_buffered_size: {MAX_BUFFERED_BYTES}
}}
mqtt {{
  listen: {_text(f"{self.mqtt_host}:{self.mqtt_port or -1}")}
  max_ack_pending: {MAX_ACK_PENDING}
  ack_wait: "{self.ack_wait_s:g}s"
  js_api_timeout: "{STORE_TIMEOUT_S:g}s"
  authorization {{ timeout: {AUTH_TIMEOUT_S:g} }}{self._tls()}
}}
accounts {{
  {ACCOUNT} {{ jetstream: enabled, users: [ {{ user: {GATEWAY}, password: {_text(self.gateway_password)} }} ] }}
  SYS {{ users: [ {{ user: {SYSTEM}, password: {_text(self.system_password)} }} ] }}
}}
system_account: SYS{callout if self.issuer else ""}
"""

    def _tls(self) -> str:
        if self.tls is None:
            return ""
        return f"\n  tls {{ cert_file: {_text(self.tls.cert.resolve())}, key_file: {_text(self.tls.key.resolve())} }}"


def _text(value: object) -> str:
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
