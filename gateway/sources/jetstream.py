"""Deliveries from the embedded broker, by NATS' own protocol: a durable consumer on `$MQTT_msgs`.

That stream is where NATS keeps QoS 1 publishes of MQTT clients before it confirms them, so the consumer sees exactly
what was confirmed. It acknowledges by position (AckAll): one small message a window. Measured against paho-mqtt on the
same broker: bench/README.md.

The consumer takes the whole stream and leaves out here what is not for us: with several filter subjects the server
looks through all subjects at every message (measured with 5,000 devices: 3 times the broker's work a message).

A consumer gives what an earlier link left unacknowledged only after `ack_wait`, and what is acknowledged by position
meanwhile would cover it: it would be lost. So every link makes a consumer of its own, which gets all that the stream
still holds, and then removes the one before; the stream keeps what some consumer has not acknowledged.

Invariant: asked for and not yet come, plus come and not acknowledged, is at most `inflight`; the broker holds the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from functools import lru_cache

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from gateway.ingest.subject import subject_of, topic_of
from gateway.ports import Delivery
from gateway.sources.mqtt import TOPICS, WINDOW_BYTES, Publisher, cut

STREAM = "$MQTT_msgs"
_HEAD = "$MQTT.msgs."
MANY = 1 << 16  # subjects remembered
ASK_S = 20.0  # a request for messages lives this long in the broker
ASK_BYTES = 32 << 20  # of one request: bounds memory whatever the payloads are
RETRY_S = 0.5
OPEN_S = 10.0
log = structlog.get_logger(__name__)


class JetStreamSource:
    """Deliveries of the embedded broker. `topics` are MQTT filters; see ports.TelemetrySource.

    `ack_wait_s` is how long the broker waits for an acknowledgement before it delivers again, also after a restart.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str,
        password: str,
        mqtt_host: str,
        mqtt_port: int,
        mqtt_tls: bool = False,
        topics: Sequence[str] = TOPICS,
        inflight: int = 8_000,
        ack_wait_s: float = 30.0,
        name: str = "gateway",
    ) -> None:
        self.inflight = inflight
        self._url, self._user, self._password = url, user, password
        self._wanted = re.compile("|".join(_expression(topic) for topic in topics))
        self._ack_wait_s, self._name = ack_wait_s, name
        self._publisher = Publisher(
            mqtt_host,
            mqtt_port,
            user=user,
            password=password,
            name=f"{name}-publisher",
            tls=_own() if mqtt_tls else None,
        )
        self._topic = lru_cache(MANY)(self._topic_of)
        self._client: _Client | None = None
        self._inbox: Subscription | None = None
        self._durables = (name, f"{name}-b")  # in turn
        self._durable = ""  # the consumer of this link; "" while there is none
        self._held: deque[Delivery] = deque()
        self._held_bytes = 0
        self._asked = 0
        self._asked_at = 0.0
        self._arrived = asyncio.Event()

    async def open(self) -> None:
        """Be subscribed, where the broker answers; see ports.TelemetrySource."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OPEN_S):
                await self._ready()

    async def windows(self, *, size: int, linger_s: float) -> AsyncIterator[list[Delivery]]:
        """Lists of deliveries; see ports.TelemetrySource."""
        self._durable = ""  # what was yielded before and not acknowledged comes again
        while True:
            await self._ready()
            await self._gather(1, asyncio.get_running_loop().time() + ASK_S)
            await self._gather(size, asyncio.get_running_loop().time() + linger_s)
            if window := cut(self._held, size):
                self._held_bytes -= sum(len(delivery.payload) for delivery in window)
                yield window

    async def _gather(self, count: int, deadline: float) -> None:
        """Wait until so many deliveries are held, or as many bytes as make a window, or the link is gone."""
        while len(self._held) < count and self._held_bytes < WINDOW_BYTES and self._durable:
            await self._ask()
            self._arrived.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._arrived.wait()
            except TimeoutError:
                return

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Tell the broker that everything up to the last of these is safe."""
        if deliveries and self._client is not None:
            with contextlib.suppress(NatsError):  # the broker is away: it delivers again
                await self._client.publish(str(deliveries[-1].token), b"+ACK")

    async def mark(self, marks: Sequence[tuple[str, bytes]]) -> None:
        """Send `stored` marks to devices that are connected; one that is not sends again and is told then."""
        with contextlib.suppress(NatsError):
            if self._client is not None:
                for topic, payload in marks:
                    await self._client.publish(subject_of(topic), payload)

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send to a device, QoS 1. Raises TryLater (`broker_away`)."""
        await self._publisher.publish(topic, payload, retain=retain)

    async def close(self) -> None:
        """End the connection; what is not acknowledged comes again."""
        await self._publisher.close()
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _ready(self) -> None:
        """Connect and make the consumer, as often as it takes."""
        while not self._durable:
            try:
                if self._client is None:
                    self._client = await self._connect()
                if self._inbox is not None:
                    await self._inbox.unsubscribe()
                self._inbox = await self._client.subscribe(self._client.new_inbox(), cb=self._status)
                self._client.short = self._inbox._id
                durable = await self._consumer(self._client)
                self._held.clear()  # delivered over the old link: the broker delivers them again
                self._held_bytes = self._asked = 0
                self._durable = durable
            except (NatsError, JetStreamError, OSError, TimeoutError) as exc:
                log.debug("source.away", error=repr(exc))
                await asyncio.sleep(RETRY_S)
        _heed_cancellation()

    async def _connect(self) -> _Client:
        async def again() -> None:
            self._durable = ""
            self._arrived.set()

        client = _Client(self._take)
        await client.connect(
            self._url, user=self._user, password=self._password, name=self._name, max_reconnect_attempts=-1,
            reconnect_time_wait=0.2, reconnected_cb=again, error_cb=_quiet, pending_size=64 << 20,
        )  # fmt: skip
        return client

    async def _consumer(self, client: Client) -> str:
        """Make the consumer of this link, and remove those before it; a first MQTT link makes the stream."""
        stream = client.jetstream(timeout=5)
        try:
            await stream.stream_info(STREAM)
        except NotFoundError:
            await self._publisher.connect()
        there = [name for name in self._durables if await _exists(stream, name)]
        if len(there) == len(self._durables):  # an earlier link ended between making and removing
            await stream.delete_consumer(STREAM, there.pop())
        durable = next(name for name in self._durables if name not in there)
        await stream.add_consumer(
            STREAM,
            ConsumerConfig(
                durable_name=durable, deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.ALL,
                ack_wait=self._ack_wait_s, max_ack_pending=self.inflight,
            ),
        )  # fmt: skip
        for name in there:
            await stream.delete_consumer(STREAM, name)
        return durable

    async def _ask(self) -> None:
        """Ask the broker for as much as may come, where too little is asked for."""
        now = asyncio.get_running_loop().time()
        if now > self._asked_at + ASK_S:
            self._asked = 0  # what was asked for has lapsed
        if self._asked > self.inflight // 2 or self._client is None or self._inbox is None:
            return
        want = self.inflight - self._asked
        request = {"batch": want, "expires": int(ASK_S * 1e9), "max_bytes": ASK_BYTES}
        with contextlib.suppress(NatsError):
            await self._client.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{self._durable}",
                json.dumps(request).encode(),
                reply=self._inbox.subject,
            )
            self._asked, self._asked_at = self._asked + want, now

    async def _status(self, message: Msg) -> None:
        """A request has ended."""
        self._asked = 0
        if (message.headers or {}).get("Status") == "409" and "Deleted" in str(message.headers):
            self._durable = ""
        self._arrived.set()

    def _take(self, subject: bytes, reply: bytes, payload: bytes) -> None:
        self._asked = max(0, self._asked - 1)
        if not (topic := self._topic(subject)):
            return  # our own to a device; the next acknowledgement covers it
        token = reply.decode()
        self._held.append(Delivery(topic, payload, token, int(token.rsplit(".", 2)[1]) // 1_000_000))
        self._held_bytes += len(payload)
        self._arrived.set()

    def _topic_of(self, subject: bytes) -> str:
        """The topic of what is for us, else ""."""
        topic = topic_of(subject[len(_HEAD) :].decode())
        return topic if self._wanted.fullmatch(topic) else ""


class _Client(Client):
    """A NATS client with a short way for the messages of one subscription.

    No queue between, no switch of tasks, and their headers, which hold nothing for us, are not parsed: that was more
    than half of what reading a message cost (measured: 12.5 us of processor time, 5.5 by this way).
    """

    def __init__(self, take: Callable[[bytes, bytes, bytes], None]) -> None:
        super().__init__()
        self._short_way = take
        self.short = -1  # number of the subscription

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        if sid == self.short and reply:  # without a reply it is a status
            self._short_way(bytes(subject), bytes(reply), data)
        else:
            await super()._process_msg(sid, subject, reply, data, headers)


def _own() -> ssl.SSLContext:
    """TLS to the server that this process started: its certificate names the host devices know, not this address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _heed_cancellation() -> None:
    """Raise a cancellation that `asyncio.wait_for` of Python 3.11, which the client calls, let go with its result."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _exists(stream: JetStreamContext, durable: str) -> bool:
    try:
        await stream.consumer_info(STREAM, durable)
    except NotFoundError:
        return False
    return True


def _expression(topic: str) -> str:
    """A regular expression of what an MQTT filter matches."""
    known = {"+": "[^/]*", "#": ".*"}
    return "/".join(known.get(level, re.escape(level)) for level in topic.split("/"))


async def _quiet(_: Exception) -> None:
    """Connecting again is the client's own business; what lasts shows in the broker's health."""
