"""Variance: a series that has grown restless, or strangely calm, at an unchanged level."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.detect.detector import ENOUGH, Detector, Samples, State
from gateway.detect.tail import calibrated
from gateway.model import Floats, Integers

SHORT, LONG = 24.0, 2_000.0  # samples over which the present and the usual size of steps are averaged
LEAST_SPREAD = 0.05  # of the logarithm: changes of size below 5 % are nobody's concern
WARMUP = 96

RECORD = np.dtype([*((name, np.float32) for name in ("now", "usual", "spread")), ("count", np.uint16)])


def init(count: int) -> State:
    """Nothing known."""
    return {"variance": np.zeros(count, RECORD)}


@njit(cache=True)
def _variance(
    series: Integers, values: tuple[Floats, Floats], paces: tuple[Floats, Floats], memory: NDArray[Any]
) -> Floats:
    (value, last), (gap_s, interval_s) = values, paces
    raw = np.full(value.size, np.nan)
    for i in range(value.size):
        x, m = value[i], memory[series[i]]
        if not gap_s[i] <= 3.0 * interval_s[i]:  # the first sample, or the first behind a gap
            continue
        size = np.log(abs(x - last[i]) + 1e-6 * abs(x) + 1e-12)
        m.count = min(m.count + 1, ENOUGH)
        if m.count == 1:
            m.now = m.usual = size
            continue
        m.now += (size - m.now) / min(m.count, SHORT)
        away = m.now - m.usual
        spread = max(m.spread, LEAST_SPREAD)
        bound = np.inf
        if m.count > WARMUP:
            raw[i] = np.log1p(abs(away) / spread)
            bound = 4.0 * spread
        gain = 1.0 / min(m.count, LONG)
        m.usual += gain * min(max(away, -bound), bound)
        m.spread += gain * (min(1.2533 * abs(away), bound) - m.spread)
    return raw


def statistic(state: State, samples: Samples) -> Floats:
    """(samples,) log(1 + distance of the present mean log step from the usual one, in its own scales).

    Source: EWMA charts for dispersion on logarithms: S. V. Crowder and M. D. Hamilton (1992), Journal of Quality
    Technology 24, 12-21; steps instead of deviations, so that level and trend do not count.
    """
    values = samples.value, samples.last
    paces = samples.gap_s, samples.interval_s
    raw: Floats = _variance(samples.series, values, paces, state["variance"])
    return raw


VARIANCE = calibrated(
    Detector(name="variance", finds="steps larger or smaller than usual", warmup=WARMUP, init=init, step=statistic),
    statistic,
    quantile=1.20,
    excess=0.14,
)
