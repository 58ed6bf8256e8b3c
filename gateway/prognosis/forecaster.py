"""When a metric will reach its limit: `forecast.<name>_days_left`, `_days_low`, `_days_high`, `_risk_ratio`.

The newest straight piece of each series (`gateway.prognosis.trend`) is extended to the limit. The interval is that of
the first time at which level + slope t + noise, with the uncertainty of level and slope and the series' own wandering,
reaches the limit. A line says nothing (NaN) where the trend is not beyond doubt, where the data are old, or where it
would have to look further ahead than it has seen behind; the rules then do not fire.

Where three devices of the same model have come to the limit before, the way of the device is compared with theirs
(`gateway.prognosis.others`), as of the last midnight. Of the line and that, the one with the narrower interval is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gateway.model import Block, Flags, Floats, Forecast, Integers, Roster
from gateway.prognosis import trend
from gateway.prognosis.calibration import Coverage
from gateway.prognosis.limit import days_to_limit, risk_within
from gateway.prognosis.others import ForecastSpec, Others, risk_of
from gateway.prognosis.trend import DAY_MS

STALE_DAYS = 2.0  # and four buckets: a silent series has no forecast

Columns: TypeAlias = "dict[str, NDArray[Any]]"  # floats and integers


class _Ahead(NamedTuple):
    """What is known of the rows of a spec at one time."""

    line: Floats  # (rows, FIT)
    days: Floats  # (3, rows)
    by_others: Flags  # (rows,) whether days are told by the ways of others


class Forecaster:
    """Forecasts of a fleet, for each series that some spec names; `snapshot` and `restore` round-trip exactly."""

    def __init__(self, specs: Sequence[ForecastSpec], *, horizon_days: float = 30.0) -> None:
        self.specs = tuple(specs)
        self.horizon_days = horizon_days  # of `_risk_ratio`
        self._roster = Roster()
        self._row_of = np.empty(0, np.int64)  # (series,) row, or -1
        self._series = np.empty(0, np.int64)  # (rows,)
        self._kept = trend.empty(0)
        self._newest = np.empty(0, np.int64)  # (rows,) ms
        self._dirty = np.empty(0, np.bool_)
        self._line = np.empty((0, trend.FIT))
        self._now_ms = 0
        self._asked: dict[tuple[int, int], _Ahead] = {}  # (spec, now_ms) -> what `_ahead` found
        self._others = {id(spec): Others(spec) for spec in self.specs}

    def advance(self, block: Block, roster: Roster, now_ms: int) -> None:
        """Take one block in. Late samples count too: they correct the line, and raise nothing by themselves."""
        new_day = now_ms // DAY_MS != self._now_ms // DAY_MS
        self._roster, self._now_ms = roster, now_ms
        self._asked.clear()
        self._grow(roster)
        row = self._row_of[block.series]
        mine = row >= 0
        if mine.any():
            row, t_ms, value = row[mine], block.t_ms[mine], block.value[mine]
            np.maximum.at(self._newest, row, t_ms)
            for scale in (0, 1):
                trend.absorb(2 * row + scale, t_ms, value, self._kept, self._dirty)
            for others in self._others.values():
                others.advance(row, t_ms, value)
        dirty = np.flatnonzero(self._dirty)
        if dirty.size:
            trend.fit(dirty, self._kept, self._line)
            self._dirty[:] = False
        if new_day:
            self._learn(now_ms)

    def _learn(self, now_ms: int) -> None:
        """Learn from the devices that have reached their limits by now, and note what is forecast today."""
        for others in self._others.values():
            others.learn()
        for spec in self.specs:
            rows, _ = self._rows_of(spec)
            self._others[id(spec)].note(rows, self._ahead(spec, rows, now_ms).days, now_ms)

    @property
    def coverage(self) -> Coverage:
        """How often the intervals of forecasts held what came to be, on this fleet."""
        held = [others.coverage for others in self._others.values()]
        return Coverage(sum(c.held for c in held), sum(c.below for c in held), sum(c.above for c in held))

    def column(self, name: str) -> Floats | None:
        """(devices,) one fact, as `forecast.battery_days_left` or `trend.<metric>_per_day`; NaN where it is unknown.

        None where no spec speaks of that name.
        """
        out = None
        for spec in self.specs:
            if f".{spec.name}_" not in name and f".{spec.metric}_" not in name:
                continue
            rows, device = self._rows_of(spec)
            value = self._fact(name, spec, rows)
            if value is not None:
                out = np.full(len(self._roster.devices), np.nan) if out is None else out
                out[device] = np.where(self._stale(rows, self._now_ms), np.nan, value)
        return out

    def _fact(self, name: str, spec: ForecastSpec, rows: Integers) -> Floats | None:
        """(rows,) what `name` says of the series of a spec, or None where it is not about that spec."""
        key = (id(spec), self._now_ms)
        if key not in self._asked:
            self._asked[key] = self._ahead(spec, rows, self._now_ms)
        line, days, by_others = self._asked[key]
        if name == f"trend.{spec.metric}_per_day":
            return np.asarray(line[:, trend.SLOPE])
        if name == f"forecast.{spec.name}_risk_ratio":
            return self._risk(spec, line, days, by_others)
        for part, suffix in enumerate(("days_left", "days_low", "days_high")):
            if name == f"forecast.{spec.name}_{suffix}":
                return np.asarray(days[part])
        return None

    def forecasts(self, now_ms: int, *, only: int | None = None) -> tuple[Forecast, ...]:
        """All forecasts that can be made at `now_ms`, by spec, then by device number; of device `only` where given."""
        found = []
        for spec in self.specs:
            rows, device = self._rows_of(spec)
            if only is not None:
                rows, device = rows[device == only], device[device == only]
            line, days, by_others = self._ahead(spec, rows, now_ms)
            risk = self._risk(spec, line, days, by_others)
            for i in np.flatnonzero(np.isfinite(days[0])):
                median, low, high = (int(now_ms + d * DAY_MS) for d in days[:, i])
                found.append(
                    Forecast(
                        device_id=self._roster.devices[device[i]].device_id, name=spec.name, made_ms=now_ms,
                        median_ms=median, low_ms=low, high_ms=high, limit=spec.limit, metric=spec.metric,
                        risk_ratio=float(risk[i]), horizon_ms=int(self.horizon_days * DAY_MS),
                        reason=self._reason(spec, int(rows[i]), line[i], days[:, i], now_ms if by_others[i] else None),
                    )
                )  # fmt: skip
        return tuple(found)

    def _risk(self, spec: ForecastSpec, line: Floats, days: Floats, by_others: Flags) -> Floats:
        """(rows,) probability that the limit is reached within the horizon."""
        by_line = risk_within(line, spec.limit, spec.direction, self.horizon_days)
        return np.where(by_others, risk_of(days, self.horizon_days), by_line)

    def _reason(self, spec: ForecastSpec, row: int, line: Floats, days: Floats, others_at_ms: int | None) -> str:
        if others_at_ms is None:
            return _sentence(spec, line[trend.SLOPE], line[trend.SPAN], days)
        took = self._others[id(spec)].sentence(row, others_at_ms)
        return f"{spec.metric} is on its way to {spec.limit:g}; {took}; at their pace and its own it gets there in " + (
            f"{_time(days[0])} (90 % interval {_time(days[1])} to {_time(days[2])})"
        )

    def snapshot(self) -> Columns:
        """All state as arrays; `restore` goes on from them exactly."""
        ways = ((_head(spec), self._others[id(spec)].snapshot()) for spec in self.specs)
        return {
            **{head + name: array for head, held in ways for name, array in held.items()},
            "series": self._series, "newest": self._newest, "line": self._line,
            "now_ms": np.array([self._now_ms], np.int64), **self._kept._asdict(),
        }  # fmt: skip

    @classmethod
    def restore(cls, specs: Sequence[ForecastSpec], snapshot: Columns, roster: Roster) -> Forecaster:
        """A forecaster that goes on where `snapshot` was taken. A metric that only a new spec names starts afresh."""
        new = cls(specs)
        new._roster = roster
        new._series = np.array(snapshot["series"], np.int64)
        new._row_of = np.full(roster.series_count, -1, np.int64)
        new._row_of[new._series] = np.arange(new._series.size)
        new._kept = trend.Buckets(**{name: np.array(snapshot[name]) for name in trend.Buckets._fields})
        new._newest = np.array(snapshot["newest"], np.int64)
        new._line = np.array(snapshot["line"], np.float64)
        new._dirty = np.zeros(2 * new._series.size, np.bool_)
        new._now_ms = int(snapshot["now_ms"][0])
        for spec in new.specs:
            head, others = _head(spec), new._others[id(spec)]
            held = {name.removeprefix(head): array for name, array in snapshot.items() if name.startswith(head)}
            if held:  # a snapshot of an older version has none
                others.restore(held)
            others.grow(roster, new._series)
        return new

    def _grow(self, roster: Roster) -> None:
        """Give rows to the series that came since the last block and that a spec names."""
        more = roster.series_count - self._row_of.size
        if not more and self._row_of.size:
            return
        self._row_of = np.concatenate([self._row_of, np.full(more, -1, np.int64)])
        wanted = [n for n in (roster.metric_number(s.metric) for s in self.specs) if n is not None]
        fresh = np.flatnonzero((self._row_of < 0) & np.isin(roster.series_metric[: self._row_of.size], wanted))
        self._row_of[fresh] = self._series.size + np.arange(fresh.size)
        self._series = np.concatenate([self._series, fresh])
        self._kept = trend.joined(self._kept, trend.empty(fresh.size))
        self._newest = np.concatenate([self._newest, np.full(fresh.size, -1, np.int64)])
        self._dirty = np.concatenate([self._dirty, np.zeros(2 * fresh.size, np.bool_)])
        self._line = np.concatenate([self._line, np.full((2 * fresh.size, trend.FIT), np.nan)])
        for others in self._others.values():
            others.grow(roster, self._series)

    def _rows_of(self, spec: ForecastSpec) -> tuple[Integers, Integers]:
        """Rows that a spec is about, by device, and their device numbers."""
        metric = self._roster.metric_number(spec.metric)
        if metric is None or not self._series.size:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        device = self._roster.series_device[self._series]
        mine: Flags = self._roster.series_metric[self._series] == metric
        if spec.types:
            fits = np.array([d.type in spec.types for d in self._roster.devices])
            mine = mine & fits[device]
        rows = np.flatnonzero(mine)
        rows = rows[np.argsort(device[rows], kind="stable")]
        return rows, device[rows]

    def _ahead(self, spec: ForecastSpec, rows: Integers, now_ms: int) -> _Ahead:
        """What lies ahead from `now_ms`, by the last days where they are sure it comes sooner.

        A limit whose time has come is 0 days away, never less. Others are asked where no line says as narrowly.
        """
        line = self._line[2 * rows]
        days = self._days(line, spec, now_ms)
        short = self._line[2 * rows + 1]
        soon = self._days(short, spec, now_ms)
        better = np.isfinite(soon[0]) & ~(days[1] <= soon[2])
        days = np.where(better, soon, days)
        days[:, self._stale(rows, now_ms)] = np.nan
        told = self._others[id(spec)].left(rows, now_ms)
        told[:, self._stale(rows, now_ms) | (days[0] == 0.0)] = np.nan
        by_others = np.isfinite(told[0]) & ~(days[2] - days[1] <= told[2] - told[1])
        line = np.where((better | np.isnan(line[:, trend.SLOPE]))[:, None], short, line)
        return _Ahead(line, np.where(by_others, told, days), by_others)

    def _days(self, line: Floats, spec: ForecastSpec, now_ms: int) -> Floats:
        days = days_to_limit(line, spec.limit, spec.direction)
        days -= np.where(days[0] > 0.0, (now_ms - line[:, trend.LAST]) / DAY_MS, 0.0)
        return np.maximum(days, 0.0)

    def _stale(self, rows: Integers, now_ms: int) -> Flags:
        """(rows,) the series has been silent too long for a forecast."""
        return np.asarray(now_ms - self._newest[rows] > np.maximum(STALE_DAYS * DAY_MS, 4 * self._kept.width[2 * rows]))


def _head(spec: ForecastSpec) -> str:
    """What a snapshot calls what belongs to a spec."""
    return f"way.{spec.name}.{'+'.join(spec.types)}."


def _sentence(spec: ForecastSpec, slope: float, span: float, days: Floats) -> str:
    """What a support person reads."""
    way = "climbs" if slope > 0 else "falls"
    if days[0] == 0.0:
        return f"{spec.metric} has reached its limit of {spec.limit:g}"
    return (
        f"{spec.metric} {way} by {abs(slope):.3g} a day, for {_time(span)} now; at this pace it reaches "
        f"{spec.limit:g} in {_time(days[0])} (90 % interval {_time(days[1])} to {_time(days[2])})"
    )


def _time(days: float) -> str:
    """In the unit that tells it apart: minutes to 90 of them, hours to 47, then days, to 10 with a tenth."""
    if days < 1 / 16:
        return f"{days * 1440:.0f} min"
    if days < 47.5 / 24:
        return f"{days * 24:.0f} h"
    return f"{days:.1f} days".replace(".0 ", " ") if days < 9.95 else f"{days:.0f} days"
