"""The newest value of each series, in memory: what the fleet page asks for, of all series at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from gateway.model import Block, Floats, Integers


class Newest:
    """Arrays by series number. One writer; a reader sees each series as it was or as it is."""

    def __init__(self) -> None:
        self._t_ms: Integers = np.full(0, -1, np.int64)
        self._value: Floats = np.empty(0)

    def advance(self, block: Block) -> None:
        """Take in a block: its last row of each series, where that is newer."""
        if not len(block):
            return
        ends = np.append(np.flatnonzero(block.series[1:] != block.series[:-1]), len(block) - 1)
        self._put(block.series[ends], block.t_ms[ends], block.value[ends])

    def load(self, rows: Mapping[str, object]) -> None:
        """Take in rows of (series, t_ms, value), one a series."""
        series = np.asarray(rows["series"], np.int64)
        self._put(series, np.asarray(rows["t_ms"], np.int64), np.asarray(rows["value"], np.float64))

    def of(self, series: Sequence[int]) -> tuple[Integers, Floats]:
        """(t_ms, value) of each series; -1 and NaN where there is none."""
        wanted = np.asarray(series, np.int64)
        t_ms, value = self._t_ms, self._value
        known = (wanted >= 0) & (wanted < min(t_ms.size, value.size))
        place = np.where(known, wanted, 0)
        if not known.any():
            return np.full(wanted.size, -1, np.int64), np.full(wanted.size, np.nan)
        return np.where(known, t_ms[place], -1), np.where(known, value[place], np.nan)

    def table(self) -> pa.Table:
        """All of them as (series, t_ms, value)."""
        series = np.flatnonzero(self._t_ms >= 0)
        return pa.table({"series": series, "t_ms": self._t_ms[series], "value": self._value[series]})

    def _put(self, series: Integers, t_ms: Integers, value: Floats) -> None:
        if not series.size:
            return
        missing = int(series.max()) + 1 - self._t_ms.size
        if missing > 0:
            room = missing + self._t_ms.size // 2
            self._value = np.append(self._value, np.full(room, np.nan))
            self._t_ms = np.append(self._t_ms, np.full(room, -1, np.int64))
        newer = t_ms >= self._t_ms[series]
        self._value[series[newer]] = value[newer]
        self._t_ms[series[newer]] = t_ms[newer]
