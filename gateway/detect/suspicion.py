"""Suspicion: in which hours of the last four weeks a device may have been ill, so that its habit does not learn them.

A bit for every hour of the ring, 84 bytes a device: an hour that a rule, an episode, a confirmed fault or a failure
touches is left out as a whole. `last_h` is the newest hour of the ring; hours behind it are free of suspicion.

Of episodes only the strong count, and each for its first days: what lasts longer is told by a rule, which puts all of
it under suspicion, or is how the device lives now. All episodes for all their time would leave 15 hours in 100
(simulated fleet, 2026-11), these leave 86. What the habit itself finds odd is not held against the past: it could never
be replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.detect.detector import State
from gateway.model import Flags, Integers

HOUR_MS = 3_600_000
HOURS = 672  # four weeks
STRONG = 1.5  # score from which an episode counts: one sample in 400,000 of a series that stays as it was
LONGEST_MS = 3 * 24 * HOUR_MS  # of an episode
RECORD = np.dtype(
    [("first_ms", np.int64), ("tried_ms", np.int64), ("last_h", np.int32), ("bits", np.uint8, (HOURS // 8,))]
)


@dataclass(frozen=True, slots=True)
class Doubts:
    """What is held against the past of one device; a copy, for another thread."""

    last_h: int
    bits: NDArray[np.uint8]

    def cover(self, t_ms: Integers) -> Flags:
        """(rows,) which moments are suspect."""
        hour = t_ms // HOUR_MS
        held = np.unpackbits(self.bits).astype(np.bool_)
        found: Flags = held[hour % HOURS] & (hour <= self.last_h) & (hour > self.last_h - HOURS)
        return found


def init(count: int) -> State:
    """Nothing heard, nothing suspected."""
    past = np.zeros(count, RECORD)
    past["first_ms"] = past["tried_ms"] = past["last_h"] = -1
    return {"past": past}


def hear(state: State, device: Integers, t_ms: Integers) -> None:
    """Keep when devices were first heard. device, t_ms: (rows,) sorted by device, then time."""
    first = np.flatnonzero(np.diff(device, prepend=-1) != 0)
    first = first[state["past"]["first_ms"][device[first]] < 0]
    state["past"]["first_ms"][device[first]] = t_ms[first]


def mark(held: Any, start_ms: int, end_ms: int, *, suspect: bool = True) -> None:
    """Put the hours from `start_ms` to `end_ms` under suspicion, or free them of it. held: () of RECORD."""
    end_h = end_ms // HOUR_MS
    bits = np.unpackbits(held["bits"])
    if end_h > held["last_h"]:
        bits[np.arange(max(held["last_h"] + 1, end_h - HOURS + 1), end_h + 1) % HOURS] = 0
        held["last_h"] = end_h
    start_h = max(start_ms // HOUR_MS, int(held["last_h"]) - HOURS + 1)
    bits[np.arange(start_h, end_h + 1) % HOURS] = suspect
    held["bits"] = np.packbits(bits)


def mark_episode(held: Any, onset_ms: int, end_ms: int, peak: float) -> None:
    """Put the first days of an episode under suspicion, if it is a strong one."""
    if peak >= STRONG:
        mark(held, onset_ms, min(end_ms, onset_ms + LONGEST_MS))


def due(state: State, heard_ms: Integers, now_ms: int, *, every_ms: int, young_ms: int) -> Integers:
    """Numbers of the devices whose habit is to be learned, those that wait longest first.

    Args:
        state: of `init`.
        heard_ms: (devices,) when each spoke last; one that has been silent since its last lesson is left alone.
        now_ms: the present.
        every_ms: age at which a habit is learned again.
        young_ms: time for which a device must have been heard before its first lesson.
    """
    past = state["past"][: heard_ms.size]
    ripe = (past["first_ms"] >= 0) & (now_ms - past["first_ms"] >= young_ms) & (heard_ms > past["tried_ms"])
    waits = np.where(past["tried_ms"] < 0, past["first_ms"], past["tried_ms"])
    found = np.flatnonzero(ripe & ((past["tried_ms"] < 0) | (now_ms - past["tried_ms"] >= every_ms)))
    return found[np.argsort(waits[found], kind="stable")]
