"""Probability that a device fails within the horizon, learned from the fleet's own outcomes.

Before ten failures are known there is no probability, only the prior's order. From ten on, a logistic curve over the
prior; from fifty on, boosted trees over the features and the prior's signs. The devices are parted; what trees grown on
the other parts say of each part calibrates those that are grown on all devices, which judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gateway.model import Flags, Floats, Integers
from gateway.prognosis.calibration import Calibration, calibrate
from gateway.prognosis.features import Rows
from gateway.prognosis.prior import Prior, learn
from gateway.prognosis.trees import Judge, form_for, grow

FIRST_LABELS = 10  # five for each free parameter of a curve over the prior (P. Peduzzi et al. 1995 ask 10)
ENOUGH_LABELS = 50  # failures from which trees rank better than the prior (bench/detection/failures.py, Backblaze)
PARTS = 3  # of the devices
SETS = 2  # of trees that judge together, each grown on all devices: on two thirds they cost .006 of PR-AUC (disks)
REACHES = (1.0, 1.0 / 3.0)  # horizons that trees are grown for: what is near is told apart better (measured: disks)
MOST_ROWS = 120_000  # to train on; 40,000 cost .015 of PR-AUC on half of the disks (bench/detection/failures.py)
ROWS_A_FAILURE = 400  # healthy rows beyond that teach little: 120,000 for 90 failures took thrice the time
CHUNK = 100_000  # rows that are judged at once, so that a whole recording needs no second copy
PLAIN_SHARE = 0.125  # of them without any sign of wear: they are all alike, and are weighted back


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows of the past whose outcome is known, by device, then time."""

    rows: Rows  # (rows, features)
    names: tuple[str, ...]  # (features,)
    device: Integers  # (rows,) whose row it is
    left: Floats  # (rows,) horizons to the next failure; inf where none is known
    weight: Floats | None = None  # (rows,) what each tells beside the others; None: one
    stands: Floats | None = None  # (rows,) how many like it were left out for it; None: one


@dataclass(frozen=True, slots=True)
class RiskModel:
    """A trained model; `failures` says from how many failures it has learned."""

    names: tuple[str, ...]
    prior: Prior
    trees: tuple[Judge, ...]  # none where only the prior is used
    calibration: Calibration
    failures: int

    def probability(self, rows: Rows, names: Sequence[str]) -> Floats:
        """(rows,) probability of failure within the horizon. Columns the model does not know are left out.

        A row is judged by itself: who else is in the call changes nothing.
        """
        parts = [self._judged(rows[i : i + CHUNK], names) for i in range(0, len(rows), CHUNK)]
        return np.concatenate([np.empty(0), *parts])

    def _judged(self, rows: Rows, names: Sequence[str]) -> Floats:
        if not self.trees:
            return self.calibration(_squash(self.prior.score(rows, names)))
        x = _with_signs(self.prior, _chosen(rows, names, self.names), self.names)
        return self.calibration(_together([judge(x) for judge in self.trees]))


def train(examples: Examples, *, seed: int = 0) -> RiskModel | None:
    """A model of failures of the device, whatever part fails, or None where too few failures are known.

    Sources: trees as in `trees.grow`; calibration from predictions across parts of the devices as in J. Platt (1999),
    Probabilistic outputs for support vector machines, section 2; trees that differ by chance judging together as in
    L. Breiman (2001), Random forests, Machine Learning 45, 5-32.
    """
    failed = examples.left <= 1.0
    failures = _count(examples.device, failed)
    if failures < FIRST_LABELS:
        return None
    prior = learn(examples.rows, examples.names, examples.stands)
    score = prior.score(examples.rows, examples.names)
    room = int(np.clip(ROWS_A_FAILURE * failures, 20_000, MOST_ROWS))
    picked, weight = _sample(failed, score > 0.0, room, seed)
    for told in (examples.weight, examples.stands):
        if told is not None:
            weight = weight * told[picked]
    weight /= weight.mean()
    device, left = examples.device[picked], examples.left[picked]
    part = _part_of(device)
    if failures < ENOUGH_LABELS or np.unique(part).size < PARTS:
        curve = calibrate(_squash(score[picked]), left <= 1.0, weight)
        return RiskModel(examples.names, prior, (), curve, failures)
    x = _with_signs(prior, examples.rows[picked], examples.names)
    # More time since service never makes a device safer: held monotone, so that no grid of visits can be learned.
    rising = [int(name.endswith(".age_doublings")) for name in examples.names]
    rising += [0] * (x.shape[1] - len(rising))

    def grown(seen: Flags, failures: int, seed: int) -> list[Judge]:
        form = replace(form_for(failures), rising=tuple(rising), seed=seed)
        return [grow(x[seen], left[seen] <= reach, weight[seen], form) for reach in REACHES]

    across, every = np.empty(left.size), np.ones(left.size, bool)
    for k in range(PARTS):
        others = grown(part != k, failures * (PARTS - 1) // PARTS, seed + k)
        across[part == k] = _together([judge(x[part == k]) for judge in others])
    trees = [judge for k in range(SETS) for judge in grown(every, failures, seed + PARTS + k)]
    return RiskModel(examples.names, prior, tuple(trees), calibrate(across, left <= 1.0, weight), failures)


def _together(odds: Sequence[Floats]) -> Floats:
    """(rows,) the probability at the mean of several log odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.mean(odds, axis=0))))


def _with_signs(prior: Prior, rows: Rows, names: Sequence[str]) -> Rows:
    return np.column_stack([rows, prior.signs(rows, names)])


def _count(device: Integers, failed: Flags) -> int:
    """How many failures there are: a failure's rows stand together."""
    before = np.concatenate([[False], failed[:-1] & (device[1:] == device[:-1])])
    return int((failed & ~before).sum())


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
