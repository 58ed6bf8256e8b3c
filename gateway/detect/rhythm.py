"""Rhythm: a value that is unusual for its hour of the week, whatever it is on the whole.

The mean of every hour of the week is learned online and held in 16 bits, in steps of 1/64 of the spread that the series
had when it was young. Which hour it is comes from UTC: a cycle that follows local time shifts with summer time and is
learned again within two weeks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.detect.detector import Detector, Samples, State
from gateway.detect.tail import calibrated
from gateway.model import Floats, Integers

HOUR_MS, WEEK_MS = 3_600_000, 604_800_000
WARMUP = 48  # residuals
YOUNG = 24  # samples after which the unit is fixed
STEPS = 64.0  # resolution of a stored mean: 1/64 of the spread, range 512 spreads
UNSEEN = -32_768
LEAST_GAIN = 0.05  # an hour forgets over 20 samples of it
MEMORY = 2_000.0  # residuals over which their scale is averaged

RECORD = np.dtype(
    [
        ("origin", np.float64),
        *((name, np.float32) for name in ("unit", "scale", "count", "inside")),
        ("birth_h", np.int32),
        ("hour", np.int16),
        ("mean", np.int16, (168,)),
    ]
)


def init(count: int) -> State:
    """Nothing known."""
    rhythm = np.zeros(count, RECORD)
    rhythm["mean"] = UNSEEN
    return {"rhythm": rhythm}


@njit(cache=True)
def _young(m: Any, x: float, birth_h: int) -> None:
    """Learn origin and unit from a series' first samples."""
    m.count += 1.0
    if m.count == 1.0:
        m.origin, m.birth_h, m.hour = x, birth_h, -1
    away = x - m.origin
    m.origin += away / m.count
    m.unit += (1.2533 * abs(away) - m.unit) / m.count
    if m.count == YOUNG:
        m.unit = max(m.unit, 1e-3 * abs(m.origin), 1e-12)


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
            m.inside = 0.0
        held = m.mean[hour]
        at = min(max((x - m.origin) / m.unit * STEPS, -32_767.0), 32_767.0)
        visits = max((t_ms[i] // HOUR_MS - m.birth_h) // 168, 0)
        pace_s = interval_s[i] if interval_s[i] > 0.0 else 3_600.0
        count = m.inside + (visits * max(1.0, 3_600.0 / pace_s) if held != UNSEEN else 0.0)
        m.inside += 1.0
        if count < 2.0 or held == UNSEEN:
            m.mean[hour] = round(at if held == UNSEEN else held + (at - held) / (count + 1.0))
            continue
        m.count += 1.0
        away = (at - held) / STEPS
        spread = max(m.scale, 0.05)
        bound = np.inf
        if m.count > YOUNG + WARMUP:
            raw[i] = np.log1p(abs(away) / spread)
            bound = 3.0 * spread
        m.scale += (min(1.2533 * abs(away), bound) - m.scale) / min(m.count - YOUNG, MEMORY)
        m.mean[hour] = round(held + STEPS * min(max(away, -bound), bound) * max(1.0 / (count + 1.0), LEAST_GAIN))
    return raw


def statistic(state: State, samples: Samples) -> Floats:
    """(samples,) log(1 + distance from the mean of this hour of the week in scales of such distances).

    Source: seasonal exponential smoothing without trend: P. R. Winters (1960), Management Science 6, 324-342, with the
    clipped influence of `level`.
    """
    raw: Floats = _rhythm(samples.series, samples.t_ms, samples.value, samples.interval_s, state["rhythm"])
    return raw


def expected(state: State, t_ms: int) -> Floats:
    """(series,) the usual value at this hour of the week; NaN where the hour was not seen."""
    m = state["rhythm"]
    held = m["mean"][:, (t_ms % WEEK_MS) // HOUR_MS]
    return np.where(held == UNSEEN, np.nan, m["origin"] + m["unit"] * (held / STEPS))


RHYTHM = calibrated(
    Detector(name="rhythm", finds="a value unusual for its hour", warmup=YOUNG + WARMUP, init=init, step=statistic),
    statistic,
    quantile=1.65,  # medians over 29 series of the NAB, 2026-11
    excess=0.27,
)
