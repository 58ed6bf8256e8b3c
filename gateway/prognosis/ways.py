"""The ways of many series to one limit, kept as they go, and learned from where they end.

A series is kept as 48 buckets that double in width for as long as its way lasts, so that its beginning is never lost:
1.3 KB. It has reached the limit when three samples in a row are past it; its way is then one that others of the same
kind are compared with. When it comes back, because a part was replaced or the device was restarted, a new way begins.
What is learned changes only when `learn` is called, so an answer depends on its own series and on what was learned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.model import Floats, Integers
from gateway.prognosis import trend
from gateway.prognosis.passage import LEAST, Passage, PassageModel, begin, passed, train
from gateway.prognosis.time_left import TimeLeft
from gateway.prognosis.trend import BUCKETS, DAY_MS, Buckets

FOR_EVER_MS = 1 << 50
RUN = 3  # samples in a row, so that one wild value is no end and no beginning
MEDIAN = 3  # buckets whose median says where a way begins, and how far it has come
FEWEST = 6  # such medians without which a way says nothing
SURE = 4.0  # times the noise that a way must have gone to be one: one in 10,000 by chance
FAR, BACK = 0.25, 0.5  # who has gone a quarter of the way, and then is back before half of what was gone, begins anew
THERE, SHORT = 0.5, 0.01  # noises, and share of the way, by which a way may fall short where samples are past the limit
PACED = 4  # medians that the newest pace is taken over
STEP_NOISE = 1.05  # sd of noise over the median of its absolute differences; wild values count for little
MOST_UNITS = 24  # newest of a kind that are learned from
BORN, NEWEST, COUNT, SINCE, FATES = 0, 1, 2, 3, 4
"""What is known of a row: first sample of the way, -1 where there is none, and newest sample, ms; samples in a row that
are past the limit, or where the way has ended are back from it; when the first of them came; how many columns."""
AGE, GONE, BEGUN, NOISE, PACE, START, STAND = 0, 1, 2, 3, 4, 5, 6
"""Where a way stands: its age in days, the share gone, the age at which it began to go, the noise of the share, its
newest growth a day, the value it began with; how many columns."""


class State(NamedTuple):
    """All that is kept of the ways; arrays are advanced in place."""

    limit: float
    sign: float  # 1 where it is reached from below
    kept: Buckets
    fates: Integers  # (rows, FATES)
    stand: Floats  # (rows, STAND)


@dataclass(frozen=True, slots=True)
class Ended:
    """A unit that reached the limit."""

    kind: str
    passage: Passage


class Ways:
    """Ways to one limit. Rows are numbered by the caller, who knows of what kind each is."""

    def __init__(self, limit: float, direction: str) -> None:
        sign, kept = 1.0 if direction == "rising" else -1.0, trend.unfilled(np.empty(0, np.int64))
        self.models: dict[str, PassageModel] = {}
        self._state = State(limit, sign, kept, np.empty((0, FATES), np.int64), np.empty((0, STAND)))
        self._taught: tuple[Ended, ...] = ()
        self._fresh: tuple[Ended, ...] = ()

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self._state.fates)

    def grow(self, rows: int) -> None:
        """Have so many rows."""
        state = self._state
        more = rows - len(state.fates)
        self._state = state._replace(
            kept=trend.joined(state.kept, trend.unfilled(np.full(more, FOR_EVER_MS))),
            fates=np.concatenate([state.fates, np.tile(np.array([-1, -1, 0, 0]), (more, 1))]),
            stand=np.concatenate([state.stand, np.full((more, STAND), np.nan)]),
        )

    def advance(self, row: Integers, t_ms: Integers, value: Floats, kinds: Sequence[str]) -> Integers:
        """Take (samples,) in time order of each row; late ones are left out. `kinds` are those of the rows.

        Returns:
            (ends, 2) row and time (ms) of each limit that was reached.
        """
        ends, begin, ended = [], 0, True
        while ended:
            begin, ended = _follow(begin, row, t_ms, value, self._state)
            if ended:
                r = int(row[begin - 1])
                ends.append((r, int(self._state.fates[r, SINCE])))
                self._end(r, kinds[r])
        return np.array(ends, np.int64).reshape(-1, 2)

    @property
    def waiting(self) -> int:
        """How many ways have ended since the last that were learned from."""
        return len(self._fresh)

    def learn(self) -> None:
        """Learn from the ways that have ended by now."""
        self._taught, self._fresh = _newest((*self._taught, *self._fresh)), ()
        by_kind: dict[str, list[Passage]] = {}
        for unit in self._taught:
            by_kind.setdefault(unit.kind, []).append(unit.passage)
        models = {kind: train(passages) for kind, passages in by_kind.items()}
        self.models = {kind: model for kind, model in models.items() if model}

    def left(self, row: Integers, kinds: Sequence[str], now_ms: int) -> TimeLeft:
        """(rows,) days to the limit; NaN where others of the kind tell nothing. `kinds` are those of these rows."""
        stand, elapsed = self._state.stand[row], self._elapsed(row, now_ms)
        with np.errstate(invalid="ignore"):
            goes = stand[:, GONE] >= np.maximum(LEAST, SURE * stand[:, NOISE])
        out = TimeLeft(*(np.full(row.size, np.nan) for _ in range(3)))
        going = np.array([kind if goes[i] else "" for i, kind in enumerate(kinds)], np.str_)
        for kind, model in self.models.items():
            mine = np.flatnonzero(goes & (going == kind))
            told = model.predict(*stand[mine, : BEGUN + 1].T)
            late = ~(told.high > elapsed[mine])  # it has outlived them: unlike them, after all
            for into, days in ((out.median, told.median), (out.low, told.low), (out.high, told.high)):
                into[mine] = np.where(late, np.nan, np.maximum(days - elapsed[mine], 0.0))
        return out

    def took(self, row: int, kind: str, now_ms: int) -> tuple[int, float, float]:
        """How many others there were, and least and most days that they had left from where `row` is."""
        model, elapsed = self.models[kind], self._elapsed(np.array([row]), now_ms)[0]
        least, most = model.took(float(self._state.stand[row, GONE]))
        return model.units, max(least - elapsed, 0.0), max(most - elapsed, 0.0)

    def born(self, row: Integers) -> Integers:
        """(rows,) when each way began, ms; -1 where there is none."""
        return np.asarray(self._state.fates[row, BORN])

    def grain(self, row: Integers) -> Floats:
        """(rows,) days by which the time at which a way ends is uncertain: its course is a median of buckets."""
        return np.asarray(MEDIAN / 2.0 * self._state.kept.width[row] / DAY_MS)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All state as arrays; `restore` goes on from them exactly."""
        ended = (*self._taught, *self._fresh)
        return {
            **self._state.kept._asdict(), "fates": self._state.fates, "stand": self._state.stand,
            "limit": np.array([self._state.limit, self._state.sign, len(self._taught)]),
            "ended_kind": np.array([unit.kind for unit in ended], np.str_),
            "ended_age": np.array([unit.passage.age for unit in ended]),
            "ended_at": np.array([(unit.passage.begun, unit.passage.end) for unit in ended]),
        }  # fmt: skip

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> bool:
        """Go on from a snapshot, where it was of the same limit; whether it was."""
        limit, sign, taught = snapshot["limit"].tolist()
        if (limit, sign) != self._state[:2]:
            return False
        kept = Buckets(**{name: np.array(snapshot[name]) for name in Buckets._fields})
        self._state = State(limit, sign, kept, np.array(snapshot["fates"]), np.array(snapshot["stand"]))
        columns = zip(snapshot["ended_kind"], snapshot["ended_age"], snapshot["ended_at"], strict=True)
        ended = tuple(Ended(str(kind), Passage(np.array(age), *at.tolist())) for kind, age, at in columns)
        self._fresh = ended[: int(taught)]
        self.learn()
        self._fresh = ended[int(taught) :]
        return True

    def _elapsed(self, row: Integers, now_ms: int) -> Floats:
        """(rows,) days since each stood where it is known to have stood."""
        return np.asarray((now_ms - self._state.fates[row, BORN]) / DAY_MS - self._state.stand[row, AGE])

    def _end(self, row: int, kind: str) -> None:
        """Keep the way of a row that has ended; the next begins when it comes back."""
        age, gone = np.empty(BUCKETS), np.empty(BUCKETS)
        count = _course(row, self._state, age, gone)
        end = float(self._state.fates[row, SINCE] - self._state.fates[row, BORN]) / DAY_MS
        if count >= FEWEST:
            there = age[:count] < end
            way = passed(np.append(age[:count][there], end), np.append(gone[:count][there], 1.0))
            self._fresh = _newest((*self._fresh, Ended(kind, way)))
        _clear(row, self._state.kept)
        self._state.fates[row, BORN], self._state.fates[row, COUNT] = -1, 0
        self._state.stand[row, :START] = np.nan


def _newest(ended: Sequence[Ended]) -> tuple[Ended, ...]:
    """Of each kind as many as are learned from."""
    more = Counter(unit.kind for unit in ended)
    kept = []
    for unit in ended:
        more[unit.kind] -= 1
        if more[unit.kind] < MOST_UNITS:
            kept.append(unit)
    return tuple(kept)


@njit(cache=True)
def _follow(begin: int, row: Integers, t_ms: Integers, value: Floats, state: State) -> tuple[int, bool]:
    """Take samples from `begin` on up to the next that ends a way; the number after it, and whether there was one."""
    limit, sign = state.limit, state.sign
    for i in range(begin, row.size):
        r, t, v = row[i], t_ms[i], value[i]
        fate, start = state.fates[r], state.stand[r, START]
        if t <= fate[NEWEST] or np.isnan(v):
            continue
        fate[NEWEST] = t
        past = sign * (v - limit) >= 0.0
        if fate[BORN] < 0:
            back = not past if np.isnan(start) else sign * (v - start) < BACK * sign * (limit - start)
            fate[COUNT] = fate[COUNT] + 1 if back else 0
            if fate[COUNT] < (1 if np.isnan(start) else RUN):
                continue
            fate[BORN], fate[COUNT] = t, 0
        elif past:
            if fate[COUNT] == 0:
                fate[SINCE] = t
            fate[COUNT] += 1
            if fate[COUNT] == RUN:
                if _is_there(r, state):
                    return i + 1, True
                fate[COUNT] = 0
        else:
            fate[COUNT] = 0
        if trend.put(r, t, v, state.kept):
            _weigh(r, state)
    return row.size, False


@njit(cache=True)
def _is_there(r: int, state: State) -> bool:
    """Whether samples past the limit are where the way of row `r` has come to, or only its noise."""
    stand = state.stand[r]
    ahead = (state.fates[r, SINCE] - state.fates[r, BORN]) / DAY_MS - stand[AGE]
    return not stand[GONE] + max(stand[PACE], 0.0) * ahead + THERE * stand[NOISE] < 1.0 - SHORT


@njit(cache=True)
def _weigh(r: int, state: State) -> None:
    """See where the way of row `r` stands after a bucket was closed; where it is back, begin anew."""
    age, gone, stand = np.empty(BUCKETS), np.empty(BUCKETS), state.stand[r]
    n = _course(r, state, age, gone)
    stand[:START] = np.nan
    if n < FEWEST:
        return
    far = gone[:n].max()
    if far >= FAR and gone[n - 1] <= BACK * far:
        _begin_anew(r, state)
        return
    x, y, phase = np.empty(BUCKETS), np.empty(BUCKETS), np.empty(BUCKETS, np.int64)
    m = trend.points(state.kept, r, x, y, phase)
    stand[AGE], stand[GONE], stand[BEGUN] = age[n - 1], far, age[begin(gone[:n])]
    back = max(n - 1 - PACED, 0)
    stand[PACE] = (gone[n - 1] - gone[back]) / max(age[n - 1] - age[back], 1e-9)
    stand[START] = np.median(y[:MEDIAN])
    stand[NOISE] = STEP_NOISE * np.median(np.abs(np.diff(y[:m]))) / abs(state.limit - stand[START])


@njit(cache=True)
def _course(r: int, state: State, age: Floats, gone: Floats) -> int:
    """Write ages (days) and shares gone of row `r`, from closed buckets; how many there are."""
    x, y, phase = np.empty(BUCKETS), np.empty(BUCKETS), np.empty(BUCKETS, np.int64)
    m = trend.points(state.kept, r, x, y, phase)
    if m < MEDIAN:
        return 0
    start, born = np.median(y[:MEDIAN]), (state.fates[r, BORN] - state.kept.origin[r]) / DAY_MS
    if state.sign * (state.limit - start) <= 0.0:
        return 0
    for i in range(MEDIAN - 1, m):
        now = np.median(y[i - MEDIAN + 1 : i + 1])
        age[i - MEDIAN + 1] = x[i - MEDIAN // 2] - born
        gone[i - MEDIAN + 1] = (start - now) / (start - state.limit)
    return int(m - MEDIAN + 1)


@njit(cache=True)
def _begin_anew(r: int, state: State) -> None:
    """Forget all but the newest buckets of row `r`, by which it was seen to be back."""
    kept, when, value = state.kept, np.empty(MEDIAN), np.empty(MEDIAN)
    found, k = 0, BUCKETS - 1
    while found < MEDIAN and k >= 0:
        if kept.samples[r, k] > 0.0:
            when[found] = kept.origin[r] + kept.when[r, k] / kept.samples[r, k]
            value[found] = kept.total[r, k] / kept.samples[r, k]
            found += 1
        k -= 1
    _clear(r, kept)
    state.fates[r, BORN] = np.int64(when[found - 1])
    for i in range(found - 1, -1, -1):
        trend.put(r, np.int64(when[i]), value[i], kept)


@njit(cache=True)
def _clear(r: int, kept: Buckets) -> None:
    kept.samples[r], kept.total[r], kept.when[r] = 0.0, 0.0, 0.0
    kept.origin[r], kept.width[r] = -1, trend.FIRST_WIDTH_MS
