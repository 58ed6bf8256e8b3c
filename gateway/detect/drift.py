"""Drift: a level that leaves its place slowly, over hours to weeks, each step too small to notice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.detect.detector import ENOUGH, Detector, Samples, State
from gateway.detect.tail import calibrated
from gateway.model import Floats, Integers

DAY_S = 86_400.0
FAST_S, SLOW_S = 1.0 * DAY_S, 14.0 * DAY_S  # the fast mean spans a daily cycle, the slow one a fortnight
LONGEST_S = 10.0 * SLOW_S  # what is older makes no difference
BUCKET_S = 3_600.0  # CUSUM steps are hourly means: sampling faster adds no evidence about a drift of days
SLACK = 0.5  # scales: Page's k for a shift of one scale
WARMUP = 48  # hours
YOUNG = 24.0  # hours until spreads are known well enough to bound anything by them
CLIP = 3.0  # scales by which an hour may pull the mean of a fortnight: a fault must not become the norm
MEMORY = 336.0  # hours: the spread of hourly means over a fortnight
CAP = 1e3  # scales
BACK = 0.9  # share of a CUSUM that is kept an hour once the mean of a day is back: forgotten in two days
NEAR_H, NEAR = 12.0, 0.25  # hours and scales: a mean so short, so close, is back beyond doubt, daily cycle or not
SOON = 0.8  # share that is kept an hour then: forgotten within a day

RECORD = np.dtype(
    [
        *((name, np.float64) for name in ("fast", "slow", "bucket_sum")),
        *((name, np.float32) for name in ("span_s", "bucket_s", "bucket_n", "scale", "up", "down", "near")),
        ("buckets", np.uint16),
    ]
)


def init(count: int) -> State:
    """Nothing known."""
    return {"drift": np.zeros(count, RECORD)}


@njit(cache=True)
def _close_bucket(m: Any) -> None:
    """Take one hourly mean into the CUSUMs of a series."""
    away = m.bucket_sum / m.bucket_n - m.slow
    lasted = min(m.bucket_s, 2.0 * BUCKET_S)
    m.bucket_s = m.bucket_sum = m.bucket_n = 0.0
    m.buckets = min(m.buckets + 1, ENOUGH)
    spread = max(m.scale, 1e-3 * abs(m.slow), 1e-12)
    bound = 4.0 * spread if m.buckets > YOUNG else np.inf
    m.scale += (min(1.2533 * abs(away), bound) - m.scale) / min(m.buckets, MEMORY)
    if m.buckets >= YOUNG:
        m.slow += min(max(away, -CLIP * spread), CLIP * spread) * lasted / min(m.span_s, SLOW_S)
    if m.buckets > WARMUP:
        m.up = min(max(0.0, m.up + away / spread - SLACK), CAP)
        m.down = min(max(0.0, m.down - away / spread - SLACK), CAP)
        m.near += (away / spread - m.near) * min(lasted / BUCKET_S / NEAR_H, 1.0)
        if abs(m.fast - m.slow) < SLACK * spread or abs(m.near) < NEAR:
            kept = SOON if abs(m.near) < NEAR else BACK
            m.up *= kept
            m.down *= kept


@njit(cache=True)
def _drift(series: Integers, value: Floats, gap_s: Floats, memory: NDArray[Any]) -> Floats:
    raw = np.full(value.size, np.nan)
    for i in range(value.size):
        x, m = value[i], memory[series[i]]
        gap = gap_s[i]
        if gap >= 0.0:
            step = min(gap, BUCKET_S)  # a gap is no evidence that the value stayed
            m.span_s = min(m.span_s + step, LONGEST_S)
            m.fast += (x - m.fast) * step / min(m.span_s + step, FAST_S)
            if m.buckets < YOUNG:
                m.slow += (x - m.slow) * step / min(m.span_s + step, SLOW_S)
            m.bucket_s += gap
        else:
            m.fast = m.slow = x
        m.bucket_sum += x
        m.bucket_n += 1.0
        if m.bucket_s >= BUCKET_S:
            _close_bucket(m)
        if m.buckets > WARMUP:
            raw[i] = np.log1p(max(m.up, m.down))
    return raw


def statistic(state: State, samples: Samples) -> Floats:
    """(samples,) log(1 + the larger of two CUSUMs of hourly means against the mean of a fortnight, in scales).

    Source: E. S. Page (1954), Continuous inspection schemes, Biometrika 41, 100-115.
    """
    raw: Floats = _drift(samples.series, samples.value, samples.gap_s, state["drift"])
    return raw


def means(state: State, series: int) -> tuple[float, float]:
    """The mean of the last day and that of the last fortnight of a series, NaN before it has had one sample."""
    m = state["drift"][series]
    return (float(m["fast"]), float(m["slow"])) if m["span_s"] > 0.0 else (np.nan, np.nan)


def per_day(state: State) -> Floats:
    """(series,) slope in the metric's unit per day; NaN before a series has two days.

    On a ramp an exponential mean of memory T lags by T, so the difference of two means over that of their memories is
    the slope: C. C. Holt (1957, reprinted 2004), International Journal of Forecasting 20, 5-10.
    """
    m = state["drift"]
    span = m["span_s"]
    lag_days = np.maximum(_lag(span, SLOW_S) - _lag(span, FAST_S), 0.5 * DAY_S) / DAY_S
    return np.where(span >= 2.0 * DAY_S, (m["fast"] - m["slow"]) / lag_days, np.nan)


def _lag(span_s: Floats, memory_s: float) -> Floats:
    """(series,) by how many seconds a mean lags on a ramp: half the span while it grows, then towards its memory."""
    beyond = np.maximum(span_s - memory_s, 0.0)
    lag: Floats = np.minimum(span_s, memory_s) / 2.0 + memory_s / 2.0 * -np.expm1(-beyond / memory_s)
    return lag


def daily_mean(state: State) -> Floats:
    """(series,) the mean of the last day; NaN before a series has had one."""
    m = state["drift"]
    return np.where(m["span_s"] >= 0.9 * FAST_S, m["fast"], np.nan)


def hours(state: State) -> Floats:
    """(series,) of how many hours the means are known."""
    found: Floats = state["drift"]["buckets"]
    return found


DRIFT = calibrated(
    Detector(name="drift", finds="a level that leaves its place slowly", warmup=WARMUP, init=init, step=statistic),
    statistic,
    quantile=2.7,  # of independent normal hours: log(1 + 14)
    excess=0.35,
)
