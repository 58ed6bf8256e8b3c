"""The habits of a fleet: which device has which, put to work, replaced and rolled back; and one loop over all of them.

A challenger replaces the champion only if it holds its own promise on rows that neither has learned from: it must not
call more of them rare than it should, and it must see planted faults at least as well as the champion does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.detect.detector import Samples
from gateway.detect.habit import MEMBERS, Pool, judge, size, train
from gateway.detect.surprise import Rows
from gateway.model import Flags, Floats, Integers

LEAST_METRICS = 2  # a device of one metric is judged by its series detectors alone
HELD_BACK = 0.2  # newest share of the rows, on which champion and challenger are compared
RARE = float(-np.log(0.001))
EXCUSED = 0.02  # share of held-back rows that a challenger may call rarer than one in a thousand
SETTLING = 250  # newest rows that a new habit is led through before it judges: five memories of the slowest mean
SEES = 0.9  # of the planted faults that the champion sees, the share that a challenger must see
PLANTED = 3.0  # units by which a planted fault moves one metric


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
        self.champion: dict[int, tuple[int, Integers, Pool]] = {}  # device: version, its series, the vector
        self.former: dict[int, tuple[int, Integers, Pool]] = {}
        self.motion: dict[int, Floats] = {}  # device: (5, d): as in `habit`, and the values last seen
        self._flat: tuple[Any, ...] | None = None

    def train(self, device: int, series: Integers, rows: Floats, suspect: Flags) -> Verdict:
        """Train a challenger for one device and let it replace the champion where it is no worse.

        Args:
            device: its number.
            series: (metrics,) series numbers of the columns.
            rows: (rows, metrics) in time order; NaN where not known.
            suspect: (rows,) that rules, episodes or outcomes put under suspicion.
        """
        held = self.champion.get(device)
        version = held[0] if held else 0
        if series.size < LEAST_METRICS:
            return Verdict(device=device, version=version, adopted=False, reason="too_few_rows")
        cut = rows.shape[0] if held is None else int(rows.shape[0] * (1.0 - HELD_BACK))
        vector = train(rows[:cut], suspect[:cut])
        if vector is None:
            return Verdict(device=device, version=version, adopted=False, reason="too_few_rows")
        reason = "first"
        if held is not None and np.array_equal(held[1], series):
            reason = _compare(held[2], vector, rows[cut:][~suspect[cut:]])
        if reason in {"first", "better"}:
            self._adopt(device, (version + 1, series.copy(), vector))
            _settle(rows[-SETTLING:], self.motion[device], vector)
        return Verdict(
            device=device, version=self._version(device), adopted=reason in {"first", "better"}, reason=reason
        )

    def roll_back(self, device: int) -> int:
        """Put the former habit of a device back to work; the version now at work, 0 where there is none."""
        former = self.former.pop(device, None)
        if former is None:
            self.champion.pop(device, None)
            self.motion.pop(device, None)
            self._flat = None
        else:
            self._adopt(device, former)
            self.former.pop(device, None)
        return self._version(device)

    def advance(self, rows: Rows, samples: Samples, devices: int, series_count: int) -> Floats:
        """(rows, MEMBERS) rarities of every row; NaN where the device has no habit."""
        if not self.champion:
            return np.full((rows.device.size, MEMBERS), np.nan)
        start, place, slot, pool, motion = self._flattened(devices, series_count)
        moments = (rows.device, rows.first)
        ordered = (slot[samples.series[rows.order]], samples.value[rows.order])
        found: Floats = _judge_rows(moments, ordered, (start, place), pool, motion)
        return found

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All that is remembered, as named arrays that are copies."""
        held: dict[str, NDArray[Any]] = {}
        for role, habits in (("champion", self.champion), ("former", self.former)):
            for device, (version, series, vector) in habits.items():
                held[f"{role}/{device}/series"] = np.append(version, series)
                held[f"{role}/{device}/vector"] = vector.copy()
        return held | {f"motion/{device}": motion.copy() for device, motion in self.motion.items()}

    @staticmethod
    def restore(held: dict[str, NDArray[Any]]) -> Habits:
        """The habits of a snapshot."""
        habits = Habits()
        for name, array in held.items():
            role, device = name.split("/")[:2]
            if role == "motion":
                habits.motion[int(device)] = array.copy()
            elif name.endswith("/series"):
                vector = held[f"{role}/{device}/vector"].copy()
                getattr(habits, role)[int(device)] = (int(array[0]), array[1:].copy(), vector)
        return habits

    def _version(self, device: int) -> int:
        return self.champion[device][0] if device in self.champion else 0

    def _adopt(self, device: int, habit: tuple[int, Integers, Pool]) -> None:
        if device in self.champion:
            self.former[device] = self.champion[device]
        self.champion[device] = habit
        self.motion[device] = np.full((5, habit[1].size), np.nan)
        self._flat = None

    def _flattened(self, devices: int, series_count: int) -> tuple[Any, ...]:
        flat = self._flat
        if flat is not None and flat[0].size >= devices and flat[2].size >= series_count:
            return flat
        start, place = np.full(devices, -1, np.int64), np.zeros((2, devices), np.int64)
        slot = np.full(series_count, -1, np.int64)
        pool = np.empty(sum(vector.size for _, _, vector in self.champion.values()), np.float32)
        motion = np.empty(sum(held.size for held in self.motion.values()))
        at = moved = 0
        for device, (_, series, vector) in self.champion.items():
            start[device], place[:, device] = at, (moved, series.size)
            pool[at : at + vector.size] = vector
            at += vector.size
            held = self.motion[device]
            motion[moved : moved + held.size] = held.ravel()
            self.motion[device] = motion[moved : moved + held.size].reshape(held.shape)  # a view: one owner
            moved += held.size
            slot[series] = np.arange(series.size)
        self._flat = (start, place, slot, pool, motion)
        return self._flat


def _compare(champion: Pool, challenger: Pool, rows: Floats) -> str:
    """`better`, `noisier` or `blinder`: how the challenger does on rows that it has not learned from."""
    if rows.shape[0] == 0:
        return "better"
    planted = rows.copy()
    d = rows.shape[1]
    planted[:, 0] += PLANTED * champion[d] * np.where(np.arange(rows.shape[0]) % 100 < 50, 1.0, 0.0)
    calm_old, calm_new = (_run(rows, vector).mean(axis=1) for vector in (champion, challenger))
    sick_old, sick_new = (_run(planted, vector).mean(axis=1) for vector in (champion, challenger))
    noise_old, noise_new = (calm_old > RARE).mean(), (calm_new > RARE).mean()
    if noise_new > max(EXCUSED, noise_old):
        return "noisier"
    return (
        "better" if noise_new < noise_old or (sick_new > RARE).mean() >= 0.9 * (sick_old > RARE).mean() else "blinder"
    )


@njit(cache=True)
def _settle(rows: Floats, motion: Floats, vector: Pool) -> None:
    """Lead the positions of a device through rows that were judged already, so that its habit does not start cold."""
    out = np.zeros(MEMBERS)
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            if not np.isnan(rows[i, j]):
                motion[4, j] = rows[i, j]
        judge(motion[4], motion[:4], vector, out)


@njit(cache=True)
def _run(rows: Floats, vector: Pool) -> Floats:
    """(rows, MEMBERS) rarities of rows in a row."""
    found = np.zeros((rows.shape[0], MEMBERS))
    motion = np.full((4, rows.shape[1]), np.nan)
    for i in range(rows.shape[0]):
        judge(rows[i], motion, vector, found[i])
    return found


@njit(cache=True)
def _judge_rows(
    moments: tuple[Integers, Integers],
    ordered: tuple[Integers, Floats],
    places: tuple[Integers, Integers],
    pool: Pool,
    motion: Floats,
) -> Floats:
    """Rarities of rows. moments: device and first sample of each; ordered: column and value of each sample by row."""
    (device, first), (column, value), (start, place) = moments, ordered, places
    found = np.full((device.size, MEMBERS), np.nan)
    for r in range(device.size):
        s = start[device[r]]
        if s < 0:
            continue
        at, d = place[0, device[r]], place[1, device[r]]
        own = motion[at : at + 5 * d].reshape(5, d)
        end = first[r + 1] if r + 1 < device.size else value.size
        for i in range(first[r], end):
            if column[i] >= 0:
                own[4, column[i]] = value[i]
        judge(own[4], own[:4], pool[s : s + size(d)], found[r])
    return found
