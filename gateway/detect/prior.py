"""Priors: what the settled devices of a type and model tell of a new one before it has a past of its own.

For each metric of a type and model medians over its settled series are taken, on the schedule of cohorts, and frozen
until the next time. A series that sends its first sample begins with them, each with the weight of a few samples, and
is judged at once. What devices of a model do not share is not handed on: a level that differs from one to the next
counts for less than one sample of the device itself, and a rhythm, step size or pace of change on which they disagree
for nothing. So a score depends on its own series and on the prior that its first sample met, on nothing later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.detect import drift, rhythm, stuck, variance
from gateway.detect.detector import State
from gateway.model import Device, Flags, Floats, Integers, Roster

LEAST = 8  # settled series that make a prior
SHARE = 0.75  # the scale handed on: that of three quarters of the devices is no larger
MOST_TRUST = 24.0  # samples that the fleet's level counts for where devices agree to a hair
AGREE = 1.0  # scales within which devices must lie for steps and rhythm to be handed on
MOVING = 0.95  # share of series that must be known to move before one that stands still is stuck
TAILS = ("level", "variance", "rhythm", "stuck", "drift", "shape")

ROW = np.dtype(
    [
        *((name, np.float64) for name in ("mean", "scale", "trust")),
        *((name, np.float64) for name in ("usual", "spread", "longest", "origin", "unit", "residual")),
        ("hour", np.int16, (rhythm.HOURS,)),
        ("tail", np.float64, (len(TAILS), 2)),  # quantile and mean excess
    ]
)
Tables = Mapping[str, State]


@dataclass(frozen=True, slots=True)
class Priors:
    """Rows by type, model and metric. A number in a row is NaN where the devices do not agree on it."""

    row_of: dict[tuple[str, str, str], int] = field(default_factory=dict)
    rows: NDArray[Any] = field(default_factory=lambda: np.zeros(0, ROW))

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The priors as named arrays."""
        names = json.dumps(list(self.row_of)).encode()
        return {"names": np.frombuffer(names, np.uint8), "rows": self.rows.copy()}

    @staticmethod
    def restore(held: Mapping[str, NDArray[Any]]) -> Priors:
        """The priors of a snapshot; none where it held none, or those of an older layout."""
        if "names" not in held or held["rows"].dtype != ROW:
            return Priors()
        names = json.loads(held["names"].tobytes())
        return Priors({tuple(name): row for row, name in enumerate(names)}, held["rows"].copy())


def learn(roster: Roster, tables: Tables) -> Priors:
    """Priors of every metric of every type and model of which LEAST series are settled.

    Args:
        roster: of the fleet.
        tables: of the engine: states by `series.<detector>`. Where one of TAILS is missing, nothing is learned.

    Source: an empirical Bayes prior, whose weight is the variance within a series over that between series, from
    robust moments: B. Efron and C. Morris (1975), Data analysis using Stein's estimator, Journal of the American
    Statistical Association 70, 311-319.
    """
    count = roster.series_count
    if not all(f"series.{name}" in tables for name in TAILS):
        return Priors()
    known: dict[tuple[str, str], int] = {}
    group = np.array([known.setdefault(_kind(device), len(known)) for device in roster.devices], np.int64)
    named = np.array([bool(device.type) for device in roster.devices], np.bool_)[roster.series_device]
    settled = np.flatnonzero(named & (tables["series.drift"]["drift"]["buckets"][:count] > drift.WARMUP))
    key = group[roster.series_device[settled]] * len(roster.metrics) + roster.series_metric[settled]
    order = np.argsort(key, kind="stable")
    numbers, first, sizes = np.unique(key[order], return_index=True, return_counts=True)
    kinds, row_of = list(known), dict[tuple[str, str, str], int]()
    rows: list[NDArray[Any]] = []
    for number, start, size in zip(numbers.tolist(), first.tolist(), sizes.tolist(), strict=True):
        if size >= LEAST:
            series = settled[order[start : start + size]]
            kind, metric = divmod(number, len(roster.metrics))
            row_of[(*kinds[kind], roster.metrics[metric])] = len(rows)
            rows.append(_row(tables, series))
    return Priors(row_of, np.array(rows, ROW) if rows else np.zeros(0, ROW))


def _kind(device: Device) -> tuple[str, str]:
    return device.type, device.model


def _row(tables: Tables, series: Integers) -> NDArray[Any]:
    row = np.zeros((), ROW)
    held = {name: {k: a[series] for k, a in tables[f"series.{name}"].items()} for name in TAILS}
    for k, name in enumerate(TAILS):
        tail = held[name]["tail"]
        row["tail"][k] = np.quantile(tail["quantile"], SHARE), np.quantile(tail["excess"], SHARE)
    m = held["level"]["level"]
    between, row["mean"] = _between(m["mean"])
    row["scale"] = max(float(np.quantile(m["scale"], SHARE)), 1e-3 * abs(float(row["mean"])), 1e-12)
    row["trust"] = min((row["scale"] / max(between, 1e-12)) ** 2, MOST_TRUST)
    m = held["variance"]["variance"]
    between, row["usual"] = _between(m["usual"])
    spread = max(float(np.quantile(m["spread"], SHARE)), variance.LEAST_SPREAD)
    row["spread"] = np.hypot(spread, between) if between <= AGREE * spread else np.nan
    m = held["stuck"]["stuck"]
    row["longest"] = np.quantile(m["longest"], MOVING) if (m["changes"] >= stuck.RUNS).mean() >= MOVING else np.nan
    _put_rhythm(row, held["rhythm"]["rhythm"])
    return row


def _put_rhythm(row: NDArray[Any], m: NDArray[Any]) -> None:
    """The hours of the week, where devices that have seen them all agree on them in the metric's own unit."""
    row["residual"] = np.nan
    steps = rhythm.profiles(m)
    settled = ~np.isnan(steps).any(axis=1) & (m["count"] > rhythm.YOUNG + rhythm.WARMUP)
    m, steps = m[settled], steps[settled]
    if m.size < LEAST:
        return
    profile = m["origin"][:, None] + m["unit"][:, None] * steps / rhythm.STEPS
    center = np.median(profile, axis=0)
    between = 1.4826 * float(np.median(np.abs(profile - center)))
    own = float(np.quantile(m["scale"] * m["unit"], SHARE))
    if between <= AGREE * own:
        row["origin"], row["unit"] = np.median(m["origin"]), np.median(m["unit"])
        steps = np.round((center - row["origin"]) / row["unit"] * rhythm.STEPS)
        row["hour"] = np.clip(steps, -rhythm.FARTHEST, rhythm.FARTHEST)
        row["residual"] = np.hypot(own, between) / row["unit"]


def _between(values: Floats) -> tuple[float, float]:
    """Robust standard deviation over devices, the larger of two, and median."""
    center = np.median(values)
    low, high = np.quantile(values, (0.1, 0.9))
    return max(1.4826 * float(np.median(np.abs(values - center))), float(high - low) / 2.563), float(center)


def unheard(pace: State, series: Integers) -> Integers:
    """The series among `series`, which is sorted, of which no sample is known yet."""
    heads = series[np.flatnonzero(np.diff(series, prepend=-1))]
    return heads[pace["pace"]["last_ms"][heads] < 0]


def give(priors: Priors, tables: Tables, roster: Roster, fresh: Integers, now_ms: int) -> None:
    """Let the given series, of which no sample is known, begin with what their like have in common."""
    if not priors.row_of or not fresh.size:
        return
    device, metric = roster.series_device[fresh].tolist(), roster.series_metric[fresh].tolist()
    like = [(*_kind(roster.devices[d]), roster.metrics[m]) for d, m in zip(device, metric, strict=True)]
    place = np.array([priors.row_of.get(key, -1) for key in like], np.int64)
    fresh, row = fresh[place >= 0], priors.rows[place[place >= 0]]
    for k, name in enumerate(TAILS):
        tail = tables[f"series.{name}"]["tail"]
        tail["quantile"][fresh], tail["excess"][fresh] = row["tail"][:, k].T
    held = tables["series.level"]["level"]
    for name in ("mean", "scale", "trust"):
        held[name][fresh] = row[name]
    _begin(
        tables["series.variance"]["variance"],
        fresh,
        ~np.isnan(row["spread"]),
        now=row["usual"],
        usual=row["usual"],
        spread=row["spread"],
        count=variance.WARMUP,
    )
    _begin(
        tables["series.stuck"]["stuck"],
        fresh,
        ~np.isnan(row["longest"]),
        longest=row["longest"],
        changes=stuck.RUNS,
        count=stuck.WARMUP + 1,
    )
    held, agreed = tables["series.rhythm"]["rhythm"], ~np.isnan(row["residual"])
    rhythm.begin(held, fresh[agreed], row["hour"][agreed].astype(float))
    _begin(
        held,
        fresh,
        agreed,
        origin=row["origin"],
        unit=row["unit"],
        scale=row["residual"],
        hour=rhythm.NEVER,
        birth_h=now_ms // rhythm.HOUR_MS - rhythm.HOURS,
        count=rhythm.YOUNG + rhythm.WARMUP,
    )


def _begin(held: NDArray[Any], fresh: Integers, agreed: Flags, **values: Any) -> None:
    for name, value in values.items():
        held[name][fresh[agreed]] = value[agreed] if isinstance(value, np.ndarray) else value
