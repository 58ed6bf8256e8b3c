"""From the admitted batches of a window to one block: flat columns, sorted by series, then time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np

from edge.wire import METRICS
from gateway.ingest.decode import Parsed
from gateway.model import Device, Flags, Floats, Integers, LogLines, Roster

_NEVER = np.iinfo(np.int64).min


class Admitted(NamedTuple):
    """A batch that may come in."""

    device: Device
    batch: Parsed
    offset_ms: int  # added to the device's times


@dataclass(frozen=True, slots=True)
class Columns:
    """The samples of a window, sorted by series, then time; all (samples,)."""

    series: Integers
    t_ms: Integers
    value: Floats
    late: Flags


class Builder:
    """Builds blocks for one roster, and remembers how far each series has come."""

    def __init__(self, roster: Roster, *, max_age_ms: int, max_future_ms: int) -> None:
        self._roster = roster
        self._max_age_ms, self._max_future_ms = max_age_ms, max_future_ms
        self._layouts: dict[tuple[int, tuple[str, ...]], Integers] = {}
        self._newest = np.empty(0, np.int64)  # (series,) newest live time
        self._low, self._high = np.empty(0), np.empty(0)  # (metrics,)

    def forget(self) -> None:
        """Begin anew with how far each series has come."""
        self._newest.fill(_NEVER)

    def build(self, batches: Sequence[Admitted], *, now_ms: int, dropped: Counter[str]) -> Columns:
        """The samples of all batches; those that cannot be are left out and counted.

        Args:
            batches: what was admitted.
            now_ms: the gateway's clock.
            dropped: gets the number of samples left out: `out_of_range`, `too_old`, `in_future`.
        """
        sizes = np.array([len(a.batch.steps) for a in batches], np.int64)
        widths = np.array([len(a.batch.metrics) for a in batches], np.int64)
        steps = np.fromiter(chain.from_iterable(a.batch.steps for a in batches), np.int64)
        times = _times(steps, sizes) + np.repeat(np.array([a.offset_ms for a in batches], np.int64), sizes)
        layouts = [self._layout(a.device.number, a.batch.metrics) for a in batches]
        per_column = np.concatenate(layouts) if layouts else np.empty(0, np.int64)
        lists = chain.from_iterable(a.batch.columns for a in batches)
        value = np.array(list(chain.from_iterable(lists)), np.float64)  # None becomes NaN
        lengths = np.repeat(sizes, widths)  # (columns,)
        starts = np.repeat(np.cumsum(sizes) - sizes, widths)
        firsts = np.cumsum(lengths) - lengths
        t_ms = times[np.arange(value.size) - np.repeat(firsts - starts, lengths)]
        series = np.repeat(per_column, lengths)
        historical = np.repeat(np.repeat([a.batch.historical for a in batches], widths), lengths).astype(np.bool_)
        keep = self._sane(series, t_ms, value, now_ms=now_ms, dropped=dropped)
        return self._sorted(series[keep], t_ms[keep], value[keep], historical[keep])

    def _layout(self, device: int, metrics: tuple[str, ...]) -> Integers:
        """(metrics,) series numbers of a device's columns."""
        held = self._layouts.get((device, metrics))
        if held is None:
            roster = self._roster
            held = np.array([roster.series(device, roster.metric(name)) for name in metrics], np.int64)
            if len(self._layouts) > 4 * len(roster.devices) + 1_000:
                self._layouts.clear()  # a device that changes its metrics with every batch
            self._layouts[(device, metrics)] = held
        return held

    def _sane(self, series: Integers, t_ms: Integers, value: Floats, *, now_ms: int, dropped: Counter[str]) -> Flags:
        """(samples,) whether the sample is there and can be."""
        self._grow()
        metric = self._roster.series_metric[series]
        there = ~np.isnan(value)
        ranged = there & (value >= self._low[metric]) & (value <= self._high[metric])
        young, past = t_ms >= now_ms - self._max_age_ms, t_ms <= now_ms + self._max_future_ms
        keep: Flags = ranged & young & past
        if int(there.sum()) != int(keep.sum()):
            reasons = {"out_of_range": there & ~ranged, "too_old": ranged & ~young, "in_future": ranged & ~past}
            dropped.update({name: int(flags.sum()) for name, flags in reasons.items() if flags.any()})
        return keep

    def _grow(self) -> None:
        new = self._roster.metrics[self._low.size :]
        if new:
            known = [METRICS.get(name) for name in new]
            self._low = np.append(self._low, [m.low if m else -np.inf for m in known])
            self._high = np.append(self._high, [m.high if m else np.inf for m in known])
        missing = self._roster.series_count - self._newest.size
        if missing > 0:
            self._newest = np.append(self._newest, np.full(missing, _NEVER))

    def _sorted(self, series: Integers, t_ms: Integers, value: Floats, historical: Flags) -> Columns:
        order = np.lexsort((t_ms, series))
        series, t_ms, value, late = series[order], t_ms[order], value[order], historical[order]
        if not series.size:
            return Columns(series, t_ms, value, late)
        first = np.empty(series.size, np.bool_)
        first[0], first[1:] = True, series[1:] != series[:-1]
        before = np.empty_like(t_ms)
        before[1:] = t_ms[:-1]
        before[first] = self._newest[series[first]]
        late = late | (t_ms <= before) | (t_ms <= self._newest[series])
        live = ~late
        np.maximum.at(self._newest, series[live], t_ms[live])
        return Columns(series, t_ms, value, late)


def _times(steps: Integers, sizes: Integers) -> Integers:
    """Absolute times of all batches, from each one's first time and steps: one running sum, restarted at each batch."""
    running = np.cumsum(steps)
    firsts = np.cumsum(sizes) - sizes
    before = np.concatenate([[0], running])[firsts]
    times: Integers = running - np.repeat(before, sizes)
    return times


def log_lines(batches: Sequence[Admitted]) -> LogLines:
    """The log lines of all batches, sorted by device, then time."""
    rows = [(a.device.number, line.t_ms + a.offset_ms, line) for a in batches for line in a.batch.lines]
    if not rows:
        return LogLines.none()
    rows.sort(key=lambda row: row[:2])
    return LogLines(
        device=np.array([row[0] for row in rows], np.int64),
        t_ms=np.array([row[1] for row in rows], np.int64),
        severity=np.array([row[2].severity for row in rows], np.int8),
        source=tuple(row[2].source for row in rows),
        text=tuple(row[2].text for row in rows),
    )
