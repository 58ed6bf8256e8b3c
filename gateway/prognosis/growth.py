"""How fast most amplitudes of a device grow against its own recent past: a sign of the end that needs no failed unit.

A crack or a spall is felt in most quantities at once, a disturbance in few; hence the mean of lower quartile and median
over them. What a young unit does counts for less: running in looks like wear. It is meant for machines that run
steadily: one that is switched on and off shows that first of all.

Live the values of a series are averaged over steps, of which the horizon has as many as the recordings had that the
method was measured on (bearings: an hour of snapshots every 10 s).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.model import Block, Floats, Integers, Roster

SPIKE_ROWS = 5  # whose median is taken first, so that a knock or two is no growth
MEMORY = 6.0  # parts of the horizon in which the own past fades to half; 3 and 4 warn of fewer bearings (2026-11)
MOST = (0.25, 0.5)  # the median alone warns of one bearing fewer, with the upper quartile of three fewer (2026-11)
STEPS = 360  # in a horizon
FEWEST = 4  # amplitudes of a device of which it can be said that most grow
AMPLITUDES = ("_meters_per_second_squared", "_amperes")
"""How metrics end that grow with wear: vibration, band by band where a device gives bands, and current."""
STALE_STEPS = 24  # without a sample, after which a series says nothing
RING, T, FIRST, PAST, WEIGHT, GROWN, OPEN, SUM, COUNT, STATE = 0, 5, 6, 7, 8, 9, 10, 11, 12, 13
"""Columns of a series: the newest logarithms, time of the newest and of the first, fading sum and weight of the past,
growth; start, sum and count of the step that is open. And how many columns."""
SCORE = 0.44  # growth that scores 1.0: at it six of eight bearings were warned of, and none too soon (2026-11)


class Samples(NamedTuple):
    """What came in, by time within each series."""

    series: Integers  # (samples,)
    t: Floats
    value: Floats


def shared_growth(unit: Integers, age: Floats, value: Floats, *, horizon: float) -> Floats:
    """(rows,) growth that half to three quarters of the metrics share, as a natural logarithm, as known at that row.

    Args:
        unit: (rows,) each unit's rows together and in time order.
        age: (rows,) from the unit's start.
        value: (rows, metrics) amplitudes or energies; above nought.
        horizon: how far ahead a warning is of use, in the unit of age; a unit younger than that is heard half or less.

    Sources: running medians against spikes, J. W. Tukey (1977), Exploratory Data Analysis, ch. 7; what is compared with
    is an exponential mean, S. W. Roberts (1959), Technometrics 1, 239-250.
    """
    rows, metrics = value.shape
    series = (np.unique(unit, return_inverse=True)[1][:, None] * metrics + np.arange(metrics)).ravel()
    grown, state = np.empty(series.size), _unheard(int(series.max(initial=-1)) + 1)
    _advance(Samples(series, np.repeat(age, metrics), value.ravel()), MEMORY / horizon, 0.0, state, grown)
    return _shared(np.repeat(np.arange(rows), metrics), grown, rows) * age / (age + horizon)


class Growth:
    """Growth of the amplitudes of a fleet's devices."""

    def __init__(self, horizon_ms: int) -> None:
        self.horizon_ms = horizon_ms
        self._row_of = np.empty(0, np.int64)  # (series,) row, or -1
        self._device = np.empty(0, np.int64)  # (rows,)
        self._state = _unheard(0)

    def advance(self, block: Block, roster: Roster) -> None:
        """Take one block in; late samples are left out."""
        self._grow(roster)
        row = self._row_of[block.series]
        mine = np.flatnonzero((row >= 0) & ~block.late)
        if mine.size:
            samples = Samples(row[mine], block.t_ms[mine].astype(np.float64), block.value[mine])
            _advance(samples, MEMORY / self.horizon_ms, self._step_ms, self._state, np.empty(mine.size))

    def score(self, devices: int, now_ms: int) -> Floats:
        """(devices,) growth that most amplitudes share over what is no chance; NaN where a device has too few."""
        state = self._state
        heard = np.flatnonzero(np.isfinite(state[:, GROWN]) & (now_ms - state[:, T] <= STALE_STEPS * self._step_ms))
        device = self._device[heard]
        out = np.where(np.bincount(device, minlength=devices) >= FEWEST, 0.0, np.nan)
        first, last = np.full(devices, np.inf), np.zeros(devices)
        np.minimum.at(first, device, state[heard, FIRST])
        np.maximum.at(last, device, state[heard, T])
        age = np.maximum(last - first, 0.0)
        return np.asarray(out + _shared(device, state[heard, GROWN], devices) / SCORE * age / (age + self.horizon_ms))

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All state as arrays; `restore` goes on from them exactly."""
        return {"row_of": self._row_of, "device": self._device, "state": self._state}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a snapshot."""
        self._row_of, self._device, self._state = (np.array(snapshot[name]) for name in ("row_of", "device", "state"))

    @property
    def _step_ms(self) -> float:
        return self.horizon_ms / STEPS

    def _grow(self, roster: Roster) -> None:
        """Begin rows for the amplitudes among the series that came since the last block."""
        told = np.array([name.endswith(AMPLITUDES) for name in roster.metrics], np.bool_)
        fresh = np.arange(self._row_of.size, roster.series_count)
        mine = told[roster.series_metric[fresh]] if fresh.size else np.empty(0, np.bool_)
        row = np.full(fresh.size, -1, np.int64)
        row[mine] = self._device.size + np.arange(int(mine.sum()))
        self._row_of = np.concatenate([self._row_of, row])
        self._device = np.concatenate([self._device, roster.series_device[fresh[mine]]])
        self._state = np.concatenate([self._state, _unheard(int(mine.sum()))])


def _unheard(rows: int) -> Floats:
    state = np.full((rows, STATE), np.nan)
    state[:, [PAST, WEIGHT, SUM, COUNT]] = 0.0
    return state


@njit(cache=True)
def _advance(samples: Samples, memory: float, step: float, state: Floats, grown: Floats) -> None:
    """Take samples in; write to (samples,) `grown` what is known of its series then.

    `memory` is how many half-lives pass in a unit of time; `step` 0 says that each sample is a step.
    """
    series, t, value = samples
    for i in range(series.size):
        s = state[series[i]]
        if step <= 0.0:
            _take(s, t[i], value[i], memory)
        else:
            begin = np.floor(t[i] / step) * step
            if begin > s[OPEN] and s[COUNT] > 0.0:
                _take(s, s[OPEN] + step, s[SUM] / s[COUNT], memory)
                s[SUM], s[COUNT] = 0.0, 0.0
            if s[COUNT] == 0.0 or begin == s[OPEN]:
                s[OPEN] = begin
                s[SUM] += value[i]
                s[COUNT] += 1.0
        grown[i] = s[GROWN]


@njit(cache=True)
def _take(s: Floats, t: float, value: float, memory: float) -> None:
    """Put one value into the state of its series; a value that is no amplitude is passed over."""
    if not value > 0.0:
        return
    v = np.log(value)
    if np.isnan(s[T]):
        s[RING : RING + SPIKE_ROWS], s[FIRST], s[T] = v, t, t
    keep = 0.5 ** (memory * (t - s[T]))
    s[RING : RING + SPIKE_ROWS - 1] = s[RING + 1 : RING + SPIKE_ROWS].copy()
    s[RING + SPIKE_ROWS - 1], s[T] = v, t
    calm = np.median(s[RING : RING + SPIKE_ROWS])
    s[PAST], s[WEIGHT] = keep * s[PAST] + calm, keep * s[WEIGHT] + 1.0
    s[GROWN] = calm - s[PAST] / s[WEIGHT]


def _shared(owner: Integers, grown: Floats, owners: int) -> Floats:
    """(owners,) mean of the quantiles `MOST` over the values of each; 0 where it has none."""
    order = np.lexsort((grown, owner))
    value, count = grown[order], np.bincount(owner, minlength=owners)
    first, some = np.cumsum(count) - count, np.flatnonzero(count)
    out = np.zeros(owners)
    for share in MOST:
        place = share * (count[some] - 1)
        below = place.astype(np.int64)
        low, high = (value[first[some] + np.minimum(k, count[some] - 1)] for k in (below, below + 1))
        out[some] += (low + (place - below) * (high - low)) / len(MOST)
    return out
