"""The recent course of many series in bounded memory, and a robust line through each.

A series is kept as `BUCKETS` buckets of (count, sum of values, sum of times). Buckets start 675 s wide, so that seven
doublings make a day. When a sample falls past the last bucket, pairs merge and the width doubles; at the row's
widest the oldest half is dropped instead. A series has a row that looks far back and one for the last days: 2.4 KB
however long and however often it is sampled.

All kernels work on one series at a time: what a series shows never depends on who else is in the call.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from gateway.model import Flags, Floats, Integers

BUCKETS = 48
DAY_MS = 86_400_000
FIRST_WIDTH_MS = DAY_MS // 128
LONG_WIDTH_MS = 8 * DAY_MS  # 48 buckets of 8 days: the last year or so decides, not what went before
SHORT_WIDTH_MS = DAY_MS // 8  # 48 buckets of 3 hours: the last 3 to 6 days, so that a fast fault is seen in time
MIN_POINTS = 8  # fewer give intervals that do not hold (measured: tests/unit/prognosis/test_trend.py)
WANDER_BIAS = 1.4  # a fitted line swallows that much of a random walk's spread (simulated, 16 to 48 points)
SPLIT_F = 14.0  # F statistic over all split points; 1 % false splits on white noise of 24 to 48 points (simulated)

LEVEL, SLOPE, CURVE, CURVE_ERROR, NOISE, WANDER, SPAN, POINTS, LAST, FIT = range(10)
"""Columns of a fit: level now, slope a day, growth of the slope a day and the standard error of that, white noise (sd),
random walk (variance a day), days fitted, points, time of the newest point (ms); and the number of columns."""


class Buckets(NamedTuple):
    """The kept course of many series; all advanced in place."""

    origin: Integers  # (rows,) ms, start of the first bucket; -1 where nothing came yet
    width: Integers  # (rows,) ms
    widest: Integers  # (rows,) ms, where doubling ends
    samples: Floats  # (rows, BUCKETS) how many
    total: Floats  # (rows, BUCKETS) sum of values
    when: Floats  # (rows, BUCKETS) sum of ms since origin


def empty(series: int) -> Buckets:
    """Two rows for each of so many series that have no sample yet: 2 i looks far back, 2 i + 1 a few days."""
    return unfilled(np.where(np.arange(2 * series) % 2, SHORT_WIDTH_MS, LONG_WIDTH_MS))


def unfilled(widest: Integers) -> Buckets:
    """Rows without a sample, each with the width (ms) where its doubling ends."""
    columns = (np.zeros((widest.size, BUCKETS)) for _ in range(3))
    fresh = np.full(widest.size, -1, np.int64), np.full(widest.size, FIRST_WIDTH_MS, np.int64)
    return Buckets(*fresh, widest, *columns)


def joined(first: Buckets, second: Buckets) -> Buckets:
    """The rows of both, in that order."""
    return Buckets(*(np.concatenate(pair) for pair in zip(first, second, strict=True)))


@njit(cache=True)
def absorb(row: Integers, t_ms: Integers, value: Floats, kept: Buckets, dirty: Flags) -> None:
    """Put samples into their buckets and mark rows in which a new bucket opened.

    Args:
        row: (samples,) row in `kept`, any order.
        t_ms: (samples,) event time.
        value: (samples,) in the metric's unit.
        kept: advanced in place.
        dirty: (rows,) set where the line should be fitted again.
    """
    for i in range(row.size):
        if put(row[i], t_ms[i], value[i], kept):
            dirty[row[i]] = True


@njit(cache=True)
def put(r: int, t_ms: int, value: float, kept: Buckets) -> bool:
    """Put one sample into its bucket of row `r`; whether the bucket was empty before."""
    origin, width, half = kept.origin, kept.width, BUCKETS // 2
    if origin[r] < 0:
        origin[r] = t_ms - t_ms % DAY_MS
    k = (t_ms - origin[r]) // width[r]
    if k < 0:
        return False  # older than what is kept
    while k >= BUCKETS:
        if width[r] < kept.widest[r]:
            _merge(kept, r)
            width[r] *= 2
        else:
            _forget(kept, r)
            origin[r] += half * width[r]
        k = (t_ms - origin[r]) // width[r]
    opened = kept.samples[r, k] == 0.0
    kept.samples[r, k] += 1.0
    kept.total[r, k] += value
    kept.when[r, k] += t_ms - origin[r]
    return bool(opened)


@njit(cache=True)
def _merge(kept: Buckets, r: int) -> None:
    """Join pairs of buckets of row `r`, which frees the newer half."""
    half = BUCKETS // 2
    for column in (kept.samples, kept.total, kept.when):
        for j in range(half):
            column[r, j] = column[r, 2 * j] + column[r, 2 * j + 1]
        column[r, half:] = 0.0


@njit(cache=True)
def _forget(kept: Buckets, r: int) -> None:
    """Drop the older half of the buckets of row `r`."""
    half = BUCKETS // 2
    kept.when[r] -= half * kept.width[r] * kept.samples[r]
    for column in (kept.samples, kept.total, kept.when):
        column[r, :half] = column[r, half:]
        column[r, half:] = 0.0


@njit(cache=True)
def _rest(x: Floats, y: Floats) -> Floats:
    """What the least-squares line through (x, y) leaves."""
    dx, dy = x - x.mean(), y - y.mean()
    sxx = (dx * dx).sum()
    return np.asarray(dy if sxx <= 0.0 else dy - (dx * dy).sum() / sxx * dx)


@njit(cache=True)
def _independent(rest: Floats, pieces: int) -> float:
    """Share of the residuals that is independent of its neighbour: (1 - r) / (1 + r), r the lag-1 autocorrelation.

    `pieces` is how many lines were fitted; each takes autocorrelation away, which is given back.

    Sources: G. U. Yule (1926), Why do we sometimes get nonsense-correlations, JRSS 89, 1-63; F. H. C. Marriott, J. A.
    Pope (1954), Bias in the estimation of autocorrelations, Biometrika 41, 390-402.
    """
    power = (rest * rest).sum()
    if power <= 0.0:
        return 1.0
    r = (rest[1:] * rest[:-1]).sum() / power
    r = min(0.95, max(0.0, r + pieces * (2.0 + 4.0 * max(r, 0.0)) / rest.size))
    return float((1.0 - r) / (1.0 + r))


@njit(cache=True)
def bend(x: Floats, y: Floats) -> tuple[float, float, float]:
    """Second derivative of the parabola through (x, y), its standard error, and the squared error left."""
    u = (x - x.mean()) / max(1e-12, x[-1] - x[0])
    line = _rest(u, y)
    square = _rest(u, u * u)
    power = (square * square).sum()
    if power <= 0.0:
        return 0.0, np.inf, (line * line).sum()
    c = (square * line).sum() / power
    left = line - c * square
    sse = (left * left).sum()
    error = np.sqrt(sse / max(1, x.size - 3) / _independent(left, 1) / power)
    scale = 2.0 / (x[-1] - x[0]) ** 2
    return c * scale, error * scale, sse


@njit(cache=True)
def last_segment(x: Floats, y: Floats) -> int:
    """Where the piece begins that the newest points belong to: 0 where one line or one parabola explains them all.

    Source: G. C. Chow (1960), Tests of equality between sets of coefficients in two linear regressions, Econometrica
    28, 591-605; the split is searched, so the limit is that of the supremum (D. W. K. Andrews, 1993).
    """
    begin = 0
    n = x.size
    left = np.empty(n)
    while n - begin >= 2 * MIN_POINTS:
        whole = (_rest(x[begin:], y[begin:]) ** 2).sum()
        best, at = whole, -1
        for k in range(begin + 4, n - 3):
            both = (_rest(x[begin:k], y[begin:k]) ** 2).sum() + (_rest(x[k:], y[k:]) ** 2).sum()
            if both < best:
                best, at = both, k
        if at < 0:
            return begin
        left[begin:at] = _rest(x[begin:at], y[begin:at])
        left[at:n] = _rest(x[at:], y[at:])
        scale = 1e-12 * (1.0 + (y[begin:] ** 2).sum())
        share = _independent(left[begin:n], 2)
        if share * (whole - best) / 2.0 <= SPLIT_F * (best + scale) / (n - begin - 4):
            return begin
        if bend(x[begin:], y[begin:])[2] <= best * 1.1 + scale:
            return begin
        begin = at
    return begin


@njit(cache=True)
def slope_of(x: Floats, y: Floats, phase: Integers, per_day: int) -> float:
    """Median slope over pairs of points; with a daily rhythm (`per_day` > 1) over pairs at the same time of day.

    Sources: P. K. Sen (1968), Estimates of the regression coefficient based on Kendall's tau, JASA 63, 1379-1389;
    R. M. Hirsch, J. R. Slack, R. A. Smith (1982), Techniques of trend analysis, Water Resources Research 18, 107-121.
    """
    slopes = np.empty(x.size * (x.size - 1) // 2)
    n = 0
    for i in range(x.size):
        for j in range(i):
            if (phase[i] - phase[j]) % per_day == 0 and x[i] > x[j]:
                slopes[n] = (y[i] - y[j]) / (x[i] - x[j])
                n += 1
    return np.median(slopes[:n]) if n >= MIN_POINTS else np.nan


@njit(cache=True)
def points(kept: Buckets, r: int, x: Floats, y: Floats, phase: Integers) -> int:
    """Write the closed buckets of row `r` as points (days since origin, mean value, bucket); how many there are.

    The newest bucket is still filling and is left out, so that where blocks are cut changes nothing.
    """
    newest = BUCKETS - 1
    while newest > 0 and kept.samples[r, newest] == 0.0:
        newest -= 1
    n = 0
    for k in range(newest):
        if kept.samples[r, k] > 0.0:
            x[n] = kept.when[r, k] / kept.samples[r, k] / DAY_MS
            y[n] = kept.total[r, k] / kept.samples[r, k]
            phase[n] = k
            n += 1
    return n


@njit(cache=True)
def _write(x: Floats, y: Floats, slope: float, out: Floats) -> None:
    """Write the fit of one piece into `out`, given its slope.

    Noise is split by the structure function D(k) = E (r[i+k] - r[i])^2 = 2 noise^2 + k wander, so that a series that
    wanders by itself gets the wide interval it deserves. (N. A. C. Cressie (1993), Statistics for Spatial Data, 2.4.)
    """
    rest = y - slope * x
    middle = np.median(rest)
    far = max(2, x.size // 5)
    near = (np.diff(rest) ** 2).mean()
    wide = ((rest[far:] - rest[:-far]) ** 2).mean()
    gap = (x[-1] - x[0]) / (x.size - 1)
    wander = WANDER_BIAS * max(0.0, (wide - near) / ((far - 1) * gap))
    out[LEVEL] = middle + slope * x[-1]
    out[SLOPE] = slope
    out[CURVE], out[CURVE_ERROR], _ = bend(x, y)
    out[NOISE] = np.sqrt(max(near / 2.0 - wander * gap / 2.0, 0.1 * near))
    out[WANDER] = wander
    out[SPAN] = x[-1] - x[0]
    out[POINTS] = x.size


@njit(cache=True)
def fit(row: Integers, kept: Buckets, out: Floats) -> None:
    """Fit the newest piece of each given row; NaN where too little is known.

    Args:
        row: rows to fit.
        kept: as `absorb` keeps it.
        out: (rows, FIT), written for the given rows.
    """
    x, y, phase = np.empty(BUCKETS), np.empty(BUCKETS), np.empty(BUCKETS, np.int64)
    for r in row:
        out[r, :] = np.nan
        n = points(kept, r, x, y, phase)
        if n < MIN_POINTS:
            continue
        begin = last_segment(x[:n], y[:n])
        if n - begin < MIN_POINTS:
            continue
        width = kept.width[r]
        rhythm = width < DAY_MS and x[n - 1] - x[begin] >= 2.0  # two days show whether a rhythm is one
        slope = slope_of(x[begin:n], y[begin:n], phase[begin:n], DAY_MS // width if rhythm else 1)
        if np.isfinite(slope):
            _write(x[begin:n], y[begin:n], slope, out[r])
            out[r, LAST] = kept.origin[r] + x[n - 1] * DAY_MS
