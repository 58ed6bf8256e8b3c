"""How unusual a device's past is in its fleet, without one failure ever seen: the rank of risk before there are labels.

Two kinds of courses tell of degradation. Counters that stand still on nearly all devices (bad sectors, rare errors):
their growth counts, the more so the fewer devices show any. Gauges that move about a level (pressure, vibration): how
far the newest hours lie from the device's own level counts, by how rarely the fleet shows as much. What rises on every
device (hours in service) tells nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.model import Floats
from gateway.prognosis.features import Rows

ROOM = 4000  # rows of the fleet's past that shares and tails are taken from; 1 in 4000 is the rarest that can be told
COMMON = 0.5  # -log10 of the share of devices that show growth at any time; above 1 in 3 it is how devices are
RAREST = 2.0  # 1 in 300: rarer ones weigh no more, as their share is not known better from so few
GROWTH = 2.0  # what a rare growth weighs beside a gauge as rarely off (measured: bench/detection/failures.py, machines)
NEVER = 99.0  # horizons
ROSE = (("rise_short", 0.1), ("rise", 0.1), ("rise_long", 0.01))  # what is left of a rise for it to count
USUAL_TAIL = 1.0  # -log10 of a gauge's tail: one look in ten is as far off


@dataclass(frozen=True, slots=True)
class Prior:
    """What is usual in a fleet, learned from rows of all of it."""

    growth: tuple[tuple[str, float], ...]  # (column, weight) of the counters that tell
    gauges: tuple[tuple[str, Floats], ...]  # (feature, magnitudes ascending)
    shifts: tuple[str, ...] = ()  # features that are probabilities of a shift

    def score(self, rows: Rows, names: Sequence[str]) -> Floats:
        """(rows,) how unusual each row is; 0 is nothing. A row is judged by itself.

        Sources: weighted growth of error counters as in J. F. Murray, G. F. Hughes, K. Kreutz-Delgado (2005), Machine
        learning methods for predicting failures in hard drives, JMLR 6, 783-816 (rank sums of counts); tails as in
        Z. Li et al. (2022), ECOD, IEEE TKDE, with a frozen reference.
        """
        place = {name: i for i, name in enumerate(names)}
        total = np.zeros(len(rows))
        for column, weight in self.growth:
            for part in ("rise", "rise_short"):
                if (name := f"{column}.{part}") in place:
                    total += GROWTH * weight * np.log1p(_magnitude(rows[:, place[name]]))
        for name, usual in self.gauges:
            if name in place:
                rank = np.searchsorted(usual, _magnitude(rows[:, place[name]]), side="left")
                rare = -np.log10((usual.size - rank + 1.0) / (usual.size + 1.0))
                total += np.maximum(0.0, rare - USUAL_TAIL)
        for name in self.shifts:
            if name in place:
                total -= np.log10(1.0 - _magnitude(rows[:, place[name]]) / (1.0 + 0.1**RAREST))
        return total

    def signs(self, rows: Rows, names: Sequence[str]) -> Rows:
        """(rows, 6) what the counters that tell show together, for trees to split on.

        The score; how many counters rose of late, in a while and ever; horizons since the newest change of any, and
        since that of another.
        """
        since = np.sort(np.nan_to_num(self._of("since_change", rows, names), nan=NEVER), axis=1)
        rose = [(np.nan_to_num(self._of(part, rows, names)) > least).sum(axis=1) for part, least in ROSE]
        return np.column_stack([self.score(rows, names), *rose, since[:, :2]]).astype(np.float32)

    def _of(self, part: str, rows: Rows, names: Sequence[str]) -> Rows:
        """(rows, counters + 2) one feature of each counter that tells, and two that are unknown."""
        place = {name: i for i, name in enumerate(names)}
        there = [place[name] for column, _ in self.growth if (name := f"{column}.{part}") in place]
        return np.column_stack([rows[:, there], np.full((len(rows), 2), np.nan, np.float32)])


def learn(rows: Rows, names: Sequence[str], stands: Floats | None = None) -> Prior:
    """A prior from (rows, features) of the fleet's past, at most ROOM of them, evenly spread.

    `stands`: (rows,) how many rows each stands for, where the rows themselves are not evenly drawn.
    """
    drawn = np.linspace(0, len(rows) - 1, min(len(rows), ROOM)).astype(int)
    if stands is not None:
        mass = np.cumsum(stands)
        drawn = np.searchsorted(mass, mass[-1] * (drawn + 0.5) / len(rows))
    some = rows[drawn]
    place = {name: i for i, name in enumerate(names)}
    growth, gauges = [], []
    for column in dict.fromkeys(name.rpartition(".")[0] for name in names):
        if f"{column}.rise" not in place:
            continue
        gain = some[:, place[f"{column}.gain"]] if f"{column}.gain" in place else np.zeros(1)
        if (gain < 0.0).mean() > 0.1:  # it goes down as well as up
            if f"{column.replace('metric:', 'shift:')}.up" in place:
                continue
            gauges.append((f"{column}.z_short", np.sort(_magnitude(some[:, place[f"{column}.z_short"]]))))
            continue
        # A line of a log counts while it is fresh; a counter that ever rose is a device that wears.
        part, least = ("rise_long", 0.01) if column.startswith("metric:") else ("rise", 0.1)
        share = (_magnitude(some[:, place[f"{column}.{part}"]]) > least).mean()
        weight = min(RAREST, -np.log10(share + 1.0 / len(some)) - COMMON)
        if weight > 0.0:
            growth.append((column, float(weight)))
    return Prior(tuple(growth), tuple(gauges), tuple(name for name in names if name.startswith("shift:")))


def _magnitude(value: Rows) -> Floats:
    return np.abs(np.nan_to_num(value.astype(np.float64)))
