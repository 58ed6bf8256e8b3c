"""Cohorts: devices of one type, model and hardware against each other.

The *standing* of a device is how unlike its cohort's its daily means are, which shows faults present since birth;
baselines are taken on a schedule and frozen between, so that a device's score never depends on who else is in the call.
What a cohort does at once is the matter of `tide`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.model import Device, Floats, Integers, Roster

LEAST = 8  # devices that make a cohort
RARE = 1_000.0  # a standing of 1.0 is as rare as one device in so many
FLOOR = 0.02  # least spread of a metric within a cohort, relative to its median
LEAST_MODEL = 32  # devices from which on a fleet model joins the robust distances
MODEL_SEED = 7


def cohorts_of(devices: Sequence[Device]) -> Integers:
    """(devices,) numbers of cohorts: equal type, model and hardware."""
    known: dict[tuple[str, str, str], int] = {}
    keys = [(device.type, device.model, device.hardware) for device in devices]
    return np.array([known.setdefault(key, len(known)) for key in keys], np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What is usual in one cohort. Columns are metric numbers."""

    metrics: Integers  # (columns,)
    center: Floats  # (columns,) median of the devices' daily means
    spread: Floats  # (columns,) their robust standard deviation
    usual: float  # 90 % quantile of the distance of its devices
    excess: float  # their mean excess over that
    model: Any = None  # a fitted PyOD detector whose rows are scored one by one, or None

    def score(self, level: Floats) -> Floats:
        """(rows,) standing of rows of daily means (rows, columns), NaN where a metric is missing; 1.0 is rare."""
        distance = _distance(_deviations(level, self.center, self.spread), self.model)
        rarity = np.log(10.0) + (distance - self.usual) / self.excess
        return np.where(np.isnan(distance), np.nan, np.maximum(rarity, 0.0) / np.log(RARE))


def learn(
    level: Floats, metrics: Integers, *, with_model: bool = True, held: Baseline | None = None
) -> Baseline | None:
    """The baseline of one cohort, or None where too few devices are known.

    Args:
        level: (devices, columns) daily means, NaN where not known.
        metrics: (columns,) their numbers.
        with_model: fit a PyOD model too, where the cohort is large enough.
        held: the present baseline, whose model goes on where none is fitted and the metrics are the same.

    Source: medians and MAD: P. J. Rousseeuw and C. Croux (1993), Journal of the American Statistical Association 88,
    1273-1283; distance to neighbours: PyOD's KNN after S. Ramaswamy et al. (2000), whose scores, unlike those of ECOD
    and COPOD, do not depend on the other rows of the call.
    """
    enough = (~np.isnan(level)).sum(axis=0) >= LEAST
    if not enough.any():
        return None
    level, metrics = level[:, enough], metrics[enough]
    center = np.nanmedian(level, axis=0)
    spread = 1.4826 * np.nanmedian(np.abs(level - center), axis=0)
    spread = np.maximum(np.maximum(spread, FLOOR * np.abs(center)), 1e-9)
    deviations = _deviations(level, center, spread)
    rows = ~np.isnan(deviations).all(axis=1)
    model = held.model if held is not None and np.array_equal(held.metrics, metrics) else None
    if with_model:
        model = _fit(deviations[rows]) if rows.sum() >= LEAST_MODEL else None
    distance = _distance(deviations[rows], model)
    usual = float(np.quantile(distance, 0.9))
    over = distance[distance > usual] - usual
    ceiling = max(3.0 * float(np.median(distance)), 1.0)  # a few sick devices must not set the scale
    excess = max(float(np.minimum(over, ceiling).mean()) if over.size else 0.0, 0.25 * usual, 1e-3)
    return Baseline(metrics=metrics, center=center, spread=spread, usual=usual, excess=excess, model=model)


def _deviations(level: Floats, center: Floats, spread: Floats) -> Floats:
    return np.clip((level - center) / spread, -20.0, 20.0)


def _distance(deviations: Floats, model: Any) -> Floats:
    """(rows,) the largest deviation of any metric, averaged with the model's distance where there is one."""
    known = ~np.isnan(deviations)
    largest = np.where(known.any(axis=1), np.max(np.where(known, np.abs(deviations), 0.0), axis=1), np.nan)
    if model is None or deviations.shape[0] == 0:
        return largest
    neighbour: Floats = model.decision_function(np.nan_to_num(deviations))
    return 0.5 * (largest + neighbour)


def _fit(deviations: Floats) -> Any:
    from pyod.models.knn import KNN  # noqa: PLC0415  (half a second to import: only where a job trains)

    kept = deviations
    if kept.shape[0] > 2_000:
        kept = kept[np.random.default_rng(MODEL_SEED).choice(kept.shape[0], 2_000, replace=False)]
    return KNN(n_neighbors=5, method="median").fit(np.nan_to_num(kept))


def learn_all(
    roster: Roster,
    cohorts: Integers,
    level: Floats,
    *,
    with_model: bool = True,
    held: Mapping[int, Baseline] | None = None,
) -> dict[int, Baseline]:
    """Baselines by cohort number, from (series,) daily means; NaN where not known. `held`: as `learn`."""
    held = held or {}
    table = as_table(roster, level)
    found = {}
    for cohort in np.unique(cohorts).tolist():
        members = np.flatnonzero(cohorts == cohort)
        if members.size >= LEAST:
            baseline = learn(table[members], np.arange(table.shape[1]), with_model=with_model, held=held.get(cohort))
            if baseline is not None:
                found[cohort] = baseline
    return found


def standing(roster: Roster, cohorts: Integers, level: Floats, baselines: dict[int, Baseline]) -> Floats:
    """(devices,) how unlike its cohort each device is; 1.0 is as rare as one in RARE; NaN where it is not known."""
    found = np.full(len(roster.devices), np.nan)
    table = as_table(roster, level)
    for cohort, baseline in baselines.items():
        members = np.flatnonzero(cohorts == cohort)
        found[members] = baseline.score(table[np.ix_(members, baseline.metrics)])
    return found


def as_table(roster: Roster, level: Floats) -> NDArray[np.float64]:
    """(devices, metrics) of (series,) values; NaN where a device has no such series."""
    table = np.full((len(roster.devices), len(roster.metrics)), np.nan)
    count = roster.series_count
    table[roster.series_device, roster.series_metric] = level[:count]
    return table
