"""Shape: four values in a row such as the series never showed before.

A small set of windows, chosen to cover what was seen, stands for the history; a window far from all of them is new.
Windows are held in 8 bits, in steps of 1/8 of the spread that the series has, and the oldest gives way to the newest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.detect.detector import ENOUGH, Detector, Samples, State
from gateway.detect.tail import calibrated
from gateway.model import Floats, Integers

WIDTH, KEPT = 4, 32  # samples of a window, windows kept: 4 x 32 bytes a series
YOUNG = 24  # samples after which the unit is fixed
WARMUP = 64
STEPS = 8.0  # resolution: 1/8 of the spread, range 16 spreads
MEMORY = 2_000.0  # samples over which the spread is averaged
RATE = 0.02  # share of windows that are taken into the set: of .02, .05, .1 and .2 the best on the NAB, 2026-11
LEAST_RADIUS = 0.02

RECORD = np.dtype(
    [
        *(("origin", np.float64), ("mean", np.float64)),
        *((name, np.float32) for name in ("unit", "spread", "radius")),
        ("count", np.uint16),
        *(("held", np.uint8), ("next", np.uint8)),
        ("recent", np.int8, (WIDTH,)),
        ("window", np.int8, (KEPT, WIDTH)),
    ]
)


def init(count: int) -> State:
    """Nothing known."""
    shape = np.zeros(count, RECORD)
    shape["radius"] = 0.3
    return {"shape": shape}


@njit(cache=True)
def _rescale(m: Any) -> None:
    """Take the present spread for the unit, and the windows with it."""
    unit = max(m.spread, 1e-3 * abs(m.mean), 1e-12)
    if m.unit > 0.0:
        ratio = m.unit / unit
        for j in range(WIDTH):
            m.recent[j] = round(m.recent[j] * ratio)
            for k in range(m.held):
                m.window[k, j] = round(m.window[k, j] * ratio)
    else:
        m.origin = m.mean
    m.unit = unit


@njit(cache=True)
def _nearest(m: Any) -> float:
    """Distance from the recent window to the nearest kept, in spreads."""
    best = 1 << 30
    for k in range(m.held):
        total = 0
        for j in range(WIDTH):
            away = int(m.recent[j]) - int(m.window[k, j])
            total += away * away
        best = min(best, total)
    return float(np.sqrt(best / WIDTH) / STEPS)


@njit(cache=True)
def _shape(series: Integers, value: Floats, memory: NDArray[Any]) -> Floats:
    raw = np.full(value.size, np.nan)
    for i in range(value.size):
        x, m = value[i], memory[series[i]]
        m.count = min(m.count + 1, ENOUGH)
        if m.count == 1:
            m.mean = x
        away = x - m.mean
        gain = 1.0 / min(m.count, MEMORY)
        m.mean += gain * away
        m.spread += gain * (1.25 * abs(away) - m.spread)
        if m.count == YOUNG or (m.count > YOUNG and m.spread > 2.0 * m.unit):
            _rescale(m)
        if m.count < YOUNG:
            continue
        for j in range(WIDTH - 1):
            m.recent[j] = m.recent[j + 1]
        m.recent[WIDTH - 1] = round(min(max((x - m.origin) / m.unit * STEPS, -127.0), 127.0))
        if m.count < YOUNG + WIDTH:
            continue
        distance = _nearest(m)
        if m.count > WARMUP:
            raw[i] = np.log1p(distance)
        if m.held < 8 or distance > m.radius:
            for j in range(WIDTH):
                m.window[m.next, j] = m.recent[j]
            m.next = (m.next + 1) % KEPT
            m.held = min(m.held + 1, KEPT)
            m.radius *= 1.0 + 0.05 * (1.0 - RATE)
        else:
            m.radius = max(m.radius * (1.0 - 0.05 * RATE), LEAST_RADIUS)
    return raw


def statistic(state: State, samples: Samples) -> Floats:
    """(samples,) log(1 + distance to the nearest window known, in spreads).

    Source: discords, the subsequences farthest from their nearest neighbour: E. Keogh, J. Lin and A. Fu (2005), HOT
    SAX, ICDM; over a covering set as in streaming k-centres: M. Charikar et al. (1997), STOC.
    """
    raw: Floats = _shape(samples.series, samples.value, state["shape"])
    return raw


SHAPE = calibrated(
    Detector(name="shape", finds="a course never seen before", warmup=WARMUP, init=init, step=statistic),
    statistic,
    quantile=0.56,  # medians over 29 series of the NAB, 2026-11
    excess=0.43,
)
