"""Deliveries from any MQTT 3.1.1 broker, by paho-mqtt with manual acknowledgement on a persistent session.

paho runs in its own thread; deliveries cross to the event loop through one deque. A token names the connection it came
over, for packet ids start anew with each: an acknowledgement for an old one must not hit a new delivery.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections import deque
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlsplit

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.wire import UP
from gateway.errors import ConfigError, TryLater
from gateway.ports import Delivery

TOPICS = tuple(f"bf/1/+/{kind}" for kind in UP)
KEEPALIVE_S = 60
PUBLISH_S = 10.0
OPEN_S = 5.0
READ_ON_S = 0.1  # between looks whether there is room again
WINDOW_BYTES = 2 << 20  # of payloads, about a million values: what bounds a window of large batches
log = structlog.get_logger(__name__)


def new_client(name: str, *, clean: bool, user: str, password: str, manual_ack: bool = False) -> Client:
    """A paho client that reconnects by itself."""
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=name,
        clean_session=clean,
        manual_ack=manual_ack,
        reconnect_on_failure=True,
    )
    if user:
        client.username_pw_set(user, password)
    client.reconnect_delay_set(min_delay=1, max_delay=30)
    client.max_inflight_messages_set(1_000)
    return client


class Publisher:
    """A link that only publishes, made at the first use."""

    def __init__(
        self, host: str, port: int, *, user: str = "", password: str = "", name: str, tls: ssl.SSLContext | None = None
    ) -> None:
        self._host, self._port = host, port
        self._client = new_client(name, clean=True, user=user, password=password)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._connected = threading.Event()
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = lambda *_: self._connected.clear()
        self._running = False

    async def connect(self) -> None:
        """Connect, if that is not done. Raises TryLater (`broker_away`)."""
        if not self._running:
            self._running = True
            self._client.connect_async(self._host, self._port, KEEPALIVE_S)
            self._client.loop_start()
        if not await asyncio.to_thread(self._connected.wait, PUBLISH_S):
            raise TryLater("broker_away", f"{self._host}:{self._port} does not take our connection")

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1 and wait for the broker's word. Raises TryLater (`broker_away`)."""
        await self.connect()
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        with contextlib.suppress(ValueError, RuntimeError):
            await asyncio.to_thread(info.wait_for_publish, PUBLISH_S)
            if info.is_published():
                return
        raise TryLater("broker_away", "the broker did not confirm a publish")

    async def close(self) -> None:
        """End the link."""
        if self._running:
            self._running = False
            self._client.disconnect()
            await asyncio.to_thread(self._client.loop_stop)

    def _on_connect(
        self, _: Client, __: object, ___: ConnectFlags, reason: ReasonCode, ____: Properties | None
    ) -> None:
        if not reason.is_failure:
            self._connected.set()


def cut(held: deque[Delivery], size: int) -> list[Delivery]:
    """Take the next window from what is held: at most `size` deliveries, and no more once WINDOW_BYTES are reached."""
    window: list[Delivery] = []
    taken_bytes = 0
    while held and len(window) < size and taken_bytes < WINDOW_BYTES:
        delivery = held.popleft()
        taken_bytes += len(delivery.payload)
        window.append(delivery)
    return window


class MqttSource:
    """Deliveries of any broker. `url` is `mqtt://host:1883` or `mqtts://host:8883`; see ports.TelemetrySource."""

    def __init__(
        self,
        url: str,
        *,
        user: str = "",
        password: str = "",
        ca_file: str = "",
        topics: Sequence[str] = TOPICS,
        inflight: int = 8_000,
        name: str = "beforehand-gateway",
    ) -> None:
        self.inflight = inflight
        self._host, self._port, tls = _address(url, ca_file)
        self._topics = [(topic, 1) for topic in topics]
        self._user, self._password, self._tls, self._name = user, password, tls, name
        self._publisher = Publisher(
            self._host, self._port, user=user, password=password, name=f"{name}-publisher", tls=tls
        )
        self._subscribed = threading.Event()
        self._client = self._new()
        self._link = 0  # which connection
        self._unacknowledged = 0
        self._room = threading.Condition()
        self._held: deque[Delivery] = deque()
        self._closing = self._running = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._arrived = asyncio.Event()

    async def open(self) -> None:
        """Be subscribed, where the broker answers; see ports.TelemetrySource."""
        self._start()
        await asyncio.to_thread(self._subscribed.wait, OPEN_S)

    async def windows(self, *, size: int, linger_s: float) -> AsyncIterator[list[Delivery]]:
        """Lists of deliveries; see ports.TelemetrySource."""
        self._start()
        try:
            while True:
                await self._more_than(0)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(linger_s):
                        await self._more_than(size - 1)
                if window := cut(self._held, size):
                    yield window
        finally:
            await self._stop()

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Send a PUBACK for each; those of an earlier connection are left to come again."""
        done = 0
        for delivery in deliveries:
            match delivery.token:
                case (self._link, int(packet)):
                    self._client.ack(packet, 1)
                    done += 1
        with self._room:
            self._unacknowledged -= done
            self._room.notify()

    async def mark(self, marks: Sequence[tuple[str, bytes]]) -> None:
        """Send `stored` marks, QoS 0: a device that misses one sends again and is told then."""
        for topic, payload in marks:
            self._client.publish(topic, payload, qos=0)

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send to a device, QoS 1. Raises TryLater (`broker_away`)."""
        await self._publisher.publish(topic, payload, retain=retain)

    async def close(self) -> None:
        """End the connection; what is not acknowledged comes again."""
        await self._publisher.close()
        await self._stop()

    def _new(self) -> Client:
        """A client for one run of its thread: paho's own leaves sockets open when it is started again."""
        client = new_client(self._name, clean=False, user=self._user, password=self._password, manual_ack=True)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = lambda *_: self._subscribed.set()
        return client

    def _start(self) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), False
        if not self._running:
            self._running, self._client = True, self._new()
            self._client.connect_async(self._host, self._port, KEEPALIVE_S)
            self._client.loop_start()

    async def _stop(self) -> None:
        with self._room:
            self._closing = True
            self._room.notify_all()
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)
        self._running = False

    async def _more_than(self, count: int) -> None:
        """Wait until more than so many deliveries are held."""
        while len(self._held) <= count:
            self._arrived.clear()
            if len(self._held) <= count:  # asked again: one may have come between the question and the clearing
                await self._arrived.wait()

    # What follows runs in paho's thread.

    def _on_connect(
        self, client: Client, _: object, __: ConnectFlags, reason: ReasonCode, ___: Properties | None
    ) -> None:
        if reason.is_failure:
            log.warning("source.refused", reason=str(reason))
            return
        client.subscribe(self._topics)
        log.info("source.connected", host=self._host, port=self._port)

    def _on_disconnect(
        self, _: Client, __: object, ___: DisconnectFlags, reason: ReasonCode, ____: Properties | None
    ) -> None:
        with self._room:
            self._link += 1
            self._unacknowledged = 0
            self._held.clear()  # they come again over the next link
        log.info("source.disconnected", reason=str(reason))

    def _on_message(self, client: Client, _: object, message: MQTTMessage) -> None:
        if message.retain:  # a state from before, at a time nobody knows: a device long dead would seem alive
            client.ack(message.mid, message.qos)
            return
        with self._room:
            while max(self._unacknowledged, len(self._held)) >= self.inflight and not self._closing:
                self._room.wait(READ_ON_S)  # not reading on slows the broker
            self._unacknowledged += message.qos > 0
        token = (self._link, message.mid) if message.qos else (-1, 0)  # nobody waits for an acknowledgement of QoS 0
        self._pass_on(Delivery(message.topic, bytes(message.payload), token))

    def _pass_on(self, delivery: Delivery) -> None:
        self._held.append(delivery)
        if not self._arrived.is_set() and self._loop is not None and not self._closing:
            self._loop.call_soon_threadsafe(self._arrived.set)


def _address(url: str, ca_file: str) -> tuple[str, int, ssl.SSLContext | None]:
    parts = urlsplit(url)
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise ConfigError("broker_url", f"{url!r}: expected mqtt://host:1883 or mqtts://host:8883 in broker.url")
    secure = parts.scheme == "mqtts"
    try:
        tls = ssl.create_default_context(cafile=ca_file or None) if secure else None
    except OSError as exc:
        raise ConfigError("broker_ca", f"broker.ca_file {ca_file}: {exc}; name a readable PEM file") from exc
    return parts.hostname, parts.port or (8883 if secure else 1883), tls
