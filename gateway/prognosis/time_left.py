"""Time left to failure, learned from units that have failed, with an interval that holds; silent where it must guess.

    values ─► minus what is normal under the present conditions ─► fading means ─► one health index ─► time left

Time is whatever a unit ages by: cycles, minutes, days of service. Beyond `cap` a healthy unit shows nothing of its end,
so nothing is said but "more than that". A unit that looks like none of those learned from gets no answer at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.signal import lfilter
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.tree import DecisionTreeRegressor
from threadpoolctl import threadpool_limits

from gateway.model import Floats, Integers
from gateway.prognosis import smooth
from gateway.prognosis.calibration import Intervals, conform
from gateway.prognosis.features import Rows
from gateway.prognosis.forest import Forest, of_boosted, of_tree
from gateway.prognosis.smooth import Line, Smooth, line_of

HALF_LIVES = ((3.0, 8.0, 20.0), (5.0, 15.0, 40.0), (8.0, 24.0, 60.0))
"""Steps over which noise fades, to choose from by units not trained on: the noisier, the longer."""
FOLDS = 3  # of whole units, for predictions of units not trained on
SEEDS = 2  # of trees, and of smooth learners, whose mean is the answer
STRANGE = 3.0  # times the largest distance seen in training, in which a unit is like none before
CLIP = 20.0  # spreads beyond which a value tells a learner nothing more
FARTHEST = 100.0  # and the distance nothing more: one wild value alone makes no unit strange
FEW_ROWS = 10_000  # up to which fewer and larger steps of the trees do
FEWEST_UNITS = 4  # failed units without which nothing is said


@dataclass(frozen=True, slots=True)
class Lives:
    """Rows of several units, each unit's rows together and in time order."""

    unit: Integers  # (rows,)
    age: Floats  # (rows,) of the unit, in its own time
    value: Floats  # (rows, metrics)
    condition: Floats  # (rows, conditions) under which they were taken; may have no columns


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """An answer for each row; NaN where nothing is known."""

    median: Floats
    low: Floats
    high: Floats  # inf: "more than `median`"


@dataclass(frozen=True, slots=True)
class TimeLeftModel:
    """A trained model."""

    cap: float
    half_lives: tuple[float, ...]
    normal: tuple[Forest, ...]  # for each metric kept: tree from conditions to its normal value
    kept: Integers  # (metrics kept,) columns
    spread: Floats  # (metrics kept,) sd of a healthy unit around normal
    index: Line  # from fading means to the share of life left
    learners: tuple[Smooth | Forest, ...]
    intervals: Intervals
    widest: float  # distance of the strangest training row

    def predict(self, lives: Lives, *, at: Any = slice(None)) -> TimeLeft:
        """What is left at each row, or at the rows `at`, from that row's past alone."""
        median, distance = _median(self, lives, at)
        low, high = self.intervals(median)
        low, high = low.clip(min=0.0), np.where(high >= 0.98 * self.cap, np.inf, high)
        known = distance <= STRANGE * self.widest
        return TimeLeft(*(np.where(known, x, np.nan) for x in (median, low, high)))


def train(lives: Lives, left: Floats, *, cap: float, seed: int = 0) -> TimeLeftModel | None:
    """A model from units whose end is known, or None where they are too few.

    Args:
        lives: rows of failed units, from any time of their lives to any.
        left: (rows,) time left.
        cap: beyond which a unit is taken to be healthy (F. O. Heimes 2008 uses 130 cycles, most since then 125).
        seed: of the trees.

    Sources: F. O. Heimes (2008), Recurrent neural networks for remaining useful life estimation, PHM 2008 (capped
    target); T. Wang et al. (2008), A similarity-based prognostics approach, PHM 2008 (conditions taken out, linear
    health index); J. H. Friedman (2001) for the trees, with a kernel machine beside them (`smooth`); intervals as in
    `calibration.conform`.
    """
    units = np.unique(lives.unit)
    if units.size < FEWEST_UNITS:
        return None
    target = np.minimum(left, cap)
    fold = np.searchsorted(units, lives.unit) % min(FOLDS, units.size)

    def across(half_lives: tuple[float, ...], *, trees: bool) -> Floats:
        """(rows,) what is told of units not trained on."""
        out = np.empty_like(target)
        for k in np.unique(fold):
            seen = fold != k
            part = _fit(_where(lives, seen), target[seen], cap=cap, half_lives=half_lives, seed=seed, trees=trees)
            out[~seen] = _median(part, _where(lives, ~seen))[0]
        return out

    error = [float(np.mean((across(half_lives, trees=False) - target) ** 2)) for half_lives in HALF_LIVES]
    half_lives = HALF_LIVES[int(np.argmin(error))]
    told = across(half_lives, trees=True)
    model = _fit(lives, target, cap=cap, half_lives=half_lives, seed=seed)
    return replace(model, intervals=conform(told, target, lives.unit.astype(np.float64)))


def _median(model: TimeLeftModel, lives: Lives, at: Any = slice(None)) -> tuple[Floats, Floats]:
    """(rows,) time left within the cap, and (rows,) distance from normal; of the rows `at`."""
    rows, distance = (of[at] for of in _rows(model, lives))
    with threadpool_limits(1):
        median = np.mean([learner(rows) for learner in model.learners], axis=0)
    return median.clip(0.0, model.cap), distance


def _fit(
    lives: Lives, target: Floats, *, cap: float, half_lives: tuple[float, ...], seed: int, trees: bool = True
) -> TimeLeftModel:
    """Everything but the intervals; without `trees` one smooth learner, a tenth of the work."""
    healthy = target >= cap if (target >= cap).sum() > 50 else target >= np.quantile(target, 0.7)
    kept = np.flatnonzero(lives.value.std(0) > 1e-9 * (1.0 + np.abs(lives.value).mean(0)))
    condition = _conditions(lives)
    normal: list[Forest] = []
    spread = []
    for c in kept:
        tree = DecisionTreeRegressor(max_leaf_nodes=12, min_samples_leaf=0.02, random_state=seed)
        tree.fit(condition[healthy], lives.value[healthy, c])
        normal.append(of_tree(tree.tree_))
        spread.append(max(float((lives.value[healthy, c] - normal[-1](condition[healthy])).std()), 1e-9))
    none = Intervals(np.empty(0), np.zeros(1), np.zeros(1))
    flat = Line(np.zeros(kept.size), 0.0)
    model = TimeLeftModel(
        cap, half_lives, tuple(normal), kept, np.array(spread), index=flat, learners=(), intervals=none, widest=np.inf
    )
    faded = _faded(model, lives.unit, _off(model, lives))[:, :, 1]
    model = replace(model, index=line_of(RidgeCV(np.logspace(-1, 4, 6)).fit(faded, target)))
    rows, distance = _rows(model, lives)
    learners: list[Smooth | Forest] = []
    with threadpool_limits(1):
        for k in range(SEEDS if trees else 1):
            learners.append(smooth.fit(rows, target, seed=seed + k))
            if trees:
                learners.append(of_boosted(_trees(seed + k, rows=len(rows)).fit(rows, target)))
    return replace(model, learners=tuple(learners), widest=float(distance.max()))


def _trees(seed: int, *, rows: int) -> HistGradientBoostingRegressor:
    """Untrained; a third of the features at each split is worth 0.3 cycles of RMSE (FD001, FD002; 2026-11)."""
    many = 400 if rows > FEW_ROWS else 150
    return HistGradientBoostingRegressor(
        max_iter=many, learning_rate=12.0 / many, max_leaf_nodes=12, min_samples_leaf=60, l2_regularization=10.0,
        max_features=0.3, early_stopping=False, random_state=seed,
    )  # fmt: skip


def _rows(model: TimeLeftModel, lives: Lives) -> tuple[Floats, Floats]:
    """(rows, features) and (rows,) distance from what is normal, in the largest of the slow means."""
    off = _off(model, lives)
    faded = _faded(model, lives.unit, off)
    index = model.index(faded[:, :, 1])
    health = np.stack([_fade(lives.unit, index[:, None], half)[:, 0] for half in model.half_lives], 1)
    slow = np.stack([health[:, 0] - health[:, 1], health[:, 1] - health[:, 2]], 1)
    rows = np.column_stack([faded[:, :, 1], faded[:, :, 1] - faded[:, :, 2], health, slow, lives.age])
    return rows, np.abs(_fade(lives.unit, off.clip(-FARTHEST, FARTHEST), model.half_lives[2])).max(1)


def _off(model: TimeLeftModel, lives: Lives) -> Floats:
    """(rows, metrics kept) values over their normal, in spreads."""
    condition = _conditions(lives)
    columns = zip(model.kept, model.normal, model.spread, strict=True)
    return np.stack([(lives.value[:, c] - tree(condition)) / spread for c, tree, spread in columns], 1)


def _faded(model: TimeLeftModel, unit: Integers, off: Floats) -> Floats:
    """(rows, metrics kept, half-lives) fading means of what `_off` gives, within `CLIP` spreads."""
    return np.stack([_fade(unit, off.clip(-CLIP, CLIP), half) for half in model.half_lives], 2)


def _fade(unit: Integers, value: Floats, half: float) -> Floats:
    """(rows, columns) fading means within each unit; the first rows weigh alike until there are enough."""
    keep = 0.5 ** (1.0 / half)
    out = np.empty_like(value)
    edges = np.flatnonzero(np.r_[True, unit[1:] != unit[:-1], True])
    for first, end in pairwise(edges.tolist()):
        weight = lfilter([1.0], [1.0, -keep], np.ones(end - first))
        out[first:end] = lfilter([1.0], [1.0, -keep], value[first:end], axis=0) / weight[:, None]
    return out


def _conditions(lives: Lives) -> Rows:
    """(rows, conditions, one at least) in single precision, as decision trees are grown."""
    return (lives.condition if lives.condition.shape[1] else np.zeros((lives.unit.size, 1))).astype(np.float32)


def _where(lives: Lives, chosen: Any) -> Lives:
    return Lives(lives.unit[chosen], lives.age[chosen], lives.value[chosen], lives.condition[chosen])


def over_own_start(unit: Integers, value: Floats, *, rows: int) -> Floats:
    """(rows, metrics) natural logarithm of each value over the mean of its unit's first `rows`, as known at that row.

    For quantities whose healthy level differs from unit to unit, as vibration does from bearing to bearing.
    """
    out = np.empty_like(value)
    edges = np.flatnonzero(np.r_[True, unit[1:] != unit[:-1], True])
    for first, end in pairwise(edges.tolist()):
        mine = value[first:end]
        count = np.minimum(np.arange(1, end - first + 1), rows)
        start = np.cumsum(mine, axis=0)[count - 1] / count[:, None]
        out[first:end] = np.log(np.maximum(mine, 1e-12) / np.maximum(start, 1e-12))
    return out
