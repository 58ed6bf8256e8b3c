"""The ports: what the gateway asks of the world. A Protocol exists only where two real implementations do.

The meaning of each port is its contract test in `tests/contract/`, which every implementation passes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import NamedTuple, Protocol

from gateway.model import Block, DeviceId, Floats, Integers, Message, Ticket


class Delivery(NamedTuple):
    """One MQTT message as the broker handed it over; `token` is the source's own, for `ack`."""

    topic: str
    payload: bytes
    token: object
    at_ms: int = 0  # when the broker took it, Unix ms; 0 where the broker does not say


class BatchKey(NamedTuple):
    """Names a batch for ever: (device, boot, seq)."""

    device: int  # device number
    boot: int
    seq: int


class TelemetrySource(Protocol):
    """Where deliveries come from: `sources.mqtt`, `sources.jetstream`. At-least-once, any order.

    - `windows()` yields lists of deliveries until cancelled, each closed at `size` or after `linger_s`, whichever is
      first, and reconnects by itself;
    - what was yielded but not acknowledged is yielded again after a reconnect or a restart, or when `windows` is asked
      for anew, whatever is acknowledged meanwhile;
    - at most `inflight` deliveries are unacknowledged at once, so a slow gateway slows the broker;
    - windows are acknowledged whole, in the order in which they came.
    """

    inflight: int

    async def open(self) -> None:
        """Subscribe, so that nothing published from now on is missed; where the broker is away, `windows` does it."""
        ...

    def windows(self, *, size: int, linger_s: float) -> AsyncIterator[list[Delivery]]:
        """Windows of deliveries, for ever."""
        ...

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Tell the broker that these are safe."""
        ...

    async def mark(self, marks: Sequence[tuple[str, bytes]]) -> None:
        """Send `stored` marks, (topic, payload) each; a lost one costs a repeat, so none is waited for."""
        ...

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send to a device (desired configuration, commands), QoS 1; waits for the broker's word.

        Raises:
            TryLater: `broker_away`.
        """
        ...

    async def close(self) -> None:
        """End the connection; what is not acknowledged comes again."""
        ...


class SeriesStore(Protocol):
    """Where samples and log lines rest: `stores.duckdb`, `stores.influx`. Methods block: call through `to_thread`.

    - `append` is one transaction: samples, log lines and batch keys together, or nothing;
    - the keys of an append are new: the one writer asks `seen` first; the order of appends does not matter;
    - reads see every append that returned.
    """

    def seen(self, keys: Sequence[BatchKey]) -> set[BatchKey]:
        """Which of the keys are stored already."""
        ...

    def append(self, block: Block, keys: Sequence[BatchKey]) -> None:
        """Commit one window. Raises TryLater (`store_busy`, `store_full`, `store_away`); then nothing was written."""
        ...

    def settle(self, window: int) -> None:
        """Windows up to this one will not be asked for by `since` again: the store may rearrange them."""
        ...

    def last_window(self) -> int:
        """The highest committed window number; 0 where there is none."""
        ...

    def since(self, window: int) -> Iterator[Block]:
        """Blocks with a higher window number, in order, as they were committed."""
        ...

    def range(self, series: int, start_ms: int, end_ms: int, *, limit: int = 0) -> tuple[Integers, Floats]:
        """(t_ms, value) of one series in [start, end), by time; thinned to about `limit` by min/max buckets if > 0."""
        ...

    def last(self, series: Sequence[int]) -> tuple[Integers, Floats]:
        """Newest (t_ms, value) of each series; t_ms -1 and NaN where there is none."""
        ...

    def logs(self, device: int, start_ms: int, end_ms: int, *, limit: int = 200) -> list[tuple[int, str, str, str]]:
        """Newest `limit` log lines of a device in [start, end): (t_ms, severity, source, text), oldest first."""
        ...

    def retain(self, now_ms: int) -> dict[str, int]:
        """Apply roll-up and retention by class; rows removed by class."""
        ...

    def close(self) -> None:
        """Release files and connections; what was appended stays."""
        ...


class Channel(Protocol):
    """A way to write to a contact. Four ways to fail: TryLater, OutcomeUnknown, Undeliverable, ChannelDown."""

    name: str

    def send(self, message: Message, *, address: str) -> str:
        """Hand the message over; the provider's id of it. Blocks."""
        ...


class TicketDesk(Protocol):
    """Where tickets live. Every call is idempotent by our ticket id."""

    name: str

    def open(self, ticket: Ticket) -> str:
        """The desk's own id of the ticket; the same id if it is there already."""
        ...

    def comment(self, ticket_id: str, *, comment_id: str, author: str, text: str) -> None:
        """Add a comment; one that is there already is not added again."""
        ...

    def close(self, ticket_id: str, *, reason: str) -> None:
        """Close a ticket; closing a closed one changes nothing."""
        ...


__all__ = ["BatchKey", "Channel", "Delivery", "DeviceId", "SeriesStore", "TelemetrySource", "TicketDesk"]
