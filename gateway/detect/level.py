"""Level: a value far from where its series usually is, for its usual spread.

A series that its fleet vouches for (`prior`) begins with the fleet's mean and scale. How far its own mean may lie from
the fleet's is in `trust`, the samples that the fleet's word counts for: its first samples are judged by a spread that
is the wider, the less its like agree and the less is known of itself. Without a prior `trust` is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.detect.detector import ENOUGH, Detector, Samples, State
from gateway.detect.tail import calibrated
from gateway.model import Floats, Integers

MEMORY_S = 259_200.0  # three days: a fault that lasts a day still stands out from what was before
LEAST, MOST = 256.0, 20_000.0  # samples that the memory spans, whatever the interval
CLIP = 3.0  # scales by which one sample may pull the level (Huber's psi)
WARMUP = 24
APART_S = 10_800.0  # samples closer than three hours share their hour of the day, and count as one about the mean

RECORD = np.dtype([("mean", np.float64), ("scale", np.float32), ("trust", np.float32), ("count", np.uint16)])


def init(count: int) -> State:
    """Nothing known."""
    return {"level": np.zeros(count, RECORD)}


@njit(cache=True)
def _level(series: Integers, value: Floats, interval_s: Floats, memory: NDArray[Any]) -> Floats:
    raw = np.full(value.size, np.nan)
    for i in range(value.size):
        x, m = value[i], memory[series[i]]
        m.count = min(m.count + 1, ENOUGH)
        vouched = m.trust > 0.0
        if m.count == 1 and not vouched:
            m.mean = x
            continue
        away = x - m.mean
        spread, wide = max(m.scale, 1e-3 * abs(m.mean), 1e-12), 1.0
        if vouched:
            pace_s = interval_s[i] if interval_s[i] > 0.0 else 0.0
            wide = np.sqrt(1.0 + 1.0 / (m.trust + (m.count - 1.0) * min(1.0, pace_s / APART_S)))
            spread *= wide
        if m.count > WARMUP or vouched:
            raw[i] = np.log1p(abs(away) / spread)
        span = min(max(MEMORY_S / max(interval_s[i], 1e-3), LEAST), MOST) if interval_s[i] > 0.0 else LEAST
        bound = CLIP * spread if m.count > 8 or vouched else np.inf
        m.mean += min(max(away, -bound), bound) / min(m.count + m.trust, span)
        known = min(m.count + (WARMUP if vouched else 0.0), span)
        m.scale += (min(1.2533 * abs(away), bound) / wide - m.scale) / known
    return raw


def statistic(state: State, samples: Samples) -> Floats:
    """(samples,) log(1 + distance from the level in scales).

    Source: exponentially weighted moments with a clipped influence: P. Huber (1964), Robust estimation of a location
    parameter; EWMA charts: S. W. Roberts (1959), Technometrics 1, 239-250. 1.2533 makes a mean absolute deviation the
    standard deviation of a normal variable. The spread of a series with a prior is that of the predictive distribution
    of a normal variable whose mean has one: A. Gelman et al. (2013), Bayesian data analysis, section 2.5.
    """
    raw: Floats = _level(samples.series, samples.value, samples.interval_s, state["level"])
    return raw


LEVEL = calibrated(
    Detector(name="level", finds="a value far from its usual level", warmup=WARMUP, init=init, step=statistic),
    statistic,
    quantile=1.20,  # of a normal variable: log(1 + 2.33)
    excess=0.14,
)
