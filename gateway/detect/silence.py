"""Silence: samples that should have come and did not.

The only detector whose score rises while nothing arrives, so besides its `step`, which learns the gaps, it has
`overdue`, which is asked at every advance of the clock.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.detect.detector import Detector, Samples, State
from gateway.model import Floats, Integers

WARMUP = 4
FORGET = 1.0 / 1_000.0  # per sample: how fast the longest gap is forgotten
INTERVALS = 6.0  # missed samples that are silence on a series which never paused
LEAST_S = 60.0  # a gap below a minute is jitter of the link
FACTOR = 1.5  # a pause of this many longest known gaps is silence
MANY = 255  # samples: beyond, their count stands still


RECORD = np.dtype([("longest_s", np.float32), ("count", np.uint8)])


def init(count: int) -> State:
    """Nothing known."""
    return {"silence": np.zeros(count, RECORD)}


@njit(cache=True)
def _learn(series: Integers, gap_s: Floats, interval_s: Floats, memory: NDArray[Any]) -> Floats:
    scores = np.zeros(series.size)
    for i in range(series.size):
        m = memory[series[i]]
        if gap_s[i] >= 0.0:
            limit = max(INTERVALS * interval_s[i], FACTOR * m.longest_s, LEAST_S)
            if m.count >= WARMUP:
                scores[i] = gap_s[i] / limit
            m.longest_s = max(m.longest_s * (1.0 - FORGET), min(gap_s[i], 2.0 * limit))
        m.count = min(m.count + 1, MANY)
    return scores


def step(state: State, samples: Samples) -> Floats:
    """(samples,) length of the gap that each sample ends, relative to the limit.

    Source: the limit is the larger of a few intervals and 1.5 longest gaps, the accrual idea of N. Hayashibara et al.
    (2004), The phi accrual failure detector, without its normality.
    """
    scores: Floats = _learn(samples.series, samples.gap_s, samples.interval_s, state["silence"])
    return scores


def limits(state: State, interval_s: Floats) -> Floats:
    """(series,) seconds of silence that score 1.0; infinite where the series is not known yet."""
    m = state["silence"][: interval_s.size]
    limit = np.maximum(np.fmax(INTERVALS * interval_s, FACTOR * m["longest_s"]), LEAST_S)
    return np.where(m["count"] > WARMUP, limit, np.inf)


def overdue(
    state: State, pace: NDArray[Any], device: Integers, now_ms: int, *, devices: int
) -> tuple[Floats, Floats, Integers]:
    """How silent series and devices are.

    A series is silent against the last word of its device, a device against the clock and its fastest series; so a
    device that loses its link is one silence, not one for each of its metrics.

    Args:
        state: of at least `device.size` series.
        pace: of `detector.PACE`, (series,) or more.
        device: (series,) device numbers.
        now_ms: the present.
        devices: how many there are.

    Returns:
        (series,) and (devices,) scores, and (devices,) time of the last word, -1 where there was none.
    """
    known = pace[: device.size]
    last_ms, limit = known["last_ms"], limits(state, known["interval_s"])
    heard_ms, shortest = np.full(devices, -1, np.int64), np.full(devices, np.inf)
    np.maximum.at(heard_ms, device, last_ms)
    np.minimum.at(shortest, device, limit)
    series_score = (heard_ms[device] - last_ms) / 1000.0 / limit
    return series_score, np.where(heard_ms >= 0, (now_ms - heard_ms) / 1000.0 / shortest, 0.0), heard_ms


SILENCE = Detector(
    name="silence", finds="samples that should have come and did not", warmup=WARMUP, init=init, step=step
)
