"""Schooling: the habits of devices learned anew from what the store holds, one device after another, as time allows.

A lesson reads and learns without holding up a turn; only what is asked of the judgement and what is told to it happens
between turns. Replay gives the same lessons from the blocks that have passed, so nothing is learned of the future.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gateway.detect.habit import aligned
from gateway.detect.lesson import challenge, settled
from gateway.errors import TryLater
from gateway.model import Block, Floats, Integers
from gateway.services.judgement import Judgement

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
STEP_MS = 600_000  # between the rows of a habit: it remembers 5, 20 and 50 of them, up to a working day
SLICE = 60_000  # samples of a series that are read at once: a week every 10 s, 20 MB with 20 metrics
YOUNG_MS = 14 * DAY_MS  # heard before the first lesson: every day of the week, and again to be held to it
MOST_ROWS = 1 << 40  # no bound beside that of slices
MOST_METRICS = 64  # of one habit: its axes grow with the square


@dataclass(frozen=True, slots=True, kw_only=True)
class Schooling:
    """How habits are learned."""

    every_ms: int = 7 * DAY_MS  # age at which a habit is learned again
    past_ms: int = 28 * DAY_MS  # what it is learned from
    budget_s: float = float("inf")  # most time of one run

    def run(
        self, judgement: Judgement, past: Past, *, turn: AbstractContextManager[object], stopping: Callable[[], bool]
    ) -> str:
        """Give lessons to the devices that wait longest, and say what came of it.

        Args:
            judgement: whose engine learns.
            past: where samples come from.
            turn: held while the judgement is asked or told something.
            stopping: whether to end early.
        """
        began, counted = time.monotonic(), Counter[str]()
        with turn:
            now_ms = judgement.engine.now_ms
            waiting = self._due(judgement, now_ms)
        for at, device in enumerate(waiting):
            if stopping() or time.monotonic() - began > self.budget_s:
                counted["left for the next run"] = len(waiting) - at
                break
            try:
                counted[self._lesson(judgement, past, device, now_ms, turn).replace("_", " ")] += 1
            except TryLater as exc:
                counted[exc.code.replace("_", " ")] += 1
                break
        return ", ".join(f"{count:,} {word}" for word, count in counted.items()) or "no habit is due"

    def due(self, judgement: Judgement) -> list[int]:
        """Numbers of the devices that would be given a lesson now."""
        return self._due(judgement, judgement.engine.now_ms)

    def _due(self, judgement: Judgement, now_ms: int) -> list[int]:
        ill = judgement.alarmed()
        found = judgement.engine.due(now_ms, every_ms=self.every_ms, young_ms=YOUNG_MS)
        return [device for device in found.tolist() if device not in ill]

    def _lesson(
        self, judgement: Judgement, past: Past, device: int, now_ms: int, turn: AbstractContextManager[object]
    ) -> str:
        engine = judgement.engine
        with turn:
            series = np.flatnonzero(engine.roster.series_device == device)
            held, doubts = engine.habits.champion.get(device), engine.doubts(device)
            slice_ms = max(int(engine.interval_ms(device) * SLICE) // STEP_MS, 1) * STEP_MS
        t_ms, rows = _rows(past, series, now_ms - self.past_ms, now_ms + 1, slice_ms=slice_ms)
        own = np.flatnonzero(settled(rows))[:MOST_METRICS] if t_ms.size else np.empty(0, np.int64)
        rows = rows[:, own]
        told = challenge(held, series[own], rows, doubts.cover(t_ms), step_ms=STEP_MS, prove=True)
        with turn:
            return engine.adopt(device, told, rows, now_ms).reason


class Past(Protocol):
    """Where the samples of a series are read: a series store, or what has passed of a recording."""

    def range(self, series: int, start_ms: int, end_ms: int) -> tuple[Integers, Floats]:
        """(t_ms, value) of one series in [start, end), by time."""
        ...


class Passed:
    """The blocks of a recording that have passed, as far back as a habit reaches."""

    def __init__(self, past_ms: int) -> None:
        self._past_ms = past_ms
        self._blocks: deque[Block] = deque()
        self._series, self._t_ms, self._value = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)

    def keep(self, block: Block) -> None:
        """Take in the next block."""
        self._blocks.append(block)
        while self._blocks[0].received_ms < block.received_ms - self._past_ms:
            self._blocks.popleft()

    def gather(self, series: Integers) -> None:
        """Make what is kept of these series, numbers rising, ready for `range`."""
        wanted = np.zeros(1 + max([int(series.max(initial=0)), *(b.series[-1] for b in self._blocks if len(b))]), bool)
        wanted[series] = True
        chosen = [(block, wanted[block.series]) for block in self._blocks]
        number = np.concatenate([block.series[mine] for block, mine in chosen])
        order = np.argsort(number, kind="stable")
        self._series = number[order]
        self._t_ms = np.concatenate([block.t_ms[mine] for block, mine in chosen])[order]
        self._value = np.concatenate([block.value[mine] for block, mine in chosen])[order]

    def range(self, series: int, start_ms: int, end_ms: int) -> tuple[Integers, Floats]:
        """(t_ms, value) of one of the gathered series in [start, end), by time."""
        mine = slice(*np.searchsorted(self._series, (series, series + 1)).tolist())
        t_ms = self._t_ms[mine]
        inside = slice(*np.searchsorted(t_ms, (start_ms, end_ms)).tolist())
        return t_ms[inside], self._value[mine][inside]


def _rows(past: Past, series: Integers, start_ms: int, end_ms: int, *, slice_ms: int) -> tuple[Integers, Floats]:
    """Rows of a device, the first of each step; read in slices, so that little is in memory at once."""
    times, rows = [np.empty(0, np.int64)], [np.empty((0, series.size))]
    for at_ms in range(start_ms // STEP_MS * STEP_MS, end_ms, slice_ms):
        ranges = [past.range(number, at_ms, min(at_ms + slice_ms, end_ms)) for number in series.tolist()]
        t_ms, found = aligned(ranges, limit=MOST_ROWS)
        first = np.flatnonzero(np.diff(t_ms // STEP_MS, prepend=-1))
        times.append(t_ms[first])
        rows.append(found[first])
    return np.concatenate(times), np.concatenate(rows)
