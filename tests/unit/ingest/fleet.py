"""A small fleet and the deliveries it sends."""

from __future__ import annotations

from collections.abc import Sequence

from edge import wire
from gateway.ingest import Harvest, Intake, Limits, Mapping
from gateway.model import Device, DeviceId, Roster
from gateway.ports import BatchKey, Delivery

NOW_MS = 1_800_000_000_000


def roster(*names: str) -> Roster:
    made = Roster()
    for number, name in enumerate(names or ("a", "b")):
        made.put_device(Device(device_id=DeviceId(name), number=number, type="router"))
    return made


def batch(
    seq: int = 0, *, boot: int = 1, sent_ms: int = NOW_MS, t_ms: Sequence[int] = (), historical: bool = False,
    logs: Sequence[wire.LogLine] = (), **columns: Sequence[float | None],
) -> wire.Batch:  # fmt: skip
    columns = columns or {"cpu_busy_ratio": [0.5]}
    times = t_ms or [sent_ms - 1000 * k for k in reversed(range(len(next(iter(columns.values())))))]
    return wire.Batch(
        boot=boot, seq=seq, sent_at_ms=sent_ms, t_ms=times, columns=columns, historical=historical, logs=logs
    )


def delivery(content: wire.Batch | bytes, *, device: str = "a", kind: str = "batch", at_ms: int = NOW_MS) -> Delivery:
    payload = content if isinstance(content, bytes) else wire.encode_batch(content)
    return Delivery(f"bf/1/{device}/{kind}", payload, None, at_ms)


class Door:
    """An intake with what it stored before."""

    def __init__(self, fleet: Roster | None = None, *, limits: Limits | None = None, mapping: Mapping | None = None):
        self.roster = fleet or roster()
        self.intake = Intake(self.roster, limits=limits, mapping=mapping)
        self.stored: set[BatchKey] = set()

    def take(self, *deliveries: Delivery, now_ms: int = NOW_MS) -> Harvest:
        harvest = self.intake.take(deliveries, now_ms=now_ms, seen=lambda keys: self.stored & set(keys))
        self.stored |= set(harvest.keys)
        return harvest

    def codes(self, *deliveries: Delivery, now_ms: int = NOW_MS) -> list[str]:
        return [letter.code for letter in self.take(*deliveries, now_ms=now_ms).dead]
