"""Runs to failure: C-MAPSS engines, FEMTO bearings, NASA batteries; time left, and whether its interval holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.detection.row import Row, noting
from gateway.model import Floats, Integers
from gateway.prognosis import time_left as learned
from gateway.prognosis.growth import shared_growth
from gateway.prognosis.trend import DAY_MS
from gateway.prognosis.ways import Ways

CAP_CYCLES = 125.0
CAP_MINUTES = 120.0
HORIZON_MINUTES = 60.0
WORN_OUT = 0.8  # of the first capacity
BASELINES = {"FD001": (11.08, 200.0, 10.5, 175.0), "FD002": (10.59, 504.0, 10.0, 450.0)}
BANDS = ("e0_500", "e500_1000", "e1000_2000", "e2000_4000", "e4000_6000", "e6000_9000", "e9000_12800")
ENERGIES = [f"{axis}_{name}" for axis in "hv" for name in ("rms", *BANDS)]
VIBRATION = [f"{axis}_{name}" for axis in "hv" for name in ("rms", "peak", *BANDS)]


@dataclass(frozen=True, slots=True)
class Cell:
    """A battery's cycles, its capacity over the first, and when that was 80 %."""

    age: Floats
    health: Floats
    end: float


def time_left(root: Path, train: Path | None, quick: bool) -> list[Row]:
    """The rows of engines, bearings and batteries that are under `root`."""
    rows: list[Row] = []
    for test in sorted((root / "cmapss").glob("test_FD*.csv.gz")):
        rows += _engines(root / "cmapss", test.name[5:10], quick)
    if (root / "femto").is_dir():
        rows += _bearings(root / "femto", train / "femto" if train else None, quick)
    if (root / "battery").is_dir():
        rows += _batteries(root / "battery", train / "battery" if train else None)
    return rows


def _engines(folder: Path, name: str, quick: bool) -> list[Row]:
    """Each set has its own official training half, so `--train` changes nothing here."""
    note = noting("failures")
    train, test = (pd.read_csv(folder / f"{part}_{name}.csv.gz") for part in ("train", "test"))
    truth = pd.read_csv(folder / f"RUL_{name}.csv.gz").rul.to_numpy(np.float64)
    if quick:
        train = train[train.unit <= 16]
    left = (train.groupby("unit").cycle.transform("max") - train.cycle).to_numpy(np.float64)
    model = learned.train(_engine_lives(train), left, cap=CAP_CYCLES)
    assert model is not None
    answer = model.predict(_engine_lives(test))
    last = np.flatnonzero(np.r_[np.diff(test.unit.to_numpy()) != 0, True])
    off = answer.median[last] - np.minimum(truth, CAP_CYCLES)
    known = np.isfinite(answer.median[last])
    rmse = float(np.sqrt(np.mean(off[known] ** 2)))
    nasa = float(np.where(off < 0, np.expm1(-off / 13.0), np.expm1(off / 10.0))[known].sum())
    held = ((answer.low[last] <= truth) & (truth <= answer.high[last]))[known].mean()
    base = BASELINES.get(name, (None, None, None, None))
    key = f"engines.{name.lower()}"
    return [
        note(f"{key}.rmse", f"engines {name}, truth capped at 125: RMSE", rmse, base[0], base[2]),
        note(f"{key}.nasa", "the same: NASA score", nasa, base[1], base[3]),
        note(f"{key}.coverage", "the same: truths within the 90 % interval (.85 to .95)", held, None, 0.9),
        note(f"{key}.answered", "the same: share answered", known.mean(), None, None),
    ]


def _engine_lives(table: pd.DataFrame) -> learned.Lives:
    sensors, settings = [f"s{i}" for i in range(1, 22)], ["op1", "op2", "op3"]
    return learned.Lives(
        table.unit.to_numpy(np.int64), table.cycle.to_numpy(np.float64), table[sensors].to_numpy(np.float64),
        table[settings].to_numpy(np.float64),
    )  # fmt: skip


def _bearings(folder: Path, train: Path | None, quick: bool) -> list[Row]:
    """Leave one out where a root is its own training set (`quick`: only one of them); a minute is the mean of six."""
    note = noting("failures")
    lives, end, names = _bearing_lives(folder)
    left = end[lives.unit] - lives.age
    low, median, high = (np.full(left.size, np.nan) for _ in range(3))
    other = _bearing_lives(train) if train else None
    once = learned.train(other[0], other[1][other[0].unit] - other[0].age, cap=CAP_MINUTES) if other else None
    for unit in np.unique(lives.unit)[: 1 if quick else None]:
        mine = lives.unit == unit
        model = once if other else learned.train(_of(lives, ~mine), left[~mine], cap=CAP_MINUTES)
        if model:
            answer = model.predict(_of(lives, mine))
            low[mine], median[mine], high[mine] = answer.low, answer.median, answer.high
    known = np.isfinite(median)
    held = ((low <= left) & (left <= high))[known].mean() if known.any() else np.nan
    warned = _warned(*_growing(folder, names, end))
    total = len(names)
    return [
        note("bearings.warned", f"bearings warned 5 min ahead at precision .9 (of {total})", warned, 6.0, 7.0),
        note("bearings.coverage", "bearings: truths within the 90 % interval (.85 to .95)", held, None, 0.9),
        note("bearings.answered", "the same: share answered", known.mean(), None, None),
    ]


def _bearing_lives(folder: Path) -> tuple[learned.Lives, Floats, list[str]]:
    table = pd.read_csv(folder / "snapshots.csv.gz", dtype={"bearing": str})
    table["minute"] = table.time_s // 60
    table = table.groupby(["bearing", "minute"], as_index=False)[["rpm", "load_n", *VIBRATION]].mean()
    names = sorted(table.bearing.unique())
    unit = table.bearing.map({name: i for i, name in enumerate(names)}).to_numpy(np.int64)
    ends = pd.read_csv(folder / "bearings.csv.gz", dtype={"bearing": str}).set_index("bearing").end_s / 60.0
    value = learned.over_own_start(unit, table[VIBRATION].to_numpy(np.float64), rows=30)
    lives = learned.Lives(unit, table.minute.to_numpy(np.float64) + 1.0, value, np.empty((unit.size, 0)))
    return lives, ends[names].to_numpy(np.float64), names


def _growing(folder: Path, names: list[str], end: Floats) -> tuple[Integers, Floats, Floats]:
    """Unit, minutes left, and growth shared by most quantities, at each snapshot."""
    table = pd.read_csv(folder / "snapshots.csv.gz", dtype={"bearing": str}).sort_values(["bearing", "time_s"])
    unit = table.bearing.map({name: i for i, name in enumerate(names)}).to_numpy(np.int64)
    age = table.time_s.to_numpy(np.float64) / 60.0
    value = table[ENERGIES].to_numpy(np.float64).clip(min=1e-9)
    return unit, end[unit] - age, shared_growth(unit, age, value, horizon=HORIZON_MINUTES)


def _warned(unit: Integers, left: Floats, score: Floats) -> float:
    """Most bearings warned at least 5 min ahead, over thresholds at which 9 of 10 warnings are within the hour.

    An episode lasts an hour and ends with the bearing, so that each bearing has one true episode at most.
    """
    best = 0
    for threshold in np.quantile(score, 1.0 - np.geomspace(1.0 / score.size, 0.3, 400)):
        true = false = warned = 0
        for k in np.unique(unit):
            at = left[(unit == k) & (score >= threshold)]  # minutes left at each warning, the earliest first
            warned += bool(((at <= HORIZON_MINUTES) & (at >= 5.0)).any())
            while at.size:
                true, false = true + (at[0] <= HORIZON_MINUTES), false + (at[0] > HORIZON_MINUTES)
                at = at[at < at[0] - HORIZON_MINUTES]
        if true + false and true / (true + false) >= 0.9:
            best = max(best, warned)
    return float(best)


def _batteries(folder: Path, train: Path | None) -> list[Row]:
    """Cycles to 80 % of the first capacity at 40, 60 and 80 % of a life, leave one out where a root trains itself."""
    note = noting("failures")
    cells = _cells(folder)
    others = _cells(train) if train else None
    held: list[bool] = []
    asked = 0
    for cell in cells:
        ways = Ways(WORN_OUT, "falling")
        ways.grow(1)
        for other in others or [other for other in cells if other is not cell]:
            _cycled(ways, other, float("inf"))
            ways.grow(ways.rows + 1)
        ways.learn()
        for share in (0.4, 0.6, 0.8):
            asked += 1
            last = _cycled(ways, cell, share * cell.end)
            answer, left = ways.left(np.array([ways.rows - 1]), ["cell"], int(last * DAY_MS)), cell.end - last
            if np.isfinite(answer.median[0]):
                held.append(bool(answer.low[0] <= left <= answer.high[0]))
    return [
        note(
            "batteries.coverage",
            "batteries: ends within the 90 % interval",
            float(np.mean(held)) if held else np.nan,
            None,
            0.9,
        ),
        note("batteries.answered", "the same: share answered", len(held) / max(asked, 1), None, None),
    ]


def _cells(folder: Path) -> list[Cell]:
    """The cells that came to their end."""
    table = pd.read_csv(folder / "cycles.csv.gz")
    truth = pd.read_csv(folder / "truth.csv.gz").set_index("battery")
    return [
        Cell(
            part.cycle.to_numpy(np.float64), part.capacity_ah.to_numpy(np.float64) / float(truth.initial_ah[name]), end
        )
        for name, part in table.groupby("battery")
        if np.isfinite(end := float(truth.eol80_cycle[name]))
    ]


def _cycled(ways: Ways, cell: Cell, until: float) -> float:
    """Let the newest way be that of a cell up to some cycle, a day each; samples it had before are late. The last."""
    seen = cell.age <= until
    row, t_ms = np.full(int(seen.sum()), ways.rows - 1), (cell.age[seen] * DAY_MS).astype(np.int64)
    ways.advance(row, t_ms, cell.health[seen], ["cell"] * ways.rows)
    return float(cell.age[seen][-1])


def _of(lives: learned.Lives, chosen: Any) -> learned.Lives:
    return learned.Lives(lives.unit[chosen], lives.age[chosen], lives.value[chosen], lives.condition[chosen])
