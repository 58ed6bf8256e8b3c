"""Which alarm codes a machine will sound next, from its own past alone.

A window is the codes of some hours in order, 0 after the last; its outcome says which codes sounded in the hours after
it. Each pair of window and code becomes a row of features (how often, how recently, how likely after the codes before),
and one forest per machine learns from all its codes at once, so that a code which never sounded before is judged by how
codes of this machine behave.

Nothing looks ahead. The rates that are themselves features are taken, for a row to learn from, of earlier stretches of
time only (prequential: A. P. Dawid (1984), Statistical theory, the prequential approach, JRSS A 147): a rate that held
the row's own outcome would be trusted too much.

Source of the task: D. Tosato et al. (2020), Alarm logs in packaging industry (ALPI). Extremely randomised trees:
P. Geurts, D. Ernst, L. Wehenkel (2006), Machine Learning 63. Best threshold for F1 is half of the best F1: Z. Lipton,
C. Elkan, B. Naryanaswamy (2014), Optimal thresholding of classifiers to maximize F1 measure, ECML.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier

from gateway.model import Flags, Floats, Integers

FADES = (4.0, 12.0)  # alarms over which a code's weight in a window falls to 1/e
STRETCHES = 6  # of time, for the prequential rates
AFTER = 60.0  # windows that a rate after a code is shrunk by towards the code's own rate
RARELY = (0.3, 30.0)  # a code's rate before it is known: one window in a hundred
FAR = 200.0  # alarms ago: never
ROWS = 40_000  # of pairs to learn from; all 300,000 of the largest ALPI machine give the same precision
LEAST_ROWS = 100  # windows under which the first stretch is learned from as well
TREES = {"n_estimators": 60, "min_samples_leaf": 30, "max_features": 0.4}
SOUND = 0.36  # probability from which a code counts as forecast: half of the F1 reached on ALPI


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What is known of one machine's windows; they may overlap."""

    windows: Integers  # (windows, width) codes in order, 0 after the last
    outcomes: Flags  # (windows, codes); of windows to forecast it may hold anything
    stretch: Integers  # (windows,) 0 .. STRETCHES - 1 in order among those to learn from; STRETCHES: to forecast

    @property
    def codes(self) -> int:
        """How many codes there are."""
        return int(self.outcomes.shape[1])


def forecast(past: Past, *, seed: int = 0) -> Floats:
    """(windows, codes) probability that each code sounds after each window of stretch STRETCHES; 0 elsewhere.

    Learns from the other windows alone.
    """
    features, known = design(past)
    learn = past.stretch < STRETCHES
    if learn.sum() > LEAST_ROWS:
        learn &= past.stretch > 0
    ever = past.outcomes[past.stretch < STRETCHES].any(0)
    rows = known | ever
    picked = np.flatnonzero((rows & learn[:, None]).ravel())
    if picked.size > ROWS:
        picked = np.sort(np.random.default_rng(seed).choice(picked, ROWS, replace=False))
    flat = features.reshape(-1, features.shape[-1])
    asked = np.flatnonzero((rows & ~(past.stretch < STRETCHES)[:, None]).ravel())
    found = np.zeros(past.outcomes.size)
    sounded = past.outcomes.ravel()[picked]
    if asked.size and sounded.any() and not sounded.all():
        forest = ExtraTreesClassifier(**TREES, random_state=seed).fit(flat[picked], sounded)
        found[asked] = forest.predict_proba(flat[asked])[:, 1]
    return found.reshape(past.outcomes.shape)


def design(past: Past) -> tuple[Floats, Flags]:
    """Features of every pair, (windows, codes, features), and whether the code is in the window."""
    look = _look(past.windows, past.codes)
    length = look.length[:, None]
    wide = [np.broadcast_to(column, look.count.shape) for column in (length, (look.count > 0).sum(1, keepdims=True))]
    columns = [look.count, look.recency, *look.weight, look.count / np.maximum(length, 1), *wide]
    return np.stack([*columns, *_rates(past, look)], -1).astype(np.float32), look.count > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What windows hold, by code: (windows, codes) each, and (windows,) length, last code and the one before it."""

    count: Floats
    recency: Floats  # alarms since the code's last
    weight: tuple[Floats, ...]  # alarms, fading with their distance from the end, one for each of FADES
    length: Integers
    last: Integers
    before: Integers


def _look(windows: Integers, codes: int) -> _Look:
    n, width = windows.shape
    length = (windows > 0).sum(1)
    row, position = np.nonzero(windows > 0)
    code = windows[row, position]
    age = length[row] - 1.0 - position
    recency = np.full((n, codes), FAR)
    np.minimum.at(recency, (row, code), age)

    def total(amount: Floats) -> Floats:
        sums: Floats = np.bincount(row * codes + code, amount, minlength=n * codes).reshape(n, codes).astype(np.float64)
        return sums

    at = np.arange(n)
    return _Look(
        count=total(np.ones(row.size)),
        recency=recency,
        weight=tuple(total(np.exp(-age / fade)) for fade in FADES),
        length=length,
        last=windows[at, np.clip(length - 1, 0, width - 1)],
        before=windows[at, np.clip(length - 2, 0, width - 1)] * (length > 1),
    )


def _rates(past: Past, look: _Look) -> list[Floats]:
    """A code's rate, its rate after the last code and the one before, and its mean lift by the codes present."""
    found = [np.zeros(past.outcomes.shape) for _ in range(4)]
    for stretch in range(STRETCHES + 1):
        rows = np.flatnonzero(past.stretch == stretch)
        earlier = np.flatnonzero(past.stretch < stretch)
        outcomes, present = past.outcomes[earlier].astype(np.float64), (look.count[earlier] > 0).astype(np.float64)
        rate = (outcomes.sum(0) + RARELY[0]) / (earlier.size + RARELY[1])
        ends = np.zeros((past.codes, earlier.size))
        ends[look.last[earlier], np.arange(earlier.size)] = 1.0
        after = _shrunk(ends @ outcomes, ends.sum(1), rate)
        odds = _shrunk(present.T @ outcomes, present.sum(0), rate)
        lift = np.log(odds / (1 - odds)) - np.log(rate / (1 - rate))
        here = (look.count[rows] > 0).astype(np.float64)
        mean_lift = here @ lift / np.maximum(here.sum(1, keepdims=True), 1.0)
        for kept, now in zip(found, (rate, after[look.last[rows]], after[look.before[rows]], mean_lift), strict=True):
            kept[rows] = now
    return found


def _shrunk(together: Floats, alone: Floats, rate: Floats) -> Any:
    return np.clip((together + AFTER * rate) / (alone[:, None] + AFTER), 1e-6, 1.0 - 1e-6)
