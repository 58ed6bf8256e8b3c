"""What the others of a device's model did, as the band that its charts draw behind its own line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.model import Floats, Integers, Roster
from gateway.ports import SeriesStore

MOST = 24  # devices that speak for a model: their middle is known to a tenth of their spread
LEAST = 5  # fewer are no crowd
STEPS = 96  # over the width of a chart
A_STEP = 4  # samples read for each


@dataclass(frozen=True, slots=True)
class Band:
    """Quantiles over devices, (steps,) each; steps in which fewer than LEAST of them sent something are left out."""

    devices: int
    t_ms: Integers  # the middle of a step
    low: Floats  # .1
    middle: Floats  # .5
    high: Floats  # .9


def band(roster: Roster, store: SeriesStore, device: int, metric: int, *, span: tuple[int, int]) -> Band:
    """The band of one metric over the others of a device's type and model.

    Args:
        roster: of the fleet.
        store: where the samples rest.
        device: its number.
        metric: its number.
        span: start and end of the chart, Unix ms; the end is not included.
    """
    series = _like(roster, device, metric)
    if series.size < LEAST:
        none = np.empty(0)
        return Band(0, np.empty(0, np.int64), none, none, none)
    edges = np.linspace(*span, STEPS + 1)
    rows = np.array([_steps(store, int(number), edges) for number in series])
    known = (~np.isnan(rows)).sum(axis=0) >= LEAST
    low, middle, high = np.nanquantile(rows[:, known], (0.1, 0.5, 0.9), axis=0)
    return Band(series.size, ((edges[:-1] + edges[1:]) / 2.0)[known].astype(np.int64), low, middle, high)


def _like(roster: Roster, device: int, metric: int) -> Integers:
    """The metric's series of at most MOST others of the model, evenly chosen."""
    own = roster.devices[device]
    same = [d.number for d in roster.devices if (d.type, d.model) == (own.type, own.model) and d.number != device]
    chosen = np.flatnonzero((roster.series_metric == metric) & np.isin(roster.series_device, same))
    return chosen[np.linspace(0, chosen.size - 1, min(MOST, chosen.size)).astype(int)] if chosen.size else chosen


def _steps(store: SeriesStore, series: int, edges: Floats) -> Floats:
    """(steps,) mean of a series in each step; NaN where there is no sample."""
    t_ms, value = store.range(series, int(edges[0]), int(edges[-1]), limit=STEPS * A_STEP)
    step = np.clip(np.searchsorted(edges, t_ms, side="right") - 1, 0, STEPS - 1)
    count = np.bincount(step, minlength=STEPS)
    mean: Floats = np.where(count, np.bincount(step, value, minlength=STEPS) / np.maximum(count, 1), np.nan)
    return mean
