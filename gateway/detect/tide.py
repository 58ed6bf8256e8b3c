"""Tides: what much of a cohort does at once (weather, a provider's outage) is no device's fault.

A tide runs on a metric of a cohort while three in ten of its series stir, and on a cohort as a whole while three in ten
of its devices have stirred within some hours. In a tide nobody is judged by how unusual he is, for all are; a device
counts only by how far its shift stands out of those of its like, in the metric's own unit. A series that is stuck while
the others move is the contrary of a tide, and judged as ever. An episode that opens with the tide is muted, not
forgotten: it is told when its device comes to stand out, and until the last of the muted has ended the metric is judged
so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from gateway.detect import episodes
from gateway.detect.cohort import LEAST, as_table
from gateway.detect.detector import State
from gateway.detect.tail import threshold
from gateway.model import Flags, Floats, Integers, Roster

SHARE = 0.3  # of a cohort's series of one metric, or of its devices, that stir at once
STIRS = 0.5  # score from which a series stirs: where episodes close
RECENT_MS = 21_600_000  # six hours: a front passes over a region, and half of the devices report by the hour
EFFICIENCY = 0.37  # of the MAD on a normal sample: a spread of n devices is known as well as from so many n
FLOOR = 0.5  # least spread of shifts, in usual spreads of a series
OF_DEVICE = ("device.habit.episodes", "device.surprise.episodes")


@dataclass(frozen=True, slots=True)
class Tide:
    """Scores as they stand out where a tide runs, and as they are elsewhere; and where one runs."""

    series: Floats  # (series,)
    series_in: Flags
    device: Floats  # (devices,)
    device_in: Flags

    def rows(self, table: str) -> tuple[Floats, Flags] | None:
        """Scores and tides of the rows of a table of episodes; None where tides do not matter to it."""
        if table in OF_DEVICE:
            return self.device, self.device_in
        silent = not table.startswith("series.") or table == "series.silence.episodes"
        return None if silent else (self.series, self.series_in)

    def standing_out(self, table: str) -> Integers | None:
        """The rows of a table of episodes whose score reaches the threshold; None where tides do not matter to it."""
        held = self.rows(table)
        return None if held is None else np.flatnonzero(held[0] >= episodes.OPEN)

    def hides(self, table: str, row: int) -> bool:
        """Whether an episode that opens in that row is that of everybody."""
        held = self.rows(table)
        return held is not None and bool(held[1][row]) and held[0][row] < episodes.OPEN


def run(roster: Roster, tables: Mapping[str, State], cohorts: Integers, now_ms: int) -> Tide:
    """Where tides run now.

    Args:
        roster: of the fleet.
        tables: of the engine; without that of the level no tide is seen.
        cohorts: (devices,) numbers.
        now_ms: the present.

    Source: deviations from the median in MADs: P. J. Rousseeuw and C. Croux (1993), Journal of the American Statistical
    Association 88, 1273-1283; as rare as Student's t makes them, whose degrees of freedom are the devices times the
    efficiency of the MAD.
    """
    count, devices = roster.series_count, len(roster.devices)
    score = tables["series.latest"]["latest"]["score"][:count].astype(float)
    standing = tables["device.latest"]["latest"]["score"][:devices].astype(float)
    series_in, device_in = np.zeros(count, np.bool_), np.zeros(devices, np.bool_)
    if "series.level" not in tables:
        return Tide(score, series_in, standing, device_in)
    shift, floor, limit = _shifts(tables, count)
    group = cohorts[roster.series_device] * max(len(roster.metrics), 1) + roster.series_metric
    hot = np.flatnonzero(score >= STIRS)
    muted = hot[_muted(tables, hot)]
    stuck = _stuck(tables, count)
    for tidal in _tidal(group, hot, group[muted]):
        alone = stuck[tidal] & (stuck[tidal].mean() < SHARE)
        members = tidal[~alone]
        series_in[members] = True
        odd = oddness(shift[members][:, None], floor[members][:, None])[:, 0] / limit[members]
        score[members] = np.minimum(score[members], odd)
    stirred_ms = tables["device.latest"]["latest"]["stirred_ms"][:devices]
    stirred = np.flatnonzero((stirred_ms > 0) & (now_ms - stirred_ms <= RECENT_MS))
    for members in _tidal(cohorts, stirred, cohorts[:0]):
        device_in[members] = True
        of_metric, usual, least = (as_table(roster, fact)[members] for fact in (shift, floor, limit))
        tests = max(1.0, float((~np.isnan(of_metric)).sum(axis=1).max()))
        odd = (oddness(of_metric, usual) - np.log(tests)) / least  # Bonferroni, over metrics
        standing[members] = np.minimum(standing[members], np.fmax.reduce(odd, axis=1, initial=0.0))
    return Tide(score, series_in, standing, device_in)


def oddness(shift: Floats, usual: Floats) -> Floats:
    """(devices, metrics) -log of the probability that a healthy device shifts so far from its like; NaN where unknown.

    Args:
        shift: (devices, metrics) from its own past, in the metric's unit.
        usual: (devices, metrics) spread within its own past.
    """
    known = ~np.isnan(shift)
    some = known.any(axis=0)
    found = np.full(shift.shape, np.nan)
    shift, freedom = shift[:, some], np.maximum(EFFICIENCY * known[:, some].sum(axis=0), 1.0)
    away = np.abs(shift - np.nanmedian(shift, axis=0))
    spread = np.maximum(1.4826 * np.nanmedian(away, axis=0), FLOOR * np.nanmedian(usual[:, some], axis=0))
    chance = 2.0 * stdtr(freedom, -away / np.maximum(spread, 1e-12))
    found[:, some] = -np.log(np.maximum(chance, 1e-300))
    return found


def _shifts(tables: Mapping[str, State], count: int) -> tuple[Floats, Floats, Floats]:
    """(series,) distances from the level, usual spreads, and thresholds."""
    held = tables["series.level"]["level"][:count]
    pace = tables["series.pace"]["pace"][:count]
    limit = threshold(pace["interval_s"])
    return pace["value"] - held["mean"], held["scale"].astype(float), limit


def _stuck(tables: Mapping[str, State], count: int) -> Flags:
    """(series,) whether an episode of repeating one value is open."""
    if "series.stuck.episodes" not in tables:
        return np.zeros(count, np.bool_)
    held: Flags = tables["series.stuck.episodes"]["episodes"]["open"][:count]
    return held


def _muted(tables: Mapping[str, State], rows: Integers) -> Flags:
    """(rows,) whether an open episode of these series is muted."""
    found = np.zeros(rows.size, np.bool_)
    for table, state in tables.items():
        if table.startswith("series.") and table.endswith(".episodes"):
            found |= episodes.muted(state, rows)
    return found


def _tidal(group: Integers, stirring: Integers, still: Integers) -> Iterator[Integers]:
    """The members of each group in which a tide runs.

    Args:
        group: (rows,) numbers.
        stirring: the rows that stir.
        still: groups in which one runs still, whoever stirs.
    """
    if stirring.size < LEAST * SHARE and not still.size:
        return
    size = np.bincount(group)
    tidal = (size >= LEAST) & (np.bincount(group[stirring], minlength=size.size) >= SHARE * size)
    tidal[still] = True
    rows = np.flatnonzero(tidal[group])
    rows = rows[np.argsort(group[rows], kind="stable")]
    if rows.size:
        yield from np.split(rows, np.flatnonzero(np.diff(group[rows])) + 1)
