"""A load generator cheap enough to share two cores with what it loads: MQTT over raw sockets, payloads mostly made.

A batch's body (times as steps, values) is compressed once; what differs between batches (seq, times) goes before it as
a stored DEFLATE block, so that a payload costs microseconds and is still what the agent sends: a zlib stream of JSON.

    python -m bench.load PORT TOKENS.json SPEC      prints two JSON lines: when connected, and the account at the end
"""

# ruff: noqa: D102  # asyncio.Protocol documents its methods

from __future__ import annotations

import asyncio
import json
import random
import struct
import sys
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

from edge.wire import DOWN, METRICS, decode_stored, digits_of, rounded

KEEPALIVE_S = 600
TICK_S = 0.02
WINDOW = 32  # batches of one device that are under way; beyond it the device waits (edge/config.py)
BACK_S = 5.0  # a link that was cut comes back within so long, and sends again what nobody confirmed, as agents do
LONGEST_WAIT_S = 600  # for the confirmations that are still out when all is sent
BODIES = 40  # different ones; each device and batch takes the next
LEVELS = {  # of each metric: usual value, relative noise
    "temperature_celsius": (48.0, 0.02), "cpu_busy_ratio": (0.2, 0.3), "memory_available_bytes": (2.1e8, 0.01),
    "cpu_iowait_ratio": (0.02, 0.5), "load_1m_tasks": (0.6, 0.2), "memory_available_ratio": (0.41, 0.01),
    "disk_free_bytes": (3.2e9, 1e-4), "disk_free_ratio": (0.55, 1e-3), "disk_read_bytes_per_second": (4e4, 0.6),
    "disk_write_bytes_per_second": (9e4, 0.6), "disk_busy_ratio": (0.05, 0.5), "wifi_signal_dbm": (-61.0, 0.03),
    "network_receive_bytes_per_second": (2e5, 0.5), "network_transmit_bytes_per_second": (1e5, 0.5),
    "wifi_quality_ratio": (0.8, 0.05), "battery_volts": (3.87, 2e-3), "process_count": (112.0, 0.02),
    "open_files_count": (2300.0, 0.01), "network_drops_total": (17.0, 0.0), "uptime_s": (86400.0, 0.0),
}  # fmt: skip
FAULT_CELSIUS = 120.0  # what a device at fault sends


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What to send."""

    devices: int
    metrics: int  # of LEVELS, from the first on
    samples: int  # times in a batch
    step_ms: int  # between two times
    batches: int  # of the whole fleet
    batches_per_s: float = 0.0  # of the whole fleet; 0: as fast as windows allow
    seconds: float = 0.0  # no more is sent after so long; 0: all batches are
    until_stored: bool = (
        False  # a batch is under way until its `stored` mark, as with agents, else until the broker has it
    )
    first_seq: int = 0
    qos: int = 0  # of the device's subscriptions
    faults: int = 0  # so many devices go bad, spread over the run

    @property
    def values(self) -> int:
        """Values in a batch."""
        return self.metrics * self.samples


def bodies(spec: Spec, *, seed: int = 1, fault: bool = False) -> list[tuple[bytes, bytes]]:
    """(text, its DEFLATE blocks) of different bodies: everything after the first time."""
    rng = random.Random(seed)
    made = []
    for _ in range(BODIES):
        columns = {}
        for name in list(LEVELS)[: spec.metrics]:
            level, noise = LEVELS[name]
            low, high = METRICS[name].low, METRICS[name].high
            level *= 1 + 0.2 * rng.uniform(-1, 1)
            near, values = 0.0, []
            for k in range(spec.samples):
                near = 0.9 * near + rng.gauss(0, 0.44 * noise)
                value = level * (1 + near) if noise else level + k * spec.step_ms / 1000
                values.append(rounded(min(high, max(low, value)), digits_of(name)))
            columns[name] = [FAULT_CELSIUS] * spec.samples if fault and name == "temperature_celsius" else values
        steps = f",{spec.step_ms}" * (spec.samples - 1)
        text = f'{steps}],"m":{json.dumps(columns, separators=(",", ":"))}}}'.encode()
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        made.append((text, packer.compress(text) + packer.flush()))
    return made


def payload(head: bytes, body: tuple[bytes, bytes]) -> bytes:
    """A zlib stream of `head` and the body's text."""
    stored = struct.pack("<BHH", 0, len(head), len(head) ^ 0xFFFF) + head
    return b"\x78\x9c" + stored + body[1] + struct.pack(">I", zlib.adler32(body[0], zlib.adler32(head)))


class Link(asyncio.Protocol):
    """One device: connects, publishes QoS 1, notes what was confirmed, comes back when it is cut off."""

    def __init__(self, port: int, device_id: str, token: str, *, qos: int) -> None:
        self._port, self._device_id, self._token, self._qos = port, device_id, token, qos
        self._topic = _text(f"bf/1/{device_id}/batch")
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent = self.marks = self.cuts = 0
        self.unmarked: set[int] = set()  # sequence numbers of what no mark has named yet
        self.waiting: dict[int, bytes] = {}  # what nobody has confirmed yet, by packet id: the place of its sending + 1
        self._rest = b""
        self._done = False

    @property
    def confirmed(self) -> int:
        """How many batches were confirmed."""
        return self.sent - len(self.waiting)

    async def connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._rest = transport, b""
        body = _text("MQTT") + bytes([4, 0b1100_0010]) + struct.pack(">H", KEEPALIVE_S)
        body += _text(self._device_id) + _text(self._device_id) + _text(self._token)
        transport.write(b"\x10" + _length(len(body)) + body)

    def data_received(self, data: bytes) -> None:
        data, at = self._rest + data, 0
        while (end := _packet_end(data, at)) <= len(data) and end:
            match data[at] & 0xF0:
                case 0x40:
                    self.waiting.pop(data[at + 2] << 8 | data[at + 3], None)
                case 0x30:
                    self._marked(data[at:end])
                case 0x20 if data[at + 3]:
                    self.ready.set_exception(ConnectionError(f"refused: {data[at + 3]}"))
                case 0x20:
                    self._subscribe()
                case 0x90 if self.ready.done():
                    self._transport.write(b"".join(self.waiting.values()))
                case 0x90:
                    self.ready.set_result(None)
            at = end
        self._rest = data[at:]

    def _marked(self, packet: bytes) -> None:
        self.marks += 1
        mark = packet.partition(b"/stored")[2]
        if mark and self.unmarked:
            for _, first, last in decode_stored(mark[2 if self._qos else 0 :]):
                self.unmarked.difference_update(range(first, last + 1))

    def _subscribe(self) -> None:
        topics = [_text(f"bf/1/{self._device_id}/{kind}") + bytes([self._qos]) for kind in DOWN]
        body = struct.pack(">H", 1) + b"".join(topics)
        self._transport.write(b"\x82" + _length(len(body)) + body)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(f"lost: {exc}"))
        elif not self._done:
            self.cuts += 1
            asyncio.get_running_loop().call_later(random.uniform(0, BACK_S), self._come_back)

    def _come_back(self) -> None:
        self._coming = asyncio.ensure_future(self.connect())

    def under_way(self, *, until_stored: bool) -> int:
        """How many batches take up the window."""
        return len(self.unmarked) if until_stored else len(self.waiting)

    def publish(self, seq: int, message: bytes) -> None:
        self.sent += 1
        self.unmarked.add(seq)
        size = len(self._topic) + 2 + len(message)
        packet = b"".join((b"\x32", _length(size), self._topic, struct.pack(">H", self.sent), message))
        self.waiting[self.sent] = packet
        if not self._transport.is_closing():
            self._transport.write(packet)

    def close(self) -> None:
        self._done = True
        self._transport.write(b"\xe0\x00")
        self._transport.close()


async def run(port: int, tokens: dict[str, str], spec: Spec) -> dict[str, object]:
    """Connect the fleet and send; the account."""
    loop = asyncio.get_running_loop()
    links = []
    began = loop.time()
    for device_id, token in list(tokens.items())[: spec.devices]:
        links.append(Link(port, device_id, token, qos=spec.qos))
        await links[-1].connect()
        if len(links) % 50 == 0:
            await asyncio.gather(*(link.ready for link in links[-50:]))
    await asyncio.gather(*(link.ready for link in links))
    print(json.dumps({"connected_s": loop.time() - began}), flush=True)
    account = await send(links, spec)
    for link in links:
        link.close()
    return account


async def send(links: list[Link], spec: Spec) -> dict[str, object]:
    """Publish the spec's batches, one device after the other, and wait for the last confirmations."""
    loop = asyncio.get_running_loop()
    made, bad = bodies(spec), bodies(spec, fault=True)
    fault_at = {int(spec.batches * (0.2 + 0.6 * k / max(1, spec.faults))): k for k in range(spec.faults)}
    faulty: dict[int, int] = {}  # number of a device at fault to when it first said so, Unix ms
    began, sent = loop.time(), 0
    while sent < spec.batches and (not spec.seconds or loop.time() < began + spec.seconds):
        due = spec.batches
        if spec.batches_per_s:
            due = min(due, int(spec.batches_per_s * (loop.time() - began)))
        until = min(due, sent + 500)
        while sent < until:
            link, number = links[sent % len(links)], sent % len(links)
            if link.under_way(until_stored=spec.until_stored) >= WINDOW:
                break  # in turn: the fleet waits for its slowest link
            now_ms = time.time_ns() // 1_000_000
            if sent in fault_at:
                faulty[fault_at[sent] * (len(links) // spec.faults)] = 0
            if faulty.get(number) == 0:
                faulty[number] = now_ms
            first_ms = now_ms - (spec.samples - 1) * spec.step_ms
            seq = spec.first_seq + sent // len(links)
            head = b'{"v":1,"boot":1,"seq":%d,"sent":%d,"t":[%d' % (seq, now_ms, first_ms)
            body = (bad if number in faulty else made)[(sent * 7) % BODIES]
            link.publish(seq, payload(head, body))
            sent += 1
        await asyncio.sleep(TICK_S if spec.batches_per_s and sent >= due else 0)
    sending_s = loop.time() - began
    deadline = loop.time() + LONGEST_WAIT_S
    while any(link.waiting for link in links) and loop.time() < deadline:
        await asyncio.sleep(0.02)
    confirmed = sum(link.confirmed for link in links)
    return {
        "sent": sent,
        "confirmed": confirmed,
        "unconfirmed": {
            str(n): [packet - 1 for packet in link.waiting] for n, link in enumerate(links) if link.waiting
        },
        "cuts": sum(link.cuts for link in links),
        "sending_s": sending_s,
        "began_ms": time.time_ns() // 1_000_000 - round(1000 * (loop.time() - began)),
        "marks": sum(link.marks for link in links),
        "faulty": {str(number): at for number, at in faulty.items() if at},
    }


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">H", len(raw)) + raw


def _packet_end(data: bytes, at: int) -> int:
    """Where the packet at `at` ends; 0 where its length is not all there."""
    size = shift = 0
    for place in range(at + 1, min(at + 5, len(data))):
        size |= (data[place] & 127) << shift
        shift += 7
        if data[place] < 128:
            return place + 1 + size
    return 0


def _length(size: int) -> bytes:
    out = bytearray()
    while True:
        size, low = divmod(size, 128)
        out.append(low | (0x80 if size else 0))
        if not size:
            return bytes(out)


def main() -> None:
    port, tokens, spec = int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), Spec(**json.loads(sys.argv[3]))
    print(json.dumps(asyncio.run(run(port, tokens, spec)) | asdict(spec)))


if __name__ == "__main__":
    main()
