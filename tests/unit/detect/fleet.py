"""Fleets of samples for the tests of detection."""

from __future__ import annotations

import numpy as np

from gateway.detect.detector import Samples, pace, pace_init
from gateway.model import Block, Device, DeviceId, Floats, Roster

START_MS = 1_700_000_000_000 // 604_800_000 * 604_800_000
MINUTE_MS = 60_000


def samples(values: Floats, *, interval_s: float = 300.0, start_ms: int = START_MS) -> Samples:
    """Samples of (series, samples) values at one interval; NaN is a sample that was never taken."""
    series, count = values.shape
    t_ms = start_ms + (np.arange(count) * interval_s * 1000).astype(np.int64)
    kept = ~np.isnan(values).ravel()
    numbers, times = np.repeat(np.arange(series), count)[kept], np.tile(t_ms, series)[kept]
    return pace(pace_init(series), numbers, times, values.ravel()[kept])[0]


def only(given: Samples, chosen: np.ndarray, *, renumber: bool = False) -> Samples:
    """The chosen samples."""
    series = given.series[chosen]
    if renumber:
        series = np.unique(series, return_inverse=True)[1].astype(np.int64)
    return Samples(
        series=series,
        t_ms=given.t_ms[chosen],
        value=given.value[chosen],
        gap_s=given.gap_s[chosen],
        interval_s=given.interval_s[chosen],
        last=given.last[chosen],
    )


def fleet(devices: int, metrics: tuple[str, ...] = ("a", "b"), *, firmware: str = "1") -> Roster:
    """A roster of equal devices."""
    roster = Roster()
    for number in range(devices):
        roster.put_device(Device(device_id=DeviceId(f"d{number}"), number=number, type="pump", firmware=firmware))
        for name in metrics:
            roster.series(number, roster.metric(name))
    return roster


def block(values: Floats, *, window: int = 1, start_ms: int = START_MS, interval_ms: int = 5 * MINUTE_MS) -> Block:
    """A block of (series, samples) values at one interval; NaN is a sample that was never taken."""
    series, count = values.shape
    t_ms = start_ms + np.arange(count, dtype=np.int64) * interval_ms
    kept = ~np.isnan(values).ravel()
    return Block(
        window=window,
        received_ms=int(t_ms[-1]),
        series=np.repeat(np.arange(series), count)[kept],
        t_ms=np.tile(t_ms, series)[kept],
        value=values.ravel()[kept],
        late=np.zeros(int(kept.sum()), np.bool_),
    )
