"""The habits of a fleet: which device has which, put to work, replaced and rolled back; and one loop over all of them.

The vectors of all habits at work lie in one pool, and so do the moving positions of their devices; what a `Habit` and
`motion` hold are views of these, so that nothing is kept twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.detect.detector import Samples
from gateway.detect.habit import MEMBERS, Pool, judge, size
from gateway.detect.lesson import Challenger, Habit, challenge
from gateway.detect.surprise import Rows
from gateway.model import Flags, Floats, Integers

SETTLING = 250  # newest rows that a new habit is led through before it judges: five memories of the slowest mean
LAST = 4  # row of a device's motion that holds the values last seen; those before are as in `habit`

JUDGED = np.dtype([("step", np.int64), ("members", np.float32, (MEMBERS,))])
"""The step of event time that was judged last, and what came of it."""

PLACE = np.dtype([*((name, np.int64) for name in ("vector", "motion", "metrics", "step_ms")), ("temper", np.float64)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a training."""

    device: int
    version: int  # of the habit that is at work now; 0: none
    adopted: bool
    reason: str  # `first`, `better`, `too_few_rows`, `noisier`, `blinder`


class Habits:
    """Habits by device number, with the moving positions of each device."""

    def __init__(self) -> None:
        self.champion: dict[int, Habit] = {}
        self.former: dict[int, Habit] = {}
        self.motion: dict[int, Pool] = {}  # device: (LAST + 1, d)
        self.judged: dict[int, NDArray[Any]] = {}  # device: () of JUDGED
        self._flat: tuple[Any, ...] | None = None

    def train(self, device: int, series: Integers, rows: Floats, suspect: Flags, *, step_ms: int = 0) -> Verdict:
        """Train a challenger for one device and let it replace the champion where it is no worse; see `challenge`."""
        told = challenge(self.champion.get(device), series, rows, suspect, step_ms=step_ms)
        return self.adopt(device, told, rows[-SETTLING:])

    def adopt(self, device: int, told: Challenger, newest: Floats) -> Verdict:
        """Put what came of a lesson to work. newest: (rows, metrics) the newest rows of the device."""
        if told.habit is not None:
            if device in self.champion:
                held = self.champion[device]
                self.former[device] = replace(held, vector=held.vector.copy())  # the pool it lay in is let go
            self._put_to_work(device, told.habit)
            _settle(newest, self.motion[device], told.habit.vector)
        return Verdict(device=device, version=self._version(device), adopted=told.habit is not None, reason=told.reason)

    def roll_back(self, device: int) -> int:
        """Put the former habit of a device back to work; the version now at work, 0 where there is none."""
        former = self.former.pop(device, None)
        if former is None:
            for held in (self.champion, self.motion, self.judged):
                held.pop(device, None)
            self._flat = None
        else:
            self._put_to_work(device, former)
        return self._version(device)

    def advance(self, rows: Rows, samples: Samples, devices: int, series_count: int) -> Floats:
        """(rows, MEMBERS) rarities of every row, of a row between two steps those of the last; NaN without a habit."""
        if not self.champion:
            return np.full((rows.device.size, MEMBERS), np.nan)
        of, place, slot, pool, motion, judged = self._flattened(devices, series_count)
        moments = (rows.device, rows.t_ms, rows.first)
        ordered = (slot[samples.series[rows.order]], samples.value[rows.order])
        found: Floats = _judge_rows(moments, ordered, (of, place), pool, (motion, judged))
        return found

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All that is remembered, as a handful of named arrays that are copies."""
        held: dict[str, NDArray[Any]] = {}
        for role, habits in (("champion", self.champion), ("former", self.former)):
            known = habits.values()
            about = [(device, h.version, h.series.size, h.step_ms) for device, h in habits.items()]
            held[f"{role}/about"] = np.array(about, np.int64).reshape(-1, 4)
            held[f"{role}/temper"] = np.array([h.temper for h in known])
            held[f"{role}/series"] = _joined([h.series for h in known], np.int32)
            held[f"{role}/vector"] = _joined([h.vector for h in known], np.float32)
        held["motion"] = _joined([self.motion[device] for device in self.champion], np.float32)
        held["judged"] = np.array([self.judged[device] for device in self.champion], JUDGED)
        return held

    @staticmethod
    def restore(held: dict[str, NDArray[Any]]) -> Habits:
        """The habits of a snapshot."""
        habits = Habits()
        for role, mine in (("champion", habits.champion), ("former", habits.former)):
            series, vector = held[f"{role}/series"].astype(np.int64), held[f"{role}/vector"]
            if vector.size != sum(size(d) for d in held[f"{role}/about"][:, 2].tolist()):  # of an older layout
                return Habits()
            at = read = 0
            about = zip(held[f"{role}/about"].tolist(), held[f"{role}/temper"].tolist(), strict=True)
            for (device, version, d, step_ms), temper in about:
                end = read + size(d)
                mine[device] = Habit(
                    version=version, series=series[at : at + d], vector=vector[read:end].copy(), step_ms=step_ms,
                    temper=temper,
                )  # fmt: skip
                at, read = at + d, end
        moved = 0
        for n, (device, habit) in enumerate(habits.champion.items()):
            end = moved + (LAST + 1) * habit.series.size
            habits.motion[device] = held["motion"][moved:end].reshape(LAST + 1, -1).copy()
            habits.judged[device] = held["judged"][n : n + 1].copy().reshape(())
            moved = end
        return habits

    def _version(self, device: int) -> int:
        return self.champion[device].version if device in self.champion else 0

    def _put_to_work(self, device: int, habit: Habit) -> None:
        self.champion[device] = habit
        self.motion[device] = np.full((LAST + 1, habit.series.size), np.nan, np.float32)
        self.judged[device] = np.array((-1, [np.nan] * MEMBERS), JUDGED)
        self._flat = None

    def _flattened(self, devices: int, series_count: int) -> tuple[Any, ...]:
        flat = self._flat
        if flat is not None and flat[0].size >= devices and flat[2].size >= series_count:
            return flat
        of, slot = np.full(devices, -1, np.int32), np.full(series_count, -1, np.int32)
        place = np.zeros(len(self.champion), PLACE)
        judged = np.array([self.judged[device] for device in self.champion], JUDGED)
        pool = _joined([habit.vector for habit in self.champion.values()], np.float32)
        motion = _joined([self.motion[device] for device in self.champion], np.float32)
        at = moved = 0
        for n, (device, habit) in enumerate(self.champion.items()):
            length, d = habit.vector.size, habit.series.size
            of[device], place[n] = n, (at, moved, d, habit.step_ms, habit.temper)
            slot[habit.series] = np.arange(d)
            self.champion[device] = replace(habit, vector=pool[at : at + length])
            self.motion[device] = motion[moved : moved + (LAST + 1) * d].reshape(LAST + 1, d)
            self.judged[device] = judged[n : n + 1].reshape(())
            at, moved = at + length, moved + (LAST + 1) * d
        self._flat = (of, place, slot, pool, motion, judged)
        return self._flat


def _joined(parts: list[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *(part.ravel() for part in parts)], dtype=dtype, casting="same_kind")


@njit(cache=True, nogil=True)
def _settle(rows: Floats, motion: Pool, vector: Pool) -> None:
    """Lead the positions of a device through rows that were judged already, so that its habit does not start cold."""
    out = np.zeros(MEMBERS)
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            if not np.isnan(rows[i, j]):
                motion[LAST, j] = rows[i, j]
        judge(motion[LAST], motion[:LAST], vector, out)


@njit(cache=True, nogil=True)
def _judge_rows(
    moments: tuple[Integers, Integers, Integers],
    ordered: tuple[Integers, Floats],
    places: tuple[Integers, NDArray[Any]],
    pool: Pool,
    memory: tuple[Pool, NDArray[Any]],
) -> Floats:
    """Rarities of rows.

    moments: device, time and first sample of each; ordered: column and value of each sample by row.
    """
    (device, t_ms, first), (column, value), (of, place), (motion, judged) = moments, ordered, places, memory
    found = np.full((device.size, MEMBERS), np.nan)
    for r in range(device.size):
        n = of[device[r]]
        if n < 0:
            continue
        p, last = place[n], judged[n]
        d = p.metrics
        own = motion[p.motion : p.motion + (LAST + 1) * d].reshape(LAST + 1, d)
        end = first[r + 1] if r + 1 < device.size else value.size
        for i in range(first[r], end):
            if column[i] >= 0:
                own[LAST, column[i]] = value[i]
        step = t_ms[r] // p.step_ms if p.step_ms > 0 else last.step + 1
        if step > last.step:
            judge(own[LAST], own[:LAST], pool[p.vector : p.vector + size(d)], found[r])
            last.step = step
            for m in range(MEMBERS):
                last.members[m] = found[r, m] / p.temper
        for m in range(MEMBERS):
            found[r, m] = last.members[m]
    return found
