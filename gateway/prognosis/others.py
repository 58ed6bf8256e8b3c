"""What others of the same type and model showed on their way to the limits that forecasts name: for the forecaster.

Every series that a forecast is about goes a way (`ways.Ways`). Each day's forecasts are held against what comes, so
that it can be said how often their intervals held on this fleet, as finely as it is known when a limit was reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from gateway.model import Floats, Integers, Roster
from gateway.prognosis.calibration import Coverage
from gateway.prognosis.passage import Z
from gateway.prognosis.remaining import Told
from gateway.prognosis.time_left import TimeLeft
from gateway.prognosis.trend import DAY_MS
from gateway.prognosis.ways import Ways

SPANS = 5  # answers held against the truth while what is left halves: those of near days are much the same
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


class ForecastSpec(Protocol):
    """What is asked of a series; the rule library's own record fits."""

    @property
    def name(self) -> str:
        """What the facts are called after."""
        ...

    @property
    def types(self) -> Sequence[str]:
        """Product types it is about; empty means all."""
        ...

    @property
    def metric(self) -> str:
        """The series that is followed."""
        ...

    @property
    def limit(self) -> float:
        """In the metric's unit."""
        ...

    @property
    def direction(self) -> str:
        """How the metric moves towards the limit: `falling` or `rising`."""
        ...


class Others:
    """The ways to one limit, of the forecaster's rows, and answers that wait for their truth."""

    def __init__(self, spec: ForecastSpec) -> None:
        self.spec = spec
        self.ways = Ways(spec.limit, spec.direction)
        self.told = Told()
        self._place = np.empty(0, np.int64)  # (rows,) where a row of the forecaster is among the ways, or -1
        self._kinds: list[str] = []  # of the ways

    @property
    def coverage(self) -> Coverage:
        """How often forecasts to this limit held."""
        return self.told.coverage

    def grow(self, roster: Roster, series: Integers) -> None:
        """Begin ways for the forecaster's newest rows; `series` (rows,) of all of them."""
        fresh = series[self._place.size :]
        metric, devices = roster.metric_number(self.spec.metric), roster.devices
        place = np.full(fresh.size, -1, np.int64)
        for i in np.flatnonzero(roster.series_metric[fresh] == (-1 if metric is None else metric)).tolist():
            device = devices[roster.series_device[fresh[i]]]
            if not self.spec.types or device.type in self.spec.types:
                place[i] = len(self._kinds)
                self._kinds.append(f"{device.type} {device.model}".strip())
        self._place = np.concatenate([self._place, place])
        self.ways.grow(len(self._kinds))

    def advance(self, row: Integers, t_ms: Integers, value: Floats) -> None:
        """Take (samples,) in time order of each row of the forecaster."""
        place = self._place[row]
        mine = place >= 0
        if mine.any():
            ends = self.ways.advance(place[mine], t_ms[mine], value[mine], self._kinds)
            self.told.failed(ends[:, 0], ends[:, 1])

    def learn(self) -> None:
        """Learn from the devices that have reached the limit by now; until it is called again nothing changes."""
        if self.ways.waiting:
            self.ways.learn()

    def left(self, row: Integers, now_ms: int) -> Floats:
        """(3, rows) days left, low and high; NaN where others tell nothing."""
        place = self._place[row]
        out = np.full((3, row.size), np.nan)
        there = np.flatnonzero(place >= 0)
        if self.ways.models and there.size:
            told = self.ways.left(place[there], [self._kinds[p] for p in place[there].tolist()], now_ms)
            out[:, there] = told.median, told.low, told.high
        return out

    def note(self, row: Integers, days: Floats, now_ms: int) -> None:
        """Keep (3, rows) forecasts of a day until their truth comes out; those of ways that begin anew are dropped."""
        place = self._place[row]
        born = self.ways.born(self.told.waiting[:, 0].astype(np.int64))
        self.told.waiting = self.told.waiting[self.told.waiting[:, 1] >= born]
        span = 2.0 ** np.floor(np.log2(np.maximum(days[0] / SPANS, 1.0))) * DAY_MS
        due = (place >= 0) & (days[0] > 0.0) & (now_ms // span != (now_ms - DAY_MS) // span)
        grain = self.ways.grain(place[due])
        self.told.tell(place[due], now_ms, TimeLeft(days[0, due], days[1, due] - grain, days[2, due] + grain))

    def sentence(self, row: int, now_ms: int) -> str:
        """What others did, as "three devices of this model took 40 to 55 days from here"; "" where nothing is known."""
        place = int(self._place[row])
        if place < 0 or self._kinds[place] not in self.ways.models:
            return ""
        units, least, most = self.ways.took(place, self._kinds[place], now_ms)
        count = NUMBERS[units] if units < len(NUMBERS) else f"{units}"
        return f"{count} devices of this model took {_span(least, most)} from here"

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All state as arrays; `restore` goes on from them exactly."""
        held = self.coverage
        return {
            **self.ways.snapshot(), "place": self._place, "kinds": np.array(self._kinds, np.str_),
            "told": self.told.waiting, "held": np.array([held.held, held.below, held.above]),
        }  # fmt: skip

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a snapshot, where it was of the same limit; else the ways begin at the next block."""
        if self.ways.restore(snapshot):
            self._place, self._kinds = np.array(snapshot["place"]), [str(kind) for kind in snapshot["kinds"]]
            self.told = Told(np.array(snapshot["told"]), Coverage(*snapshot["held"].tolist()))


def risk_of(days: Floats, within: float) -> Floats:
    """(rows,) probability that no more than `within` days are left, by (3, rows) days of a lognormal."""
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.log(days[2] / days[0]) / Z
        return np.where(days[0] > 0.0, ndtr((np.log(within) - np.log(days[0])) / spread), 1.0)


def _span(least: float, most: float) -> str:
    """In days, or hours where they are few."""
    if most < 2.0:
        return f"{least * 24:.0f} to {most * 24:.0f} hours"
    return f"{least:.0f} to {most:.0f} days"
