"""Habit: all metrics of one device together, against the device's own unsuspected past.

A `Habit` is trained on a schedule from rows (one value of every metric at one time) that no rule, episode or outcome
puts under suspicion, and is then frozen. A row is scaled by the ranges of training, turned into the principal axes
of training, and smoothed over three lengths of memory. Members judge it: at each length the distance to the nearest
known condition, which stays where it was learned; at the two shorter ones the size of the deviation from where the
device usually is, which the habit follows; and both for the change against the last rows. Each member is calibrated by
rows that it did not learn from, so that members may be averaged.

All numbers of one habit lie in one float32 vector, so that a fleet is a pool of vectors and one compiled loop:
center (d), unit (d), the grid of quantiles with tail (MEMBERS, GRID + 1); then bytes: inverse variances (4, d) and
steps of the kept points (SETS, d) as numbers of LEVELS, the axes in steps of 1/AXIS_STEPS (d, d), and conditions at
three lengths (3, d, KEPT) and changes (d, KEPT) in 6 bits, in steps of their own for each axis: three bytes hold, from
the lowest bit on, one number of each quarter of a set. Packed it is a quarter of the size, and judges no worse, for the
grid is taken from statistics of what is packed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.model import Flags, Floats, Integers

KEPT = 32  # conditions of each length, and changes: 32 to 300 differ by less than .02 in VUS-PR, 2026-11
SETS = 4
MEMBERS = 7
NEAR, NEAR_SLOW, NEAR_SLOWEST, FAST, SLOW, CHANGE_NEAR, CHANGE = range(MEMBERS)
GAINS = (0.2, 0.05, 0.02)  # of the three smoothings, per row; the last is what a change is measured against
AXES = 0.1  # gain of the smoothing before axes are taken: what metrics share shows when their own noise is gone
CLIP = 25.0  # units, beyond which a metric adds no more
NOISE = np.array([0.007, 0.007, 0.007, 0.007])  # added to an axis's variances, units squared: .004 to .01 much the same
FOLLOW, FOLLOW_HOT = 1e-3, 1e-4  # gains at which the habit follows the device, unsuspected and suspected
SHARES = np.array([0.5, 0.3, 0.2, 0.1, 0.07, 0.05, 0.03, 0.02])  # of training rows over the quantiles kept
GRID = SHARES.size
PRIOR_EXCESS, PRIOR_WEIGHT = 0.2, 20.0  # mean excess expected, in last quantiles, and the rows it counts for
BLOCK = 50  # rows of one stretch; every other stretch calibrates what the ones between taught
LEAST_ROWS = 200
AXIS_STEPS, POINT_STEPS = 127.0, 31.0  # of the largest value, in 8 and 6 bits
LEVELS = np.exp2(np.arange(-128, 128) / 8.0)  # what a byte stands for that holds a size: eight to the octave
LANES, PACKED = KEPT // 4, KEPT // 4 * 3  # numbers of a quarter of an axis's kept points, and bytes of all of them

Pool = NDArray[np.float32]


@njit(cache=True)
def _head(d: int) -> int:
    """Numbers before what is packed."""
    count: int = 2 * d + MEMBERS * (GRID + 1)
    return count


@njit(cache=True)
def size(metrics: int) -> int:
    """Numbers in the vector of a habit over so many metrics."""
    count: int = _head(metrics) + ((4 + SETS + metrics + SETS * PACKED) * metrics + 3) // 4
    return count


def parts(vector: Pool, d: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Center (d,), unit (d,), axes (d, d), each a column, and inverse variances of the shortest memory (d,)."""
    center, unit = vector[: 2 * d].reshape(2, d).astype(np.float64)
    levels, axes, _ = _packed_parts(vector, d)
    return center, unit, axes.reshape(d, d) / AXIS_STEPS, LEVELS[levels[:d]]


@njit(cache=True)
def _packed_parts(vector: Pool, d: int) -> tuple[NDArray[np.uint8], NDArray[np.int8], NDArray[np.uint8]]:
    """Levels ((4 + SETS) * d,), axes (d * d,) and kept points (SETS * d * PACKED,); views."""
    held = vector[_head(d) :].view(np.uint8)
    axes = (4 + SETS) * d
    points = axes + d * d
    return held[:axes], held[axes:points].view(np.int8), held[points : points + SETS * d * PACKED]


@njit(cache=True, nogil=True)
def _place(row: Floats, habit: Pool, axes: NDArray[np.int8]) -> Floats:
    """(d,) a row on the principal axes; a metric that is not known stands at its center."""
    d = row.size
    position = np.zeros(d)
    for j in range(d):
        z = (row[j] - habit[j]) / habit[d + j]
        if not np.isnan(z):
            z = min(max(z, -CLIP), CLIP)
            z /= AXIS_STEPS
            for k in range(d):
                position[k] += z * axes[j * d + k]
    return position


@njit(cache=True, nogil=True)
def _travel(row: Floats, motion: Floats, habit: Pool, out: Floats) -> None:
    """Move the smoothed positions of a device by one row, and write its raw statistics.

    motion is (4, d): fast, slow and slowest position on the axes, and the followed center; NaN before the first row.
    """
    d = row.size
    levels, axes, kept = _packed_parts(habit, d)
    steps = levels[4 * d :]
    position = _place(row, habit, axes)
    if np.isnan(motion[0, 0]):
        motion[0], motion[1], motion[2], motion[3] = position, position, position, 0.0
    out[:] = 0.0
    points = np.empty((SETS, d))
    for k in range(d):
        for g in range(3):
            motion[g, k] += GAINS[g] * (position[k] - motion[g, k])
            points[g, k] = motion[g, k] * np.sqrt(LEVELS[levels[g * d + k]])
        for g in range(2):
            away = motion[g, k] - motion[3, k]
            out[FAST + g] += away * away * LEVELS[levels[g * d + k]]
        points[3, k] = position[k] - motion[2, k]
        out[CHANGE] += points[3, k] * points[3, k] * LEVELS[levels[3 * d + k]]
    for g in range(3):
        out[NEAR + g] = _nearest(points[g], kept[g * d * PACKED :], steps[g * d :])
    out[CHANGE_NEAR] = _nearest(points[3], kept[3 * d * PACKED :], steps[3 * d :])
    for m in range(MEMBERS):
        out[m] = np.sqrt(out[m])


@njit(cache=True, nogil=True)
def _nearest(point: Floats, kept: NDArray[np.uint8], steps: NDArray[np.uint8]) -> float:
    """Squared distance to the nearest of the kept points; axis by axis, so that all points are one vector operation."""
    quarter = point.size * LANES
    low, middle, high = kept[:quarter], kept[quarter : 2 * quarter], kept[2 * quarter : 3 * quarter]
    counted = np.empty(4 * quarter, np.uint8)
    for i in range(quarter):
        counted[i] = low[i] & 63
        counted[quarter + i] = (low[i] >> 6) | ((middle[i] & 15) << 2)
        counted[2 * quarter + i] = (middle[i] >> 4) | ((high[i] & 3) << 4)
        counted[3 * quarter + i] = high[i] >> 2
    total = np.zeros(KEPT, np.float32)
    for k in range(point.size):
        step = np.float32(LEVELS[steps[k]])
        at = np.float32(point[k]) + step * np.float32(POINT_STEPS)
        for c in range(KEPT):
            away = at - step * np.float32(counted[k * KEPT + c])
            total[c] += away * away
    return float(total.min())


@njit(cache=True)
def _rarity(x: float, grid: Pool) -> float:
    """-log of the share of training rows over x; exponential beyond the last quantile. grid: quantiles, mean excess."""
    rarity: float = -np.log(SHARES[GRID - 1]) + (x - grid[GRID - 1]) / grid[GRID]
    if x <= grid[0]:
        rarity = -np.log(SHARES[0]) * x / max(grid[0], 1e-12)
    elif x <= grid[GRID - 1]:
        g = 1
        while x > grid[g]:
            g += 1
        part = (x - grid[g - 1]) / max(grid[g] - grid[g - 1], 1e-12)
        rarity = -np.log(SHARES[g - 1]) * (1.0 - part) - np.log(SHARES[g]) * part
    return rarity


@njit(cache=True, nogil=True)
def judge(row: Floats, motion: Floats, habit: Pool, out: Floats) -> None:
    """Rarities of the members for the next row of a device, -log of a share of training rows each."""
    _travel(row, motion, habit, out)
    d = row.size
    grids = habit[2 * d : _head(d)]
    for m in range(MEMBERS):
        out[m] = _rarity(out[m], grids[m * (GRID + 1) : (m + 1) * (GRID + 1)])
    hot = out[SLOW] > -np.log(SHARES[GRID - 1])
    for k in range(d):
        motion[3, k] += (FOLLOW_HOT if hot else FOLLOW) * (motion[1, k] - motion[3, k])


@njit(cache=True, nogil=True)
def _statistics(rows: Floats, habit: Pool) -> Floats:
    """(rows, members) raw statistics."""
    n, d = rows.shape
    motion = np.full((4, d), np.nan)
    stats = np.zeros((n, MEMBERS))
    for i in range(n):
        _travel(rows[i], motion, habit, stats[i])
    return stats


@njit(cache=True)
def _smoothed(rows: Floats, gain: float) -> Floats:
    """(rows, d) exponential means."""
    out = rows.copy()
    for i in range(1, rows.shape[0]):
        out[i] = out[i - 1] + gain * (rows[i] - out[i - 1])
    return out


def _scaled(rows: Floats) -> tuple[Floats, Floats]:
    """(d,) center and unit: median, and a fifth of the range without the outermost thousandths."""
    low, center, high = _quantiles(rows, (0.001, 0.5, 0.999))
    unit = np.maximum((high - low) / 5.0, np.nanstd(rows, axis=0) / 2.0) + 1e-3 * np.abs(center) + 1e-9
    still = high - low <= 1e-12  # a metric that never moved: a twentieth of itself is a step
    return center, np.where(still, np.maximum(0.05 * np.abs(center), 0.05), unit)


def _quantiles(rows: Floats, shares: Sequence[float]) -> Floats:
    """(shares, metrics) quantiles of what is known of each metric, all from one sorting."""
    ordered = np.sort(rows, axis=0)  # NaN last
    last = np.maximum(np.count_nonzero(~np.isnan(rows), axis=0) - 1, 0)
    at = np.outer(shares, last)
    below = at.astype(np.int64)
    column = np.arange(rows.shape[1])
    low, high = ordered[below, column], ordered[np.minimum(below + 1, last), column]
    found: Floats = low + (at - below) * (high - low)
    return found


def _level(sizes: Floats) -> NDArray[np.uint8]:
    """The number of the first of LEVELS that is as large."""
    return np.minimum(np.searchsorted(LEVELS, sizes), LEVELS.size - 1).astype(np.uint8)


def _packed(points: Floats) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(d,) levels of the steps and (d * PACKED,) steps counted of points (KEPT, d)."""
    levels = _level(np.abs(points).max(axis=0) / POINT_STEPS)
    counted = np.rint(points / LEVELS[levels] + POINT_STEPS).astype(np.uint8)
    a, b, c, e = counted.T.reshape(4, -1)
    return levels, np.concatenate([a | b << 6, b >> 2 | c << 4, c >> 4 | e << 2])


def train(rows: Floats, suspect: Flags) -> Pool | None:
    """The habit that the rows teach, or None where there are too few.

    Args:
        rows: (rows, metrics) in time order, in each metric's unit; NaN where not known.
        suspect: (rows,) which to leave out.

    Source: principal axes with both statistics: J. E. Jackson and G. S. Mudholkar (1979), Control procedures for
    residuals associated with principal component analysis, Technometrics 21, 341-349; distance to the nearest of
    frozen rows: S. Ramaswamy et al. (2000), SIGMOD, as PyOD's KNN; EWMA of vectors: C. A. Lowry et al. (1992), A
    multivariate exponentially weighted moving average control chart, Technometrics 34, 46-53.
    """
    rows = rows[~suspect]
    n = rows.shape[0]
    if n < LEAST_ROWS:
        return None
    center, unit = _scaled(rows)
    scaled = np.nan_to_num(np.clip((rows - center) / unit, -CLIP, CLIP))
    axes = np.rint(AXIS_STEPS * np.linalg.eigh(np.atleast_2d(np.cov(_smoothed(scaled, AXES).T)))[1]).astype(np.int8)
    position = scaled @ (axes / AXIS_STEPS)
    smooth = [_smoothed(position, gain) for gain in GAINS]
    change = position - smooth[-1]
    levels = _level(
        np.stack([1.0 / (v.var(axis=0) + noise) for v, noise in zip((*smooth, change), NOISE, strict=True)])
    )
    teach = (np.arange(n) // BLOCK) % 2 == 0
    taught = np.flatnonzero(teach)
    kept = taught[np.linspace(0, taught.size - 1, KEPT).astype(np.int64)]  # evenly: no choice by chance was better
    near = [path[kept] * np.sqrt(LEVELS[level]) for path, level in zip(smooth, levels[:3], strict=True)]
    points = [_packed(each) for each in (*near, change[kept])]
    d = center.size
    habit = np.zeros(size(d), np.float32)
    habit[: 2 * d] = np.concatenate([center, unit])
    sizes, turned, counts = _packed_parts(habit, d)
    sizes[:] = np.concatenate([levels.ravel(), *(steps for steps, _ in points)])
    turned[:], counts[:] = axes.ravel(), np.concatenate([counted.ravel() for _, counted in points])
    stats = _statistics(rows, habit)
    habit[2 * d : _head(d)] = np.concatenate([_grid(stats[~teach, m]) for m in range(MEMBERS)])
    return habit


def _grid(stat: Floats) -> Floats:
    """(GRID + 1,) quantiles of a statistic and its mean excess over the last."""
    quantiles = np.quantile(stat, 1.0 - SHARES)
    over = stat[stat > quantiles[-1]] - quantiles[-1]
    excess = (PRIOR_WEIGHT * PRIOR_EXCESS * quantiles[-1] + over.sum()) / (PRIOR_WEIGHT + over.size)
    return np.append(quantiles, max(excess, 1e-9))


def aligned(ranges: Sequence[tuple[Integers, Floats]], *, limit: int = 4_000) -> tuple[Integers, Floats]:
    """Rows of a device from the stored samples of its series, each metric at its last value.

    Args:
        ranges: (t_ms, value) of each series, by time.
        limit: most rows; of more, evenly spaced ones are kept.

    Returns:
        (rows,) times and (rows, series) values; NaN before a series' first sample.
    """
    moments = np.unique(np.concatenate([t_ms for t_ms, _ in ranges])) if ranges else np.empty(0, np.int64)
    if moments.size > limit:
        moments = moments[np.linspace(0, moments.size - 1, limit).astype(np.int64)]
    rows = np.full((moments.size, len(ranges)), np.nan)
    for column, (t_ms, value) in enumerate(ranges):
        at = np.searchsorted(t_ms, moments, side="right") - 1
        rows[at >= 0, column] = value[at[at >= 0]]
    return moments, rows
