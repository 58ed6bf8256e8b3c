"""The MQTT link: version 3.1.1, QoS 1, persistent session, TLS; reconnects for ever with full jitter.

paho-mqtt does the protocol; its sockets are served by a `Network`, so one thread carries one device or hundreds. A new
paho client is made for each connection: what was under way is sent again from the disk buffer, not from memory.
"""

from __future__ import annotations

import logging
import random
import ssl
from collections.abc import Callable
from typing import Any, Protocol

from paho.mqtt.client import Client, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from edge.config import ConfigError, LinkSettings
from edge.network import READ, WRITE, Network
from edge.wire import DOWN, WireError, parse_topic, topic

log = logging.getLogger("edge.link")

ANSWER_S = 30.0  # a broker that does not answer a connection for so long is given up
CONNECT_S = 15.0  # for resolving, TCP and TLS
_DATES = {9: "is not valid yet", 10: "has ended"}  # X509_V_ERR_* of OpenSSL's x509_vfy.h
_NAMES = (62, 64)  # host name, IP address


class Listener(Protocol):
    """Who uses a link: the agent."""

    def link_up(self) -> None:
        """The session stands and the topics are subscribed to."""
        ...

    def link_down(self) -> None:
        """The connection is gone, or a try failed; there will be another."""
        ...

    def received(self, kind: str, payload: bytes) -> None:
        """A message for this device; kind is one of `wire.DOWN`. Must not raise."""
        ...


class Link(Protocol):
    """What an agent needs of its link."""

    up: bool

    def start(self, listener: Listener, *, will: bytes) -> None:
        """Connect, now and again; `will` is the payload of the death."""
        ...

    def publish(self, kind: str, payload: bytes) -> bool:
        """Hand a message over, QoS 1; False where it could not be: it is to be given again after the next `link_up`."""
        ...

    def step(self, now_s: float) -> float:
        """Do what is due; when to call again at the latest (monotonic seconds)."""
        ...

    def stop(self) -> None:
        """Disconnect cleanly, so that the broker sends no will."""
        ...


def backoff_s(tries: int, *, first_s: float, longest_s: float, draw: Callable[[], float]) -> float:
    """A wait before the next try: uniform between 0 and a ceiling that doubles with each failed one.

    Source: M. Brooker (2015), Exponential backoff and jitter, AWS Architecture Blog ("full jitter").
    """
    return draw() * min(longest_s, first_s * 2.0 ** min(tries, 30))


def tls_context(settings: LinkSettings) -> ssl.SSLContext | None:
    """The TLS settings of a link, to be shared by all links of a process; None where it is off. Raises ConfigError."""
    if not settings.tls:
        return None
    ca_file = str(settings.ca_file) if settings.ca_file else None
    try:
        context = ssl.create_default_context(cafile=ca_file, cadata=settings.ca_pem or None)
    except (OSError, ValueError) as exc:
        raise ConfigError(f"link.{f'ca_file: {ca_file}' if ca_file else 'ca_pem'}: no readable certificates") from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.cert_file:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        except OSError as exc:
            raise ConfigError(f"link.cert_file: {settings.cert_file}: no certificate with its key in key_file") from exc
    return context


def told(exc: Exception) -> str:
    """Why there is no connection, in one sentence; with the way out where it is a matter of certificates."""
    match exc:
        case ssl.SSLCertVerificationError(verify_code=code) if code in _DATES:
            return f"the broker's certificate {_DATES[code]}: renew it there, or set this device's clock"
        case ssl.SSLCertVerificationError(verify_code=code) if code in _NAMES:
            return "the broker's certificate is for another name: set link.host to a name that stands in it"
        case ssl.SSLCertVerificationError():
            return "the broker's certificate is signed by none that is trusted here: set link.ca_file or link.ca_pem"
        case ssl.SSLError():
            return "the broker does not speak TLS on this port: correct link.port, or its settings"
        case _:
            return f"{type(exc).__name__}: {exc}"


class MqttLink:
    """One device's link, served by a network that others may share."""

    def __init__(
        self,
        device_id: str,
        settings: LinkSettings,
        network: Network,
        *,
        tls: ssl.SSLContext | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.up = False
        self._id = device_id
        self._settings = settings
        self._network = network
        self._tls = tls
        self._draw = draw
        self._listener: Listener | None = None
        self._will = b""
        self._client: Client | None = None
        self._connecting = False
        self._tries = 0
        self._due_s = 0.0  # of the next try, or the end of the broker's time to answer
        self._now_s = 0.0
        self._watched = -1
        self._refused = ""  # why the broker did, while the connection is being dropped

    def start(self, listener: Listener, *, will: bytes) -> None:
        """See `Link`."""
        self._listener = listener
        self._will = will

    def step(self, now_s: float) -> float:
        """See `Link`."""
        self._now_s = now_s
        if self._listener is None or self._connecting:
            return now_s + CONNECT_S
        client = self._client
        if client is None:
            if now_s < self._due_s:
                return self._due_s
            self._connect()
            return now_s + CONNECT_S
        if client.loop_misc() != MQTTErrorCode.MQTT_ERR_SUCCESS:  # the keep-alive found it dead
            self._lost("silent")
        elif not self.up and now_s >= self._due_s:
            self._lost("no answer")
        return now_s + min(5.0, self._settings.keepalive / 4)

    def _connect(self) -> None:
        settings = self._settings
        client = Client(CallbackAPIVersion.VERSION2, self._id, clean_session=False, protocol=MQTTv311)
        client.username_pw_set(settings.username or self._id, settings.password or None)
        client.connect_timeout = CONNECT_S
        client.max_inflight_messages_set(0)  # the outbox bounds what is under way
        client.will_set(topic(self._id, "death"), self._will, qos=1)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        self._connecting = True
        self._network.in_background(lambda: self._try(client), lambda reason: self._tried(client, reason))

    def _try(self, client: Client) -> str:
        try:
            client.connect(self._settings.host, self._settings.port, keepalive=int(self._settings.keepalive))
        except (OSError, ValueError) as exc:
            return told(exc)
        return ""

    def _tried(self, client: Client, reason: str) -> None:
        self._connecting = False
        sock = client.socket()
        if self._listener is None:
            client.disconnect()
        elif reason or sock is None:
            self._retry(reason or "closed")
        else:
            self._client, self._refused = client, ""
            self._due_s = self._now_s + ANSWER_S
            self._watched = sock.fileno()
            client.on_socket_register_write = self._want_write
            client.on_socket_unregister_write = self._want_read
            client.on_socket_close = self._closing
            self._network.watch(self._watched, READ | WRITE, self._ready)

    def _want_write(self, client: Client, _userdata: object, _sock: object) -> None:
        if client is self._client:
            self._network.watch(self._watched, READ | WRITE, self._ready)

    def _want_read(self, client: Client, _userdata: object, _sock: object) -> None:
        if client is self._client:
            self._network.watch(self._watched, READ, self._ready)

    def _closing(self, client: Client, _userdata: object, _sock: object) -> None:
        if client is self._client:
            self._network.forget(self._watched)

    def _ready(self, events: int) -> None:
        client = self._client
        if client is None:
            return
        if events & WRITE:
            client.loop_write()
        if events & READ:
            client.loop_read()
            while (sock := client.socket()) is not None and isinstance(sock, ssl.SSLSocket) and sock.pending():
                client.loop_read()  # TLS holds more than the socket shows
        if client is self._client:
            if self._refused or client.socket() is None:
                self._lost(self._refused or "closed")
            elif not client.want_write():
                self._network.watch(self._watched, READ, self._ready)

    def _on_connect(self, client: Client, _userdata: object, _flags: object, reason: Any, _properties: object) -> None:
        if reason.is_failure:
            self._refused = str(reason)
            return
        # QoS 0: each QoS 1 subscription is a consumer that the NATS server asks about every message of the fleet
        # (measured: 500 devices, 5 times the broker's work). A lost mark costs a repeat; the rest is said again.
        client.subscribe([(topic(self._id, kind), 0) for kind in DOWN])
        if self._tries:
            log.info("link.up", extra={"fields": {"host": self._settings.host, "tries": self._tries}})
        self.up, self._tries = True, 0
        if self._listener:
            self._listener.link_up()

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        try:
            device_id, kind = parse_topic(message.topic)
        except (WireError, UnicodeDecodeError):
            return
        if device_id == self._id and self._listener:
            self._listener.received(kind, bytes(message.payload))

    def publish(self, kind: str, payload: bytes) -> bool:
        """See `Link`."""
        if self._client is None or not self.up:
            return False
        return self._client.publish(topic(self._id, kind), payload, qos=1).rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def _lost(self, reason: str) -> None:
        self._drop()
        self._retry(reason)

    def _drop(self) -> None:
        client, self._client, self.up = self._client, None, False
        if client is not None and (sock := client.socket()) is not None:
            self._network.forget(self._watched)
            sock.close()

    def _retry(self, reason: str) -> None:
        settings = self._settings
        wait_s = backoff_s(self._tries, first_s=settings.retry_first, longest_s=settings.retry_longest, draw=self._draw)
        if self._tries == 0:
            log.warning("link.down", extra={"fields": {"host": settings.host, "port": settings.port, "reason": reason}})
        self._tries += 1
        self._due_s = self._now_s + wait_s
        if self._listener:
            self._listener.link_down()

    def stop(self) -> None:
        """See `Link`."""
        self._listener = None
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_write()
        self._drop()
