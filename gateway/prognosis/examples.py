"""Bounded memory of looks at devices: the newest few of each, and an even sample of all that were well."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.model import Integers
from gateway.prognosis.features import Rows


class Ring:
    """The newest `slots` looks of every device. `newest_ms` (devices,) is the time of the last one kept; 0: none."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._rows: Rows = np.empty((0, slots, 0), np.float32)
        self._at_ms = np.zeros((0, slots), np.int64)
        self.newest_ms = np.empty(0, np.int64)

    def grow(self, devices: int) -> None:
        """Make room for devices that came."""
        more = devices - self.newest_ms.size
        self.newest_ms = np.append(self.newest_ms, np.zeros(more, np.int64))
        self._at_ms = np.concatenate([self._at_ms, np.zeros((more, self._slots), np.int64)])
        blank = np.full((more, self._slots, self._rows.shape[2]), np.nan, np.float32)
        self._rows = np.concatenate([self._rows, blank])

    def due(self, now_ms: int, *, every_ms: int) -> Integers:
        """Devices, seen before, whose next look is to be kept. Each goes by its own beginning: there is no calendar."""
        return np.flatnonzero((self.newest_ms > 0) & (now_ms - self.newest_ms >= every_ms))

    def put(self, device: Integers, rows: Rows, now_ms: int) -> tuple[Integers, Integers, Rows]:
        """Keep a look at each device; (device, at_ms, rows) of the looks pushed out, at 0 where the slot was empty."""
        width = rows.shape[1]
        if width > self._rows.shape[2]:
            blank = np.full((*self._rows.shape[:2], width - self._rows.shape[2]), np.nan, np.float32)
            self._rows = np.concatenate([self._rows, blank], axis=2)
        slot = np.argmin(self._at_ms[device], axis=1)
        old_at, old_rows = self._at_ms[device, slot].copy(), self._rows[device, slot].copy()
        self._at_ms[device, slot], self._rows[device, slot, :width] = now_ms, rows
        self.newest_ms[device] = now_ms
        return device, old_at, old_rows

    def take(self, device: int) -> tuple[Rows, Integers]:
        """(rows, at_ms) of one device's looks, which are forgotten here."""
        rows, at_ms = self._rows[device].copy(), self._at_ms[device].copy()
        self._at_ms[device], self.newest_ms[device] = 0, 0
        return rows, at_ms

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Arrays that `restore` takes."""
        return {"rows": self._rows, "at_ms": self._at_ms, "newest_ms": self.newest_ms}

    def restore(self, held: dict[str, NDArray[Any]]) -> None:
        """Go on from a snapshot."""
        self._rows, self._at_ms, self.newest_ms = held["rows"], held["at_ms"], held["newest_ms"]


class Sample:
    """At most `most` looks, drawn evenly from all that were added; each stands for `weight` of them.

    Source: J. S. Vitter (1985), Random sampling with a reservoir, ACM TOMS 11, 37-57, algorithm R, in blocks.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen = 0
        self.device = np.empty(0, np.int64)
        self.at_ms = np.empty(0, np.int64)
        self.rows: Rows = np.empty((0, 0), np.float32)

    @property
    def weight(self) -> float:
        """How many of the added looks each kept one stands for."""
        return self._seen / self.device.size if self.device.size else 1.0

    def add(self, device: Integers, at_ms: Integers, rows: Rows) -> None:
        """Offer looks; the draw depends on how many were offered before, and on nothing else."""
        if not device.size:
            return
        if rows.shape[1] > self.rows.shape[1]:
            blank = np.full((len(self.rows), rows.shape[1] - self.rows.shape[1]), np.nan, np.float32)
            self.rows = np.concatenate([self.rows, blank], axis=1)
        room = max(0, min(self._most - self.device.size, device.size))
        self.device = np.concatenate([self.device, device[:room]])
        self.at_ms = np.concatenate([self.at_ms, at_ms[:room]])
        self.rows = np.concatenate([self.rows, rows[:room]])
        number = self._seen + np.arange(room, device.size)
        place = np.random.default_rng([self._seen, self._most]).integers(0, number + 1)
        chosen = np.flatnonzero(place < self._most)
        self.device[place[chosen]], self.at_ms[place[chosen]] = device[room + chosen], at_ms[room + chosen]
        self.rows[place[chosen], : rows.shape[1]] = rows[room + chosen]
        self._seen += device.size

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Arrays that `restore` takes."""
        return {"device": self.device, "at_ms": self.at_ms, "rows": self.rows, "seen": np.array([self._seen])}

    def restore(self, held: dict[str, NDArray[Any]]) -> None:
        """Go on from a snapshot."""
        self.device, self.at_ms, self.rows = held["device"], held["at_ms"], held["rows"]
        self._seen = int(held["seen"][0])
