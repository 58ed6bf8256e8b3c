"""Probability that a device, or one of its components, fails within the horizon, learned from the fleet's own outcomes.

Before ten failures are known there is no probability, only the prior's order. From ten on, a logistic curve over the
prior; from fifty on, boosted trees over the features with the prior among them, calibrated on devices that they were
not trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from gateway.model import Flags, Floats, Integers
from gateway.prognosis.calibration import Calibration, calibrate
from gateway.prognosis.features import Rows
from gateway.prognosis.prior import Prior, learn

FIRST_LABELS = 10  # five for each free parameter of a curve over the prior (P. Peduzzi et al. 1995 ask 10)
ENOUGH_LABELS = 50  # failures from which trees rank better than the prior (bench/detection/failures.py, Backblaze)
PARTS = 3  # models, each calibrated on the third of the devices that it has not seen
MOST_ROWS = 40_000  # rows to train on; the rest of the healthy ones are thinned and weighted back

TREES = {"max_iter": 100, "learning_rate": 0.08, "max_leaf_nodes": 24, "min_samples_leaf": 30, "l2_regularization": 5.0}


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows of the past whose outcome is known, by device, then time."""

    rows: Rows  # (rows, features)
    names: tuple[str, ...]  # (features,)
    device: Integers  # (rows,) whose row it is
    failed: Flags  # (rows,) within the horizon
    weight: Floats | None = None  # (rows,) how many rows each stands for; None: one


@dataclass(frozen=True, slots=True)
class RiskModel:
    """A trained model; `failures` says from how many failures it has learned."""

    names: tuple[str, ...]
    prior: Prior
    trees: tuple[Any, ...]  # fitted classifiers; empty where only the prior is used
    calibrations: tuple[Calibration, ...]
    failures: int

    def probability(self, rows: Rows, names: Sequence[str]) -> Floats:
        """(rows,) probability of failure within the horizon. Columns the model does not know are left out.

        A row is judged by itself: who else is in the call changes nothing.
        """
        prior = self.prior.score(rows, names)
        if not self.trees:
            return self.calibrations[0](_squash(prior))
        x = np.column_stack([_chosen(rows, names, self.names), prior])
        with threadpool_limits(1):
            parts = [c(t.predict_proba(x)[:, 1]) for t, c in zip(self.trees, self.calibrations, strict=True)]
        return np.asarray(np.mean(parts, axis=0))


def train(examples: Examples, *, component: str = "", seed: int = 0) -> RiskModel | None:
    """A model of failures of `component` (or of the whole device), or None where too few failures are known.

    Sources: J. H. Friedman (2001), Greedy function approximation: a gradient boosting machine, Annals of Statistics 29,
    1189-1232, as in scikit-learn's HistGradientBoosting; the mean over held-out thirds is cross-calibration as in
    scikit-learn's CalibratedClassifierCV(ensemble=True).
    """
    failures = _count(examples)
    if failures < FIRST_LABELS:
        return None
    picked, weight = _sample(examples.failed, seed)
    if examples.weight is not None:
        weight = weight * examples.weight[picked]
    device, failed, rows = examples.device[picked], examples.failed[picked], examples.rows[picked]
    prior = learn(examples.rows, examples.names)
    score = prior.score(rows, examples.names)
    if failures < ENOUGH_LABELS:
        return RiskModel(examples.names, prior, (), (calibrate(_squash(score), failed, weight),), failures)
    x = np.column_stack([rows, score])
    # More time since service never makes a part safer: held monotone, so that no grid of visits can be learned.
    rising = [int(name == f"service:{component}.age_doublings") for name in examples.names]
    part = _part_of(device)
    trees, calibrations = [], []
    with threadpool_limits(1):  # training runs beside ingest; a second thread would wait for it more than work
        for k in range(PARTS):
            seen, held = part != k, part == k
            tree = HistGradientBoostingClassifier(random_state=seed + k, monotonic_cst=[*rising, 0], **TREES)
            tree.fit(_filled(x[seen]), failed[seen], sample_weight=weight[seen] / weight[seen].mean())
            trees.append(tree)
            calibrations.append(calibrate(tree.predict_proba(x[held])[:, 1], failed[held], weight[held]))
    return RiskModel(examples.names, prior, tuple(trees), tuple(calibrations), failures)


def _filled(x: Rows) -> Rows:
    """Noughts in columns that are wholly unknown, which scikit-learn 1.9 cannot cut into bins; no tree splits there."""
    return np.where(np.isnan(x).all(axis=0), np.float32(0.0), x)


def _count(examples: Examples) -> int:
    """How many failures the examples tell of: a failure's rows stand together."""
    before = np.concatenate([[False], examples.failed[:-1] & (examples.device[1:] == examples.device[:-1])])
    return int((examples.failed & ~before).sum())


def _sample(failed: Flags, seed: int) -> tuple[Integers, Floats]:
    """Rows to train on: all failures, and of the rest as many as there is room for, weighted back."""
    rest = np.flatnonzero(~failed)
    room = max(MOST_ROWS - int(failed.sum()), 1)
    if rest.size <= room:
        return np.arange(failed.size), np.ones(failed.size)
    some = np.sort(np.random.default_rng(seed).choice(rest, room, replace=False))
    picked = np.sort(np.concatenate([np.flatnonzero(failed), some]))
    return picked, np.where(failed[picked], 1.0, rest.size / room)


def _part_of(device: Integers) -> Integers:
    """(rows,) a third of the devices, the same for each device for ever (multiplicative hash of Knuth, TAOCP 6.4)."""
    return (device * 2_654_435_761 >> 7) % PARTS


def _chosen(rows: Rows, names: Sequence[str], wanted: Sequence[str]) -> Rows:
    """Columns in the order that the model learned them in; NaN where a fleet lacks one."""
    place = {name: i for i, name in enumerate(names)}
    out = np.full((len(rows), len(wanted)), np.nan, np.float32)
    for i, name in enumerate(wanted):
        if name in place:
            out[:, i] = rows[:, place[name]]
    return out


def _squash(score: Floats) -> Floats:
    """A prior's score as something between 0 and 1 to calibrate."""
    return np.asarray(1.0 - np.exp(-(score + 0.1) / 3.0))
