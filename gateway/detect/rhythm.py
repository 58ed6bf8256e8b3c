"""Rhythm: a value that is unusual for its hour of the week, whatever it is on the whole.

The mean of every hour of the week is learned online and held in 12 bits, two in three bytes, in steps of 1/64 of the
spread that the series had when it was young; a series that comes to range over more than 64 of these spreads doubles
its step as often as that takes. Which hour it is comes from UTC: a cycle that follows local time shifts with summer
time and is learned again within two weeks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.detect.detector import ENOUGH, Detector, Samples, State
from gateway.detect.tail import calibrated
from gateway.model import Floats, Integers

HOUR_MS, WEEK_MS = 3_600_000, 604_800_000
HOURS = 168
WARMUP = 48  # residuals
YOUNG = 24  # samples after which the unit is fixed
STEPS = 64.0  # resolution of a mean: 1/64 of the spread, as long as its step was never doubled
FARTHEST = 32_767  # steps, 512 spreads: beyond, values are alike
UNSEEN, TOP = -2_048, 2_047  # of what is stored in 12 bits
LEAST_GAIN = 0.05  # an hour forgets over 20 samples of it
MEMORY = 2_000.0  # residuals over which their scale is averaged
NEVER = MANY = 255  # no hour of the week; samples in an hour that are told apart

RECORD = np.dtype(
    [
        ("origin", np.float64),
        *((name, np.float32) for name in ("unit", "scale")),
        ("birth_h", np.int32),
        ("count", np.uint16),
        *((name, np.uint8) for name in ("inside", "hour", "doubled")),
        ("packed", np.uint8, (HOURS // 2 * 3,)),  # bits 0 to 7, 8 to 11 and 0 to 3, 4 to 11 of two means over UNSEEN
    ]
)


def init(count: int) -> State:
    """Nothing known."""
    return {"rhythm": np.zeros(count, RECORD)}


@njit(cache=True)
def _young(m: Any, x: float, birth_h: int) -> None:
    """Learn origin and unit from a series' first samples."""
    m.count += 1
    if m.count == 1:
        m.origin, m.birth_h, m.hour = x, birth_h, NEVER
    away = x - m.origin
    m.origin += away / m.count
    m.unit += (1.2533 * abs(away) - m.unit) / m.count
    if m.count == YOUNG:
        m.unit = max(m.unit, 1e-3 * abs(m.origin), 1e-12)


@njit(cache=True)
def _read(m: Any, hour: int) -> int:
    """What is stored of an hour of the week."""
    at = hour // 2 * 3 + hour % 2
    low, high = np.int64(m.packed[at]), np.int64(m.packed[at + 1])
    return int(UNSEEN + ((low >> 4) + (high << 4) if hour % 2 else low + ((high & 15) << 8)))


@njit(cache=True)
def _write(m: Any, hour: int, stored: int) -> None:
    at, bits = hour // 2 * 3 + hour % 2, stored - UNSEEN
    if hour % 2:
        m.packed[at], m.packed[at + 1] = (m.packed[at] & 15) + ((bits & 15) << 4), bits >> 4
    else:
        m.packed[at], m.packed[at + 1] = bits & 255, (m.packed[at + 1] & 240) + (bits >> 8)


@njit(cache=True)
def _mean(m: Any, hour: int) -> float:
    """The mean of an hour of the week, in steps from the origin; NaN where the hour was not seen."""
    stored = _read(m, hour)
    return np.nan if stored == UNSEEN else stored * 2.0**m.doubled


@njit(cache=True)
def _keep(m: Any, hour: int, mean: float) -> None:
    """Store the mean of an hour of the week, in steps from the origin."""
    while abs(round(mean / 2.0**m.doubled)) > TOP:
        m.doubled += 1
        for other in range(HOURS):
            stored = _read(m, other)
            if stored != UNSEEN:
                _write(m, other, round(stored / 2))
    _write(m, hour, round(mean / 2.0**m.doubled))


@njit(cache=True)
def _rhythm(series: Integers, t_ms: Integers, value: Floats, interval_s: Floats, memory: NDArray[Any]) -> Floats:
    raw = np.full(value.size, np.nan)
    for i in range(value.size):
        x, m = value[i], memory[series[i]]
        if m.count < YOUNG:
            _young(m, x, t_ms[i] // HOUR_MS)
            continue
        hour = (t_ms[i] % WEEK_MS) // HOUR_MS
        if hour != m.hour:
            m.hour = hour
            m.inside = 0
        held = _mean(m, hour)
        at = min(max((x - m.origin) / m.unit * STEPS, -FARTHEST), FARTHEST)
        visits = max((t_ms[i] // HOUR_MS - m.birth_h) // 168, 0)
        pace_s = interval_s[i] if interval_s[i] > 0.0 else 3_600.0
        unseen = np.isnan(held)
        count = m.inside + (0.0 if unseen else visits * max(1.0, 3_600.0 / pace_s))
        m.inside = min(m.inside + 1, MANY)
        if count < 2.0 or unseen:
            _keep(m, hour, at if unseen else held + (at - held) / (count + 1.0))
            continue
        m.count = min(m.count + 1, ENOUGH)
        away = (at - held) / STEPS
        spread = max(m.scale, 0.05)
        bound = np.inf
        if m.count > YOUNG + WARMUP:
            raw[i] = np.log1p(abs(away) / spread)
            bound = 3.0 * spread
        m.scale += (min(1.2533 * abs(away), bound) - m.scale) / min(m.count - YOUNG, MEMORY)
        _keep(m, hour, held + STEPS * min(max(away, -bound), bound) * max(1.0 / (count + 1.0), LEAST_GAIN))
    return raw


def statistic(state: State, samples: Samples) -> Floats:
    """(samples,) log(1 + distance from the mean of this hour of the week in scales of such distances).

    Source: seasonal exponential smoothing without trend: P. R. Winters (1960), Management Science 6, 324-342, with the
    clipped influence of `level`.
    """
    raw: Floats = _rhythm(samples.series, samples.t_ms, samples.value, samples.interval_s, state["rhythm"])
    return raw


@njit(cache=True)
def profiles(memory: NDArray[Any]) -> Floats:
    """(series, HOURS) the mean of every hour of the week, in steps from the origin; NaN where it was not seen."""
    found = np.empty((memory.size, HOURS))
    for i in range(memory.size):
        for hour in range(HOURS):
            found[i, hour] = _mean(memory[i], hour)
    return found


@njit(cache=True)
def begin(memory: NDArray[Any], series: Integers, means: Floats) -> None:
    """Let series of which nothing is known begin with means of the hours. means: (series, HOURS), as of `profiles`."""
    for i in range(series.size):
        for hour in range(HOURS):
            _keep(memory[series[i]], hour, means[i, hour])


RHYTHM = calibrated(
    Detector(name="rhythm", finds="a value unusual for its hour", warmup=YOUNG + WARMUP, init=init, step=statistic),
    statistic,
    quantile=1.65,  # medians over 29 series of the NAB, 2026-11
    excess=0.27,
)
