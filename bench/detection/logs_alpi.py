"""ALPI's windows, put back into the order of time.

The data come as windows of 1,720 minutes of alarm codes, each with the codes of the 480 minutes after it. Windows
follow each other without a gap, and the whole log was cut so up to 29 times, each *pass* an hour later than the one
before; windows with nothing in them or after them were left out, and the moments of all were lost. The rows of a
machine are pass after pass, so that in the order of the rows time jumps back up to 28 times.

Windows of neighbouring passes overlap, which is enough to tell where passes begin (`passes`), which windows are the
same stretch an hour on (`links`), and so the order of time. In some machines' rows the last passes continue no
earlier one: the log of another machine, which is kept apart. What was logged since the window before is what the
overlap does not cover. Gaps longer than a window are taken for one window. Only the order of windows is learned from
all of them; what is known at a window is the windows before it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from gateway.model import Flags

CODES = 154  # flags of an outcome
WINDOW_MIN, HORIZON_MIN, HOUR_MIN = 1_720, 480, 60
TEST = 0.3  # of each pass, rounded up
BEAM = 60  # ways to cut rows into passes that are followed at once
HEAD = 4  # codes by which overlaps are found


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One window of one machine."""

    end_min: int  # since the machine's first window began
    fresh: bytes  # the codes since the window before, in order
    since_min: int  # that window's end, as minutes before this one's
    outcome: Flags  # (CODES,) which codes sounded in the HORIZON_MIN after
    asked: bool  # of the test part


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of one machine in the train or the test part."""

    rows: list[bytes]
    outcomes: Flags  # (rows, CODES)
    full: int  # codes that a window holds at most; later ones were cut off

    def overlap(self, i: int, j: int) -> float:
        """The share of row i that row j goes on from, were j the later."""
        row, later = self.rows[i], self.rows[j]
        for skip in range(len(row)):
            shared = min(len(row) - skip, len(later))
            whole = shared == len(row) - skip or len(later) == self.full
            if whole and row[skip : skip + shared] == later[:shared]:
                return shared / len(row) if shared >= min(2, len(row)) else 0.0
        return 0.0

    def runs_on(self, i: int) -> bool:
        """Whether row i + 1 may be the very next window of the same pass: it begins with the outcome of row i."""
        if not 0 <= i < len(self.rows) - 1:
            return False
        return begins(self.rows[i + 1], self.outcomes[i])


def machines(file: Path, *, most: int | None = None) -> Iterator[list[Window]]:
    """Every machine's windows in the order of time, first those to learn from; of those with fewer than `most`."""
    with np.load(file) as held:
        device = [held["device_train"], held["device_test"]]
        windows = [held["x_train"], held["x_test"]]
        outcomes = [np.unpackbits(held[f"y_{part}"], axis=1)[:, :CODES] > 0 for part in ("train", "test")]
    for number in np.unique(device[0]).tolist():
        if most is not None and sum(int((d == number).sum()) for d in device) >= most:
            continue
        parts = [
            _Part([bytes(row[row > 0]) for row in w[d == number]], o[d == number], w.shape[1])
            for d, w, o in zip(device, windows, outcomes, strict=True)
        ]
        linked = [links(part) for part in parts]
        sizes = passes(parts, linked)
        starts = [np.cumsum([0, *(size[p] for size in sizes)]).tolist() for p in (0, 1)]
        for first, last in _logs(starts, linked):
            found: list[Window] = []
            for p, part in enumerate(parts):
                found += _in_order(part, linked[p], starts[p][first : last + 1], after=found, asked=p == 1)
            yield found


def begins(row: bytes, outcome: Flags) -> bool:
    """Whether a row begins with all codes of an outcome before any other."""
    seen: set[int] = set()
    for code in row:
        if not outcome[code]:
            break
        seen.add(code)
    return len(seen) == int(outcome.sum())


def links(part: _Part) -> dict[int, int]:
    """For each row that has one, the nearest later row of which at least half overlaps with it: the next pass's."""
    heads: defaultdict[bytes, list[int]] = defaultdict(list)
    for i, row in enumerate(part.rows):
        heads[row[:HEAD]].append(i)
    found = {}
    for i, row in enumerate(part.rows):
        shares = {
            j: min(len(row) - skip, len(part.rows[j])) / len(row)
            for skip in range(len(row) // 2, -1, -1)
            if skip + HEAD <= len(row)
            for j in heads.get(row[skip : skip + HEAD], ())
            if j > i and _goes_on(row[skip:], part.rows[j], part.full)
        }
        best = max(shares.values(), default=0.0)
        if best >= 0.5:
            found[i] = min(j for j, share in shares.items() if share >= best - 0.1)
    return found


def _goes_on(rest: bytes, later: bytes, full: int) -> bool:
    shared = min(len(rest), len(later))
    return (shared == len(rest) or len(later) == full) and rest[:shared] == later[:shared]


def passes(parts: Sequence[_Part], linked: Sequence[dict[int, int]]) -> list[tuple[int, int]]:
    """Rows of every pass in the two parts: the likeliest way to cut both, by a beam search.

    A good cut has rows on either side that overlap with those on either side of the cut before, does not fall between
    windows that run on, and leaves passes of like sizes, of which the test part has its share.
    """
    ends = (len(parts[0].rows), len(parts[1].rows))
    front: dict[tuple[int, int], tuple[float, tuple[tuple[int, int], ...]]] = {(0, 0): (0.0, ())}
    best: tuple[float, tuple[tuple[int, int], ...]] = (-math.inf, (ends,))
    evidence = _Evidence(parts, linked)
    while front:
        found: dict[tuple[int, int], tuple[float, tuple[tuple[int, int], ...]]] = {}
        for at, (score, cut) in front.items():
            for size in _sizes(at, ends, linked[0], cut[-1][0] if cut else 0):
                to = (at[0] + size[0], at[1] + size[1])
                if to != ends and (to[0] == ends[0] or to[1] == ends[1]):
                    continue
                total = score + evidence.of(at, to, ends) - _oddness(size, cut[-1] if cut else None)
                if to not in found or found[to][0] < total:
                    found[to] = (total, (*cut, size))
        best = max(best, found.pop(ends, best))
        front = dict(sorted(found.items(), key=lambda item: -item[1][0])[:BEAM])
    return list(best[1])


def _sizes(
    at: tuple[int, int], ends: tuple[int, int], linked: dict[int, int], before: int
) -> Iterator[tuple[int, int]]:
    """Sizes in the two parts that the pass which begins at `at` may have."""
    lags = Counter(linked[i] - i for i in range(at[0], at[0] + 25) if i in linked)
    likely = [lag for lag, _ in lags.most_common(3)] + ([before] if before else [])
    near = {lag + d for lag in likely for d in range(-3, 4)} | {ends[0] - at[0]}
    for learn in sorted(near):
        if 1 <= learn <= ends[0] - at[0]:
            for test in range(max(1, int(learn * 3 / 7) - 1), int(learn * 3 / 7) + 4):
                if at[1] + test <= ends[1] and abs(math.ceil(TEST * (learn + test)) - test) <= 1:
                    yield learn, test


def _oddness(size: tuple[int, int], before: tuple[int, int] | None) -> float:
    odd = 1.5 + 1.5 * abs(math.ceil(TEST * sum(size)) - size[1])
    return odd + (3.0 * abs(size[0] - before[0]) / (max(size[0], before[0]) + 5.0) if before else 0.0)


class _Evidence:
    """How well a cut fits what overlaps."""

    def __init__(self, parts: Sequence[_Part], linked: Sequence[dict[int, int]]) -> None:
        self._parts, self._linked = parts, linked
        self._runs_on = [[part.runs_on(i) for i in range(len(part.rows))] for part in parts]
        self._known: dict[tuple[int, int, int], float] = {}

    def of(self, at: tuple[int, int], to: tuple[int, int], ends: tuple[int, int]) -> float:
        """That passes begin at `at` and next at `to`."""
        found = sum(self._edge(p, at[p], to[p]) for p in (0, 1)) if to != ends else 0.0
        tests = at[1] < ends[1] and begins(self._parts[1].rows[at[1]], self._parts[0].outcomes[to[0] - 1])
        return found + 0.7 * tests

    def _edge(self, p: int, a: int, b: int) -> float:
        fits = self._fits(p, a, b) + 0.5 * max(self._fits(p, a + i, b + j) for i, j in ((0, 1), (1, 0), (1, 1)))
        if a:
            fits += self._fits(p, a - 1, b - 1)
            fits += 0.5 * max(self._fits(p, a - 1 - i, b - 1 - j) for i, j in ((0, 1), (1, 0), (1, 1)))
        return fits - 1.5 * self._runs_on[p][b - 1]

    def _fits(self, p: int, i: int, j: int) -> float:
        if i < 0 or not 0 <= j < len(self._parts[p].rows):
            return 0.0
        if self._linked[p].get(i) == j:
            return 1.0
        if (p, i, j) not in self._known:
            self._known[p, i, j] = 0.8 * self._parts[p].overlap(i, j)
        return self._known[p, i, j]


def _logs(starts: Sequence[list[int]], linked: Sequence[dict[int, int]]) -> list[tuple[int, int]]:
    """First pass and the one after the last of every log: where hardly a row continues one, another begins."""
    cuts = [0]
    for k in range(1, len(starts[0]) - 1):
        sizes = [s[k + 1] - s[k] for s in starts], [s[k] - s[k - 1] for s in starts]
        targets = [{j for i, j in linked[p].items() if i >= starts[p][k - 1]} for p in (0, 1)]
        hit = sum(j in targets[p] for p in (0, 1) for j in range(starts[p][k], starts[p][k + 1]))
        now, before = sum(sizes[0]), sum(sizes[1])
        if hit < 0.35 * now and abs(now - before) > 0.1 * max(now, before):
            cuts.append(k)
    return list(pairwise([*cuts, len(starts[0]) - 1]))


def _in_order(
    part: _Part, linked: dict[int, int], starts: Sequence[int], *, after: Sequence[Window], asked: bool
) -> list[Window]:
    """The windows of one log of one part, on the clock of those before."""
    begun = after[-1].end_min + WINDOW_MIN if after else 0
    found: list[Window] = []
    before: list[tuple[int, int]] = []  # (end, row) of the last few
    for minute, row in _moments(part, linked, starts):
        end = begun + WINDOW_MIN + minute
        fresh, since = part.rows[row], WINDOW_MIN
        for past, other in reversed(before):
            share = part.overlap(other, row)
            if share >= 0.25 and 0 < end - past < WINDOW_MIN:
                fresh, since = fresh[round(share * len(part.rows[other])) :], end - past
                break
        found.append(Window(end_min=end, fresh=fresh, since_min=since, outcome=part.outcomes[row], asked=asked))
        before = [*before[-3:], (end, row)]
    return found


def _moments(part: _Part, linked: dict[int, int], starts: Sequence[int]) -> list[tuple[int, int]]:
    """(minute, row) of every row, in the order of time.

    A column is one window of the log through all passes; a row stands in the column of the row that it continues, or
    begins one behind the row before it.
    """
    columns: list[list[tuple[int, int]]] = [[(0, row)] for row in range(starts[0], starts[1])]
    continues = {j: i for i, j in linked.items()}
    for k, (first, last) in enumerate(pairwise(starts[1:]), 1):
        at = {row: c for c, column in enumerate(columns) for _, row in column}
        wanted = [(row, at[continues[row]]) for row in range(first, last) if continues.get(row, -1) in at]
        placed = dict(_rising(wanted))
        merged: list[list[tuple[int, int]]] = []
        done = 0
        for row in range(first, last):
            if row in placed:
                merged += columns[done : placed[row]]
                merged.append([*columns[placed[row]], (k, row)])
                done = placed[row] + 1
            else:
                merged.append([(k, row)])
        columns = merged + columns[done:]
    at = {row: c for c, column in enumerate(columns) for _, row in column}
    close = {at[r] for r in range(starts[0], starts[-1] - 1) if part.runs_on(r) and at[r + 1] == at[r] + 1}
    widths = [WINDOW_MIN if c in close else 2 * WINDOW_MIN for c in range(len(columns))]
    begins_at = np.cumsum([0, *widths]).tolist()
    return sorted((begins_at[c] + HOUR_MIN * k, row) for c, column in enumerate(columns) for k, row in column)


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of (row, column) pairs in which columns rise (Schensted 1961)."""
    tails: list[int] = []
    ends: list[int] = []
    back = [-1] * len(pairs)
    for k, (_, column) in enumerate(pairs):
        place = bisect_left(tails, column)
        back[k] = ends[place - 1] if place else -1
        tails[place : place + 1], ends[place : place + 1] = [column], [k]
    found, k = [], ends[-1] if ends else -1
    while k >= 0:
        found.append(pairs[k])
        k = back[k]
    return found[::-1]
