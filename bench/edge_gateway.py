"""The other end of the agent's benchmark: receives batches over TLS, counts their bytes and values, marks them."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from edge.wire import UP, decode_batch, encode_stored, parse_topic, topic


def free_port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, *, within_s: float = 15.0) -> None:
    """Return once somebody listens."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def mqtt_bytes(name: str, payload: bytes) -> int:
    """Bytes of a QoS 1 PUBLISH (MQTT 3.1.1, section 3.3): fixed header, topic, packet identifier, payload."""
    rest = 2 + len(name) + 2 + len(payload)
    length_bytes = 1 + (rest > 127) + (rest > 16_383) + (rest > 2_097_151)
    return 1 + length_bytes + rest


class Gateway:
    """Counts and marks; `stop` it."""

    def __init__(self, port: int, cert: Path) -> None:
        self.bytes = self.values = self.batches = self.metrics = 0
        self._born: set[str] = set()
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, "gateway", clean_session=False, protocol=MQTTv311)
        self._client.username_pw_set("u", "p")
        self._client.tls_set(ca_certs=str(cert))
        self._client.on_message = self._received
        self._client.on_connect = lambda client, *_: client.subscribe([(f"bf/1/+/{kind}", 1) for kind in UP])
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        if not self._ready.wait(15):
            raise TimeoutError("the broker did not take the subscription")

    def _received(self, client: Client, _userdata: Any, message: MQTTMessage) -> None:
        device_id, kind = parse_topic(message.topic)
        if kind == "birth":
            self._born.add(device_id)
        if kind != "batch":
            return
        batch = decode_batch(bytes(message.payload))
        self.bytes += mqtt_bytes(message.topic, bytes(message.payload))
        self.values += sum(value is not None for column in batch.columns.values() for value in column)
        self.metrics = max(self.metrics, len(batch.columns))
        self.batches += 1
        client.publish(topic(device_id, "stored"), encode_stored([(batch.boot, batch.seq, batch.seq)]), qos=1)

    def wait_for_birth(self, device_id: str, *, within_s: float = 20.0) -> None:
        """Return once the device has introduced itself."""
        deadline = time.monotonic() + within_s
        while device_id not in self._born:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no birth of {device_id}")
            time.sleep(0.02)

    def summary(self) -> dict[str, Any]:
        """The numbers of the wire."""
        per_value = round(self.bytes / max(1, self.values), 3)
        return {"bytes_per_value": per_value, "values": self.values, "batches": self.batches, "metrics": self.metrics}

    def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()
