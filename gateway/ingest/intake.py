"""Decode and admit a window: what may come in becomes one block, what may not is refused with a code.

Nothing here waits or reads a clock; the state (clocks, quotas, how far each series is) is this process' own and can
be lost: after a restart estimates begin anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edge import wire
from edge.wire import WireError, decode_birth, decode_death, inflate, parse_topic
from gateway.errors import Refused
from gateway.ingest.build import Admitted, Builder, Columns, log_lines
from gateway.ingest.clock import Clocks
from gateway.ingest.decode import Parsed, decode_batch, key_of
from gateway.ingest.mapping import Mapping
from gateway.ingest.quota import Quota
from gateway.model import Birth, Device, DeviceId, LogLines, Presence, Roster
from gateway.ports import BatchKey, Delivery

MAX_SERIES_PER_DEVICE = 1_000  # twice what one batch may hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of admission; the settings section `ingest` sets them."""

    max_future_ms: int = 600_000
    max_age_ms: int = 400 * 86_400_000
    max_skew_ms: int = 2 * 86_400_000  # a clock further off is not corrected but refused
    values_per_minute: int = 600_000


@dataclass(frozen=True, slots=True)
class Dead:
    """A delivery that is refused, with the reason."""

    delivery: Delivery
    code: str
    detail: str


@dataclass(slots=True, kw_only=True)
class Harvest:
    """What one window came to. `stored` are the keys to mark once committed: new ones, repeats, hopeless ones."""

    columns: Columns
    logs: LogLines
    keys: list[BatchKey]
    births: list[Birth] = field(default_factory=list)
    presence: list[Presence] = field(default_factory=list)
    messages: list[tuple[str, Device, bytes]] = field(
        default_factory=list
    )  # `reported`, `reply`: kind, device, payload
    dead: list[Dead] = field(default_factory=list)
    marks: dict[DeviceId, list[tuple[int, int]]] = field(default_factory=dict)  # (boot, seq) dealt with
    duplicates: int = 0
    dropped: Counter[str] = field(default_factory=Counter)  # samples left out, by reason
    from_series: int = 0  # the roster grew from here
    from_metric: int = 0


class Intake:
    """Turns windows of deliveries into harvests. One caller at a time.

    `seen` says which keys are stored already or are about to be.
    """

    def __init__(self, roster: Roster, *, limits: Limits | None = None, mapping: Mapping | None = None) -> None:
        self._roster = roster
        self._limits = limits or Limits()
        self._mapping = mapping
        self._clocks = Clocks()
        self._quota = Quota(self._limits.values_per_minute)
        self._series_of: Counter[int] = Counter(roster.series_device.tolist())
        self._builder = Builder(roster, max_age_ms=self._limits.max_age_ms, max_future_ms=self._limits.max_future_ms)

    def take(
        self, window: Sequence[Delivery], *, now_ms: int, seen: Callable[[Sequence[BatchKey]], set[BatchKey]]
    ) -> Harvest:
        """Everything that follows from one window. For any bytes and topics, nothing is raised."""
        begun = _Begun()
        for delivery in window:
            try:
                self._sort(delivery, begun, now_ms=now_ms)
            except (WireError, Refused) as exc:
                begun.dead.append(Dead(delivery, exc.code, exc.detail))
        repeated = seen([key for key, _ in begun.batches])
        fresh = {key: batch for key, batch in begun.batches if key not in repeated}
        admitted = list(fresh.values())
        from_series, from_metric = self._roster.series_count, len(self._roster.metrics)
        harvest = Harvest(
            columns=self._builder.build(admitted, now_ms=now_ms, dropped=begun.dropped),
            logs=log_lines(admitted), keys=list(fresh), births=begun.births, presence=begun.presence,
            messages=begun.messages, dead=begun.dead, marks=begun.marks, duplicates=len(begun.batches) - len(fresh),
            dropped=begun.dropped, from_series=from_series, from_metric=from_metric,
        )  # fmt: skip
        for device in self._roster.series_device[from_series:].tolist():
            self._series_of[device] += 1
        return harvest

    def forget(self) -> None:
        """Forget how far each series has come: what was taken and not committed comes again, and is not late."""
        self._builder.forget()

    def _sort(self, delivery: Delivery, begun: _Begun, *, now_ms: int) -> None:
        """Put one delivery where it belongs.

        Raises:
            WireError: its bytes or topic are not what they claim to be.
            Refused: it may not come in.
        """
        if not delivery.topic.startswith("bf/"):
            self._plain(delivery, begun, now_ms=now_ms)
            return
        device_id, kind = parse_topic(delivery.topic)
        device = self._known(device_id)
        at_ms = delivery.at_ms or now_ms
        match kind:
            case "batch":
                self._batch(device, self._decoded(device, delivery, begun), delivery, begun, now_ms=now_ms)
            case "birth":
                birth = decode_birth(delivery.payload)
                begun.births.append(_birth(device, birth, at_ms))
                begun.presence.append(Presence(device_id=device.device_id, t_ms=at_ms, online=True))
            case "death":
                decode_death(delivery.payload)
                begun.presence.append(Presence(device_id=device.device_id, t_ms=at_ms, online=False))
            case "reported" | "reply":
                inflate(delivery.payload)
                begun.messages.append((kind, device, delivery.payload))
            case _:
                raise Refused("wrong_topic", f"{kind} is not for devices to publish")

    def _decoded(self, device: Device, delivery: Delivery, begun: _Begun) -> Parsed:
        """The batch; one that is malformed is marked as dealt with, or its device would send it for ever."""
        try:
            return decode_batch(delivery.payload)
        except WireError:
            if key := key_of(delivery.payload):
                begun.marks.setdefault(device.device_id, []).append(key)
            raise

    def _known(self, device_id: str) -> Device:
        device = self._roster.device(device_id)
        if device is None:
            raise Refused("unknown_device", device_id)
        if device.revoked:
            raise Refused("revoked_device", device_id)
        return device

    def _batch(self, device: Device, batch: Parsed, delivery: Delivery, begun: _Begun, *, now_ms: int) -> None:
        values = len(batch.steps) * len(batch.metrics) + len(batch.lines)
        if not self._quota.take(device.number, values, now_ms=now_ms):
            raise Refused("over_quota", f"limit {self._limits.values_per_minute} values a minute")  # it comes again
        begun.marks.setdefault(device.device_id, []).append((batch.boot, batch.seq))
        offset_ms = self._clocks.offset(
            device.number, batch.boot, sent_ms=batch.sent_ms,
            taken_ms=delivery.at_ms or now_ms, trusted=delivery.at_ms > 0,
        )  # fmt: skip
        if abs(offset_ms) > self._limits.max_skew_ms:
            raise Refused("clock_off", f"{offset_ms} ms, limit {self._limits.max_skew_ms}")
        if self._series_of[device.number] + len(batch.metrics) > MAX_SERIES_PER_DEVICE:
            self._refuse_growth(device, batch)
        key = BatchKey(device.number, batch.boot, batch.seq)
        begun.batches.append((key, Admitted(device, batch, offset_ms)))

    def _refuse_growth(self, device: Device, batch: Parsed) -> None:
        roster = self._roster
        numbers = [roster.metric_number(name) for name in batch.metrics]
        new = sum(n is None or roster.series_number(device.number, n) is None for n in numbers)
        if self._series_of[device.number] + new > MAX_SERIES_PER_DEVICE:
            raise Refused("too_many_metrics", f"limit {MAX_SERIES_PER_DEVICE} of one device")

    def _plain(self, delivery: Delivery, begun: _Begun, *, now_ms: int) -> None:
        """A message of a device without our agent, by the operator's mapping."""
        if self._mapping is None:
            raise WireError("bad_topic", delivery.topic[:100])
        at_ms = delivery.at_ms or now_ms
        found = self._mapping.read(delivery.topic, delivery.payload, at_ms=at_ms)
        device = self._known(found.device_id)
        if not self._quota.take(device.number, len(found.batch.metrics), now_ms=now_ms):
            raise Refused("over_quota", f"limit {self._limits.values_per_minute} values a minute")
        self._refuse_growth(device, found.batch)
        key = BatchKey(device.number, found.batch.boot, found.batch.seq)
        begun.batches.append((key, Admitted(device, found.batch, 0)))


@dataclass(slots=True)
class _Begun:
    """A window while it is sorted."""

    batches: list[tuple[BatchKey, Admitted]] = field(default_factory=list)
    births: list[Birth] = field(default_factory=list)
    presence: list[Presence] = field(default_factory=list)
    messages: list[tuple[str, Device, bytes]] = field(default_factory=list)
    dead: list[Dead] = field(default_factory=list)
    marks: dict[DeviceId, list[tuple[int, int]]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)


def _birth(device: Device, said: wire.Birth, at_ms: int) -> Birth:
    return Birth(
        device_id=device.device_id, boot=said.boot, t_ms=at_ms, type=said.type, model=said.model,
        hardware=said.hardware, firmware=said.firmware, config_version=said.config_version,
        reboot_reason=said.reboot_reason, metrics=tuple(said.metrics.items()),
    )  # fmt: skip
