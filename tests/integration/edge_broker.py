"""A real nats-server with an MQTT listener, and a gateway that does nothing but keep batches and mark them."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from edge import wire

NATS = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(what: Callable[[], object], *, within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


class Broker:
    """One nats-server; its store outlives `kill`."""

    def __init__(self, folder: Path, *, tls: tuple[Path, Path] | None = None) -> None:
        self.port = free_port()
        self.folder = folder
        cert = f'\n  tls {{ cert_file: "{tls[0]}", key_file: "{tls[1]}" }}' if tls else ""
        self.config = folder / "nats.conf"
        self.config.write_text(f"""
server_name: test
listen: "127.0.0.1:-1"
jetstream {{ store_dir: "{folder / "store"}" }}
mqtt {{
  listen: "127.0.0.1:{self.port}"
  max_ack_pending: 1000{cert}
}}
accounts {{
  A {{ jetstream: enabled, users: [ {{ user: "u", password: "p" }} ] }}
}}
""")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert NATS
        self._process = subprocess.Popen([NATS, "-c", str(self.config)], stderr=subprocess.DEVNULL)
        eventually(self._answers)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        if self._process:
            self.kill()


class StubGateway:
    """Keeps what devices send, in order of arrival, and marks batches stored while `marking`."""

    def __init__(self, broker: Broker) -> None:
        self.marking = True
        self.batches: list[tuple[str, wire.Batch]] = []
        self.births: list[tuple[str, wire.Birth]] = []
        self.deaths: list[tuple[str, wire.Death]] = []
        self.reported: list[tuple[str, wire.Reported]] = []
        self.replies: list[wire.Reply] = []
        self.bytes = 0
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, "gateway", clean_session=False, protocol=MQTTv311)
        self._client.username_pw_set("u", "p")
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.on_connect = self._subscribe
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._received
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert self._ready.wait(10)

    def _subscribe(self, client, *_):
        client.subscribe([(f"bf/1/+/{kind}", 1) for kind in wire.UP])

    def _received(self, _client, _userdata, message: MQTTMessage) -> None:
        device_id, kind = wire.parse_topic(message.topic)
        match kind:
            case "batch":
                batch = wire.decode_batch(message.payload)
                self.bytes += len(message.payload) + len(message.topic)
                self.batches.append((device_id, batch))
                if self.marking:
                    self.mark(device_id, [(batch.boot, batch.seq)])
            case "birth":
                self.births.append((device_id, wire.decode_birth(message.payload)))
            case "death":
                self.deaths.append((device_id, wire.decode_death(message.payload)))
            case "reported":
                self.reported.append((device_id, wire.decode_reported(message.payload)))
            case "reply":
                self.replies.append(wire.decode_reply(message.payload))

    def mark(self, device_id: str, keys: list[tuple[int, int]]) -> None:
        self.send(device_id, "stored", wire.encode_stored(wire.ranges_of(keys)))

    def send(self, device_id: str, kind: str, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(wire.topic(device_id, kind), payload, qos=1, retain=retain)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
