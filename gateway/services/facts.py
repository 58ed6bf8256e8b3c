"""What is known of every device now, as columns over the fleet: the names that rules are written in.

A column has shape (devices,); NaN is unknown. Late samples are no facts: what was so while a device was away says
nothing of now, and its newest samples come with it. Metrics give their last value, `reboots_24h` and `age_s` come from
births, and what detection and prognosis know (`score.*`, `episode.*`, `forecast.*`, `log.*`, ...) is asked of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from gateway.model import Block, Floats, Integers, Roster

STALE_MS = 48 * 3_600_000
"""A value older than this says nothing of now. Two days: devices that report once a day (disks) stay known."""

DAY_MS = 86_400_000

Column: TypeAlias = Callable[[str], Floats | None]


class Facts:
    """Last values of a fleet, advanced block by block."""

    def __init__(
        self, roster: Roster, sources: Mapping[str, Column] | None = None, *, stale_ms: int = STALE_MS
    ) -> None:
        self.roster = roster
        self._stale_ms = stale_ms
        self.sources = sources or {}  # first part of a dotted name -> who knows it
        self.now_ms = 0
        self._value = np.empty(0)
        self._t_ms = np.empty(0, np.int64)
        self._by_metric: dict[int, tuple[Integers, Integers]] = {}  # metric -> (series, devices)
        self._indexed = 0
        self._births = np.empty((0, 2), np.int64)  # (device, t_ms) of the last day
        self._first_ms = np.empty(0, np.int64)  # (devices,) first birth; 0: none yet

    def update(self, block: Block, now_ms: int) -> None:
        """Take in the newest sample of each series of a block that is not late, and its births."""
        self.now_ms = now_ms
        self._grow()
        if len(block):
            prompt = np.flatnonzero(~block.late)
            held = block.series[prompt]
            last = prompt[np.append(held[1:] != held[:-1], True)[: held.size]]
            series, t_ms = block.series[last], block.t_ms[last]
            newer = t_ms >= self._t_ms[series]
            self._t_ms[series[newer]] = t_ms[newer]
            self._value[series[newer]] = block.value[last][newer]
        born = [(device.number, b.t_ms) for b in block.births if (device := self.roster.device(b.device_id))]
        if born:
            held = self._births[self._births[:, 1] > now_ms - DAY_MS]
            self._births = np.concatenate([held, np.array(born, np.int64)])
            for number, born_ms in born:
                if not self._first_ms[number]:
                    self._first_ms[number] = born_ms

    def column(self, name: str) -> Floats:
        """(devices,) values of a fact; all NaN where nothing of that name was ever seen."""
        source = self.sources.get(name.partition(".")[0])
        if source is not None:
            known = source(name)
            return np.full(len(self.roster.devices), np.nan) if known is None else self._fit(known)
        if name == "reboots_24h":
            return self._reboots()
        if name == "age_s":
            return self._age()
        return self._metric(name)

    def newest(self, device: int) -> tuple[tuple[str, float], ...]:
        """(metric, value) pairs that are known of one device, by name."""
        self._grow()
        pairs = []
        for metric, (series, devices) in self._by_metric.items():
            at = np.flatnonzero(devices == device)
            if at.size and self._t_ms[series[at[0]]] > max(0, self.now_ms - self._stale_ms):
                pairs.append((self.roster.metrics[metric], float(self._value[series[at[0]]])))
        return tuple(sorted(pairs))

    def seen_ms(self) -> Integers:
        """(devices,) event time of the newest sample of each device; 0 where there is none."""
        self._grow()
        seen = np.zeros(len(self.roster.devices), np.int64)
        count = self._t_ms.size
        np.maximum.at(seen, self.roster.series_device[:count], self._t_ms)
        return seen

    def snapshot(self) -> dict[str, np.ndarray]:
        """Arrays that `restore` takes."""
        return {
            "value": self._value.copy(),
            "t_ms": self._t_ms.copy(),
            "births": self._births.copy(),
            "first_ms": self._first_ms.copy(),
        }

    def restore(self, held: dict[str, np.ndarray]) -> None:
        """Take up where a snapshot was made."""
        self._value, self._t_ms = held["value"].copy(), held["t_ms"].copy()
        self._births, self._first_ms = held["births"].copy(), held["first_ms"].copy()
        self._grow()

    def _grow(self) -> None:
        devices, count = len(self.roster.devices), self.roster.series_count
        self._first_ms = np.append(self._first_ms, np.zeros(devices - self._first_ms.size, np.int64))
        if count > self._value.size:
            extra = count - self._value.size
            self._value = np.append(self._value, np.full(extra, np.nan))
            self._t_ms = np.append(self._t_ms, np.zeros(extra, np.int64))
        if count == self._indexed:
            return
        fresh = np.arange(self._indexed, count)
        metrics, fresh_owners = self.roster.series_metric[fresh], self.roster.series_device[fresh]
        for metric in np.unique(metrics).tolist():
            mine = metrics == metric
            series, owners = self._by_metric.get(metric, (fresh[:0], fresh[:0]))
            self._by_metric[metric] = (np.append(series, fresh[mine]), np.append(owners, fresh_owners[mine]))
        self._indexed = count

    def _metric(self, name: str) -> Floats:
        self._grow()
        column = np.full(len(self.roster.devices), np.nan)
        number = self.roster.metric_number(name)
        if number is not None and number in self._by_metric:
            series, devices = self._by_metric[number]
            known = self._t_ms[series] > max(0, self.now_ms - self._stale_ms)
            column[devices[known]] = self._value[series[known]]
        return column

    def _reboots(self) -> Floats:
        """Births of the last day, less the one with which a device first came."""
        self._grow()
        day = self.now_ms - DAY_MS
        recent = self._births[self._births[:, 1] > day, 0]
        births = np.bincount(recent, minlength=self._first_ms.size).astype(np.float64)
        return births - (self._first_ms > max(day, 0))

    def _age(self) -> Floats:
        self._grow()
        return np.where(self._first_ms > 0, (self.now_ms - self._first_ms) / 1000, np.nan)

    def _fit(self, column: Floats) -> Floats:
        count = len(self.roster.devices)
        if column.size >= count:
            return column[:count]
        return np.append(column, np.full(count - column.size, np.nan))
