"""Feature rows of the past, kept to learn from within a bound.

What came before a failure is kept longest, then what is too young to be told from it, then what shows wear. Of the rest
every second row is forgotten whenever room is short, and one that stays stands for those that went, so that shares and
probabilities learned from what is kept are those of all that was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.model import Flags, Floats, Integers
from gateway.prognosis.features import Rows
from gateway.prognosis.remaining import Past
from gateway.prognosis.risk import FIRST_LABELS

ROOM = 400_000  # rows: 180 MB with 110 features; 43,625 disks that report changes fill a third in a month
FREED = 0.1  # of the room, so that it is short only now and then
NAMED = 0.9  # of the failures, from which on parts are told apart
DEVICE, T_MS, HELD, STANDS, WORN = 0, 1, 2, 3, 4
"""What is known of a row: whose, when, the time it speaks for, how many rows it stands for, whether it shows wear."""
DEARER = 3  # halvings of plain rows before one of worn ones, of those before young ones, of those before failing ones


class Kept:
    """Rows by time, and failures. All arrays that are given out are copies or must not outlive the next `keep`."""

    EVENTS = ("failures", "causes", "departures")  # of a snapshot, which hold for any horizon

    def __init__(self, horizon_ms: int, *, room: int = ROOM) -> None:
        self.horizon_ms, self.room = horizon_ms, room
        self.count = 0
        self.failures = np.empty((0, 2), np.int64)  # device, time
        self.causes = np.empty(0, np.str_)  # (failures,) what failed; "" where unknown
        self.departures = np.empty((0, 2), np.int64)  # device, time
        self._rows: Rows = np.empty((0, 0), np.float32)  # (room, features); the first `count` are kept
        self._about = np.empty((0, 5))  # (room, 5) floats hold milliseconds exactly for 280,000 years

    @property
    def rows(self) -> Rows:
        """(rows, features)."""
        return self._rows[: self.count]

    @property
    def device(self) -> Integers:
        """(rows,) device numbers."""
        return self._about[: self.count, DEVICE].astype(np.int64)

    @property
    def t_ms(self) -> Integers:
        """(rows,) when each was looked at."""
        return self._about[: self.count, T_MS].astype(np.int64)

    @property
    def held(self) -> Floats:
        """(rows,) the time that each speaks for, as `keep` was told."""
        return self._about[: self.count, HELD]

    @property
    def stands(self) -> Floats:
        """(rows,) how many rows each stands for."""
        return self._about[: self.count, STANDS]

    def keep(self, device: Integers, now_ms: int, rows: Rows, held: Floats, worn: Flags) -> None:
        """Take in (looks, features) rows of one moment; columns are only ever added, at the end."""
        first, end = self.count, self.count + device.size
        self._grow(end, rows.shape[1])
        self._rows[first:end] = rows
        self._about[first:end] = np.stack([device, np.full(device.size, now_ms), held, np.ones(device.size), worn], 1)
        self.count = end
        if end > self.room:
            self._thin()

    def failed(self, device: Integers, t_ms: Integers, causes: Sequence[str] = ()) -> None:
        """Learn of (failures,) failures; no causes: unknown."""
        self.failures = np.concatenate([self.failures, np.stack([device, t_ms], 1).astype(np.int64)])
        self.causes = np.append(self.causes, np.array(causes or ("",) * device.size, np.str_))

    def taken_back(self, device: int, t_ms: int) -> None:
        """Learn that one failure was none."""
        stays = (self.failures != [device, t_ms]).any(axis=1)
        self.failures, self.causes = self.failures[stays], self.causes[stays]

    def gone(self, device: Integers, t_ms: Integers) -> None:
        """Learn of (departures,) devices that were taken out of service."""
        self.departures = np.concatenate([self.departures, np.stack([device, t_ms], 1).astype(np.int64)])

    def decided(self, now_ms: int) -> Flags:
        """(rows,) of which it is known by now whether a failure followed.

        The device was there until the horizon ran out, or failed before it left.
        """
        left, there = self.left_ms(), _until(self.departures, self.device, self.t_ms)
        return (self.t_ms + self.horizon_ms <= now_ms) & ((there > self.horizon_ms) | (left <= there))

    def left_ms(self, cause: str | None = None) -> Floats:
        """(rows,) from each row to the next known failure of its device, of one cause or any; inf where none is."""
        told = self.failures if cause is None else self.failures[self.causes == cause]
        return _until(told, self.device, self.t_ms)

    def past(self, only: Integers | None = None) -> Past:
        """A copy of all rows, or of those of some devices."""
        mine = slice(None) if only is None else np.flatnonzero(np.isin(self._about[: self.count, DEVICE], only))
        device, t_ms = (self._about[: self.count, of][mine].astype(np.int64) for of in (DEVICE, T_MS))
        return Past(device, t_ms, _until(self.failures, device, t_ms), np.array(self.rows[mine]))

    def sample(self, most: int) -> Rows:
        """(most, features) rows at most, spread evenly over all that they stand for."""
        if self.count <= most:
            return self.rows.copy()
        mass = np.cumsum(self.stands)
        drawn = np.searchsorted(mass, mass[-1] * (np.arange(most) + 0.5) / most)
        return np.asarray(self.rows[drawn])

    def parts(self, replaced: Sequence[str]) -> tuple[str, ...]:
        """The parts that failures are told apart by: those of `replaced` that failed often enough, two at least.

        Other causes, as most of tickets, say what was seen; where many failures name no part, none stands for all.
        """
        causes, count = np.unique(self.causes, return_counts=True)
        often = (count >= FIRST_LABELS) & np.isin(causes, replaced)
        told = often.sum() > 1 and count[often].sum() >= NAMED * count.sum()
        return tuple(causes[often].tolist()) if told else ()

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """What `restore` takes."""
        return {
            "kept_rows": self.rows, "kept_about": self._about[: self.count], "failures": self.failures,
            "causes": self.causes, "departures": self.departures,
        }  # fmt: skip

    @classmethod
    def restore(cls, snapshot: dict[str, NDArray[Any]], horizon_ms: int) -> Kept:
        """What a snapshot held; a snapshot of an older version has failures alone."""
        new = cls(horizon_ms)
        new.failures = np.array(snapshot["failures"])
        new.causes = np.array(snapshot.get("causes", np.full(len(new.failures), "")), np.str_)
        if "kept_rows" in snapshot:
            new._rows, new._about = np.array(snapshot["kept_rows"]), np.array(snapshot["kept_about"])
            new.count = len(new._rows)
        if "departures" in snapshot:
            new.departures = np.array(snapshot["departures"])
        return new

    def _grow(self, count: int, width: int) -> None:
        most, known = self._rows.shape
        if count > most or width > known:
            most = max(count, most + most // 2) if count > most else most
            rows, about = np.full((most, width), np.nan, np.float32), np.empty((most, 5))
            rows[: self.count, :known], about[: self.count] = self.rows, self._about[: self.count]
            self._rows, self._about = rows, about

    def _thin(self) -> None:
        """Forget every second of the cheapest rows until there is room again.

        Source: what stays is weighted by the inverse of its chance to stay, D. G. Horvitz and D. J. Thompson (1952), A
        generalization of sampling without replacement, Journal of the American Statistical Association 47, 663-685.
        """
        about, left = self._about[: self.count], self.left_ms()
        young = about[:, T_MS] + self.horizon_ms > about[-1, T_MS]
        kinds = [left <= self.horizon_ms, young, about[:, WORN] > 0.0]
        price = np.select(kinds, [3 * DEARER, 2 * DEARER, DEARER], 0) + np.log2(about[:, STANDS])
        stays = np.ones(self.count, np.bool_)
        while stays.sum() > (1.0 - FREED) * self.room:
            cheapest = np.flatnonzero(stays & (price == price[stays].min()))
            stays[cheapest[1::2]] = False
            about[cheapest, STANDS] *= 2.0
            price[cheapest] += 1.0
        kept = int(stays.sum())
        self._rows[:kept], self._about[:kept], self.count = self.rows[stays], about[stays], kept


def _until(events: Integers, device: Integers, t_ms: Integers) -> Floats:
    """(rows,) ms from each row to the next of (events, 2) events, device and time, of its device; inf without one."""
    order = np.lexsort((events[:, 1], events[:, 0]))
    of, when = events[order, 0], events[order, 1]
    at = np.searchsorted(_key(of, when), _key(device, t_ms), side="right")
    there = np.append(of, -1)[at] == device
    return np.where(there, np.append(when, 0)[at] - t_ms, np.inf)


def _key(device: Integers, t_ms: Integers) -> Integers:
    """Device and time as one number that sorts by device, then time; 42 bits of milliseconds reach the year 2109."""
    return (device << 42) | t_ms
