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
PARTS = 2  # of the devices: what a model of each says of the other calibrates the model of all
MOST_ROWS = 120_000  # to train on; 40,000 cost .015 of PR-AUC on half of the disks (bench/detection/failures.py)
ROWS_A_FAILURE = 400  # healthy rows beyond that teach little: 120,000 for 90 failures took thrice the time
PLAIN_SHARE = 0.125  # of them without any sign of wear: they are all alike, and are weighted back


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
    trees: Any | None  # a fitted classifier; None where only the prior is used
    calibration: Calibration
    failures: int

    def probability(self, rows: Rows, names: Sequence[str]) -> Floats:
        """(rows,) probability of failure within the horizon. Columns the model does not know are left out.

        A row is judged by itself: who else is in the call changes nothing.
        """
        prior = self.prior.score(rows, names)
        if self.trees is None:
            return self.calibration(_squash(prior))
        x = np.column_stack([_chosen(rows, names, self.names), prior])
        with threadpool_limits(1):
            return self.calibration(self.trees.predict_proba(x)[:, 1])


def train(examples: Examples, *, component: str = "", seed: int = 0) -> RiskModel | None:
    """A model of failures of `component` (or of the whole device), or None where too few failures are known.

    Sources: J. H. Friedman (2001), Greedy function approximation: a gradient boosting machine, Annals of Statistics 29,
    1189-1232, as in scikit-learn's HistGradientBoosting; calibration from predictions across parts of the devices as in
    J. Platt (1999), Probabilistic outputs for support vector machines, section 2.
    """
    failures = _count(examples)
    if failures < FIRST_LABELS:
        return None
    prior = learn(examples.rows, examples.names)
    score = prior.score(examples.rows, examples.names)
    room = int(np.clip(ROWS_A_FAILURE * failures, 20_000, MOST_ROWS))
    picked, weight = _sample(examples.failed, score > 0.0, room, seed)
    if examples.weight is not None:
        weight = weight * examples.weight[picked]
    device, failed, score = examples.device[picked], examples.failed[picked], score[picked]
    if failures < ENOUGH_LABELS:
        return RiskModel(examples.names, prior, None, calibrate(_squash(score), failed, weight), failures)
    x = _filled(np.column_stack([examples.rows[picked], score]).astype(np.float32))
    # More time since service never makes a part safer: held monotone, so that no grid of visits can be learned.
    rising = [*(int(name == f"service:{component}.age_doublings") for name in examples.names), 0]
    part, across = _part_of(device), np.empty(failed.size)
    with threadpool_limits(1):  # training runs beside ingest; a second thread would wait for it more than work
        for k in range(PARTS):
            seen, held = part != k, part == k
            tree = _trees(failures * (PARTS - 1) // PARTS, rising, seed).fit(
                _filled(x[seen]), failed[seen], weight[seen]
            )
            across[held] = tree.predict_proba(x[held])[:, 1]
        trees = _trees(failures, rising, seed).fit(x, failed, weight)
    return RiskModel(examples.names, prior, trees, calibrate(across, failed, weight), failures)


def _trees(failures: int, rising: Sequence[int], seed: int) -> HistGradientBoostingClassifier:
    """Trees as many and as large as the failures known can bear.

    Measured (PR-AUC): with 1,300 failures 250 trees of 31 leaves gave .283, 100 of 24 .272 (disks); with 90 a part 60
    of 12 gave .84, 100 of 24 .76 (machines).
    """
    root = float(np.sqrt(failures))
    return HistGradientBoostingClassifier(
        max_iter=int(np.clip(9.0 * root, 60, 280)), max_leaf_nodes=int(np.clip(1.2 * root, 6, 31)), learning_rate=0.05,
        min_samples_leaf=40, l2_regularization=5.0, max_features=0.3, early_stopping=False, monotonic_cst=list(rising),
        random_state=seed,
    )  # fmt: skip


def _filled(x: Rows) -> Rows:
    """Noughts in columns that are wholly unknown, which scikit-learn 1.9 cannot cut into bins; no tree splits there."""
    return np.where(np.isnan(x).all(axis=0), np.float32(0.0), x)


def _count(examples: Examples) -> int:
    """How many failures the examples tell of: a failure's rows stand together."""
    before = np.concatenate([[False], examples.failed[:-1] & (examples.device[1:] == examples.device[:-1])])
    return int((examples.failed & ~before).sum())


def _sample(failed: Flags, worn: Flags, room: int, seed: int) -> tuple[Integers, Floats]:
    """Rows to train on, in order: all failures, and of the rest as many as there is room for, weighted back."""
    random = np.random.default_rng(seed)
    room = max(room - int(failed.sum()), 8)
    picked, weight = [np.flatnonzero(failed)], [np.ones(int(failed.sum()))]
    for rest, share in ((~failed & worn, 1.0 - PLAIN_SHARE), (~failed & ~worn, PLAIN_SHARE)):
        there = np.flatnonzero(rest)
        some = random.choice(there, min(there.size, int(room * share)), replace=False)
        picked.append(some)
        weight.append(np.full(some.size, there.size / max(some.size, 1)))
    order = np.argsort(np.concatenate(picked))
    return np.concatenate(picked)[order], np.concatenate(weight)[order] / np.concatenate(weight).mean()


def _part_of(device: Integers) -> Integers:
    """(rows,) which part of the devices, the same for ever (multiplicative hash of Knuth, TAOCP 6.4)."""
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
