"""Time left on the way to a known limit, from the unit's own pace and from what others showed on the same way.

    values ─► share of the way gone ─┬─► left at the unit's own pace so far ──┐
                                     └─► left to others who had come that far ┴─► their mean, in doublings ─► interval

For wear whose pace bends and jumps, as a battery's does, so that no straight line is beyond doubt. The interval is as
wide as the errors were on units that the mean had not seen, at about the same share of the way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.model import Floats
from gateway.prognosis.time_left import TimeLeft

FEWEST_UNITS = 3  # that have reached the limit, without which nothing is said
FIRST_ROWS = 5  # whose median is where the way begins; and rows whose median says how far it has come
LEAST, MOST = 0.05, 0.97  # share of the way before which a pace says nothing, and after which the noise decides
OWN = 0.5  # weight of the unit's own pace; of 0, .25, .5, .75, 1 the least error across battery cells (2026-11)
NEAR = 0.15  # share of the way within which errors are alike
Z = 1.645  # each side of a 90 % interval


@dataclass(frozen=True, slots=True)
class Passage:
    """One unit that reached the limit, its rows before that in time order."""

    age: Floats  # (rows,)
    gone: Floats  # (rows,) share of the way, as `share_gone` tells it
    end: float  # age at the limit


@dataclass(frozen=True, slots=True)
class PassageModel:
    """What other units showed."""

    others: tuple[Passage, ...]
    at: Floats  # (errors,) share of the way
    error: Floats  # (errors,) natural logarithm of true over told
    weight: Floats  # (errors,) each unit weighs the same

    def predict(self, age: Floats, gone: Floats) -> TimeLeft:
        """What is left at each of (rows,); NaN where the unit has not yet begun its way."""
        centre = _centre(self.others, age, gone)
        weight = self.weight * np.exp(-0.5 * ((self.at - gone[:, None].clip(LEAST, MOST)) / NEAR) ** 2)
        spread = np.sqrt((weight * self.error**2).sum(1) / weight.sum(1))
        known = gone >= LEAST
        return TimeLeft(*(np.where(known, np.exp(centre + z * spread), np.nan) for z in (0.0, -Z, Z)))


def train(passages: tuple[Passage, ...]) -> PassageModel | None:
    """A model from units that reached the limit, or None where they are too few.

    Source: the mean of an individual and a group estimate is that of empirical Bayes with equal variances (C. N.
    Morris (1983), Parametric empirical Bayes inference, JASA 78, 47-55); N. Z. Gebraeel et al. (2005), Residual-life
    distributions from component degradation signals, IIE Transactions 37, 543-557. Errors are those of units left out.
    """
    if len(passages) < FEWEST_UNITS:
        return None
    at, error, weight = [], [], []
    for unit in passages:
        begun = unit.gone >= LEAST
        age, gone = unit.age[begun], unit.gone[begun]
        rest = tuple(other for other in passages if other is not unit)
        at.append(gone.clip(LEAST, MOST))
        error.append(np.log(unit.end - age) - _centre(rest, age, gone))
        weight.append(np.full(age.size, 1.0 / max(age.size, 1)))
    return PassageModel(passages, np.concatenate(at), np.concatenate(error), np.concatenate(weight))


def share_gone(value: Floats, limit: float) -> Floats:
    """(rows,) share of the way from a unit's first values to `limit`, as known at each row; NaNs are passed over."""
    out = np.zeros(value.size)
    last: list[float] = []
    start = np.nan
    for i, v in enumerate(value.tolist()):
        last = [*last, v][-FIRST_ROWS:] if np.isfinite(v) else last
        if not last:
            continue
        now = float(np.median(last))
        start = now if i < FIRST_ROWS or np.isnan(start) else start
        out[i] = (start - now) / (start - limit)
    return out


def _centre(others: tuple[Passage, ...], age: Floats, gone: Floats) -> Floats:
    """(rows,) natural logarithm of the time left."""
    gone = gone.clip(LEAST, MOST)
    own = np.log(age * (1.0 / gone - 1.0))
    left = []
    for other in others:
        there = np.searchsorted(np.maximum.accumulate(other.gone), gone).clip(max=other.gone.size - 1)
        left.append(np.log(other.end - other.age[there]))
    return np.asarray(OWN * own + (1.0 - OWN) * np.mean(left, axis=0))
