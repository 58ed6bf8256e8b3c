"""Simulated degradation for the tests of prognosis: known lines, noise and wandering, as blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.model import Block, Device, DeviceId, Floats, Roster

DAY_MS = 86_400_000
START_MS = 1_700_006_400_000  # a midnight


@dataclass(frozen=True)
class Spec:
    name: str
    types: tuple[str, ...]
    metric: str
    limit: float
    direction: str


def roster_of(devices: int, *metrics: str, kind: str = "lamp") -> Roster:
    roster = Roster()
    for number in range(devices):
        roster.put_device(Device(device_id=DeviceId(f"d{number}"), number=number, type=kind))
        for metric in metrics:
            roster.series(number, roster.metric(metric))
    return roster


def block_of(values: Floats, *, step_ms: int, first: int = 0, series: list[int] | None = None) -> Block:
    """(series, samples) values, one every `step_ms`, the first being sample number `first` since START_MS."""
    count, samples = values.shape
    t_ms = START_MS + (first + np.arange(samples, dtype=np.int64)) * step_ms
    return Block(
        window=1,
        received_ms=int(t_ms[-1]) if samples else START_MS,
        series=np.repeat(np.arange(count) if series is None else np.asarray(series), samples),
        t_ms=np.tile(t_ms, count),
        value=values.ravel(),
        late=np.zeros(values.size, bool),
    )
