"""Stuck: a series that repeats one value for longer than it ever does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.detect.detector import Detector, Samples, State
from gateway.detect.tail import calibrated
from gateway.model import Floats, Integers

WARMUP = 64
FORGET = 1.0 / 256.0  # per run: how fast the longest run seen is forgotten
RUNS = 8  # changes seen before a series is known to move at all
LEAST = 4.0  # samples added to the longest run known, so that two equal values are nothing

MANY = 255  # changes or samples: beyond, counts stand still

RECORD = np.dtype([("run", np.float32), ("longest", np.float32), ("changes", np.uint8), ("count", np.uint8)])


def init(count: int) -> State:
    """Nothing known."""
    return {"stuck": np.zeros(count, RECORD)}


@njit(cache=True)
def _stuck(series: Integers, value: Floats, last: Floats, memory: NDArray[Any]) -> Floats:
    raw = np.full(value.size, np.nan)
    for i in range(value.size):
        x, m = value[i], memory[series[i]]
        if m.count > 0 and x == last[i]:
            m.run += 1.0
        else:
            if m.count > 0:
                m.changes = min(m.changes + 1, MANY)
                m.longest = max(m.longest * (1.0 - FORGET), m.run)
            m.run = 0.0
        m.count = min(m.count + 1, MANY)
        if m.count > WARMUP and m.changes >= RUNS:
            raw[i] = np.log1p(max(0.0, m.run - m.longest) / (LEAST + m.longest))
    return raw


def statistic(state: State, samples: Samples) -> Floats:
    """(samples,) log(1 + excess of the present run of equal values over the longest known, relative to that).

    Source: the runs test idea of A. Wald and J. Wolfowitz (1940), Annals of Mathematical Statistics 11, 147-162, on
    the longest run instead of their number.
    """
    raw: Floats = _stuck(samples.series, samples.value, samples.last, state["stuck"])
    return raw


STUCK = calibrated(
    Detector(name="stuck", finds="one value repeated longer than ever", warmup=WARMUP, init=init, step=statistic),
    statistic,
    quantile=0.20,
    excess=0.25,
)
