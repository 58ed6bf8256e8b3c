"""Level: a value far from where its series usually is, for its usual spread."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.detect.detector import Detector, Samples, State
from gateway.detect.tail import calibrated
from gateway.model import Floats, Integers

MEMORY_S = 259_200.0  # three days: a fault that lasts a day still stands out from what was before
LEAST, MOST = 256.0, 20_000.0  # samples that the memory spans, whatever the interval
CLIP = 3.0  # scales by which one sample may pull the level (Huber's psi)
WARMUP = 24

RECORD = np.dtype([("mean", np.float64), ("scale", np.float64), ("count", np.float32)])


def init(count: int) -> State:
    """Nothing known."""
    return {"level": np.zeros(count, RECORD)}


@njit(cache=True)
def _level(series: Integers, value: Floats, interval_s: Floats, memory: NDArray[Any]) -> Floats:
    raw = np.full(value.size, np.nan)
    for i in range(value.size):
        x, m = value[i], memory[series[i]]
        m.count += 1.0
        if m.count == 1.0:
            m.mean = x
            continue
        away = x - m.mean
        spread = max(m.scale, 1e-3 * abs(m.mean), 1e-12)
        if m.count > WARMUP:
            raw[i] = np.log1p(abs(away) / spread)
        span = min(max(MEMORY_S / max(interval_s[i], 1e-3), LEAST), MOST)
        gain = 1.0 / min(m.count, span)
        bound = CLIP * spread if m.count > 8.0 else np.inf
        m.mean += gain * min(max(away, -bound), bound)
        m.scale += gain * (min(1.2533 * abs(away), bound) - m.scale)
    return raw


def statistic(state: State, samples: Samples) -> Floats:
    """(samples,) log(1 + distance from the level in scales).

    Source: exponentially weighted moments with a clipped influence: P. Huber (1964), Robust estimation of a location
    parameter; EWMA charts: S. W. Roberts (1959), Technometrics 1, 239-250. 1.2533 makes a mean absolute deviation the
    standard deviation of a normal variable.
    """
    raw: Floats = _level(samples.series, samples.value, samples.interval_s, state["level"])
    return raw


LEVEL = calibrated(
    Detector(name="level", finds="a value far from its usual level", warmup=WARMUP, init=init, step=statistic),
    statistic,
    quantile=1.20,  # of a normal variable: log(1 + 2.33)
    excess=0.14,
)
