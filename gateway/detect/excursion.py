"""Excursion: a series beyond all that it has been, or away from its mean for many samples on end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.detect.detector import ENOUGH, Detector, Samples, State
from gateway.detect.tail import calibrated
from gateway.model import Floats, Integers

SHORT, LONG = 24.0, 2_000.0  # samples over which the present and the usual value are averaged
CLIP = 3.0  # scales by which one sample may pull the usual value
SHRINK = 1.0 / 4_000.0  # a sample: how fast the range that was seen is forgotten
WARMUP = 48

RECORD = np.dtype(
    [
        *((name, np.float64) for name in ("mean", "low", "high")),
        *(("away", np.float32), ("scale", np.float32), ("count", np.uint16)),
    ]
)


def init(count: int) -> State:
    """Nothing known."""
    return {"excursion": np.zeros(count, RECORD)}


@njit(cache=True)
def _excursion(series: Integers, value: Floats, memory: NDArray[Any]) -> Floats:
    raw = np.full((2, value.size), np.nan)
    for i in range(value.size):
        x, m = value[i], memory[series[i]]
        m.count = min(m.count + 1, ENOUGH)
        if m.count == 1:
            m.mean = m.low = m.high = x
        least = max(1e-3 * abs(m.mean), 1e-12)
        m.away += (x - m.mean - m.away) / min(m.count, SHORT)
        spread = max(m.scale, least)
        if m.count > WARMUP:
            raw[0, i] = np.log1p(abs(m.away) / spread)
            raw[1, i] = np.log1p(max(x - m.high, m.low - x, 0.0) / max(m.high - m.low, least))
        bound = CLIP * spread if m.count > 8 else np.inf
        gain = 1.0 / min(m.count, LONG)
        step = gain * min(max(m.away, -bound), bound)
        m.scale += gain * (min(1.2533 * abs(m.away), bound) - m.scale)
        m.mean += step
        m.away -= step
        middle = 0.5 * (m.high + m.low)
        m.high = max(x, m.high + SHRINK * (middle - m.high))
        m.low = min(x, m.low + SHRINK * (middle - m.low))
    return raw


def statistic(state: State, samples: Samples) -> Floats:
    """(2, samples) log(1 + distance): of the present mean from the usual, in scales; beyond the range seen, in ranges.

    Source: moving means against their own spread: S. W. Roberts (1959), Technometrics 1, 239-250; values beyond the
    range seen: the records of K. N. Chandler (1952), Journal of the Royal Statistical Society B 14, 220-228.
    """
    raw: Floats = _excursion(samples.series, samples.value, state["excursion"])
    return raw


EXCURSION = calibrated(
    Detector(name="excursion", finds="values beyond all known", warmup=WARMUP, init=init, step=statistic),
    statistic,
    quantile=(1.95, 0.001),  # medians over 29 series of the NAB, 2026-11
    excess=(0.20, 0.037),
)
