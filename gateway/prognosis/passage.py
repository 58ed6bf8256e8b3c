"""Time left on the way to a known limit, from the unit's own pace and from what others showed on the same way.

    values ─► share of the way gone ─┬─► left at the unit's own pace so far ──┐
                                     └─► left to others who had come that far ┴─► their mean, in doublings ─► interval

For wear whose pace bends and jumps, as a battery's does, so that no straight line is beyond doubt. The interval is as
wide as the errors were on units that the mean had not seen, at about the same share of the way.

Those that reach the limit first are the fastest, and tell too little of the slow. So the farther a unit's own pace lies
from theirs, beside how far those lay apart, the wider is its interval; and from some distance on it gets no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from gateway.model import Floats
from gateway.prognosis.time_left import TimeLeft

FEWEST_UNITS = 3  # that have reached the limit, without which nothing is said
BEGUN = 0.05  # share of the way from which a unit is on it, so that what was quiet before counts for no pace
LEAST, MOST = 0.1, 0.97  # share of the way before which a pace says nothing, and after which the noise decides
SHARES = np.linspace(LEAST, MOST, 88)  # at which the ways of units are compared
OWN = 0.5  # weight of the unit's own pace; of 0, .25, .5, .75, 1 the least error across battery cells (2026-11)
NEAR = 0.15  # share of the way within which errors are alike
Z = 1.645  # each side of a 90 % interval
STRANGE = 3.0  # times the usual distance of a unit's pace from the others', from which it is on another way
WIDER = 1.15  # a way that goes on is known less well than one that has ended: .84 of 300 simulated ends held without it
SOONEST = 1e-6  # in the unit of age: a way of one leap has no pace
NARROWEST = 0.05  # spread of the logarithm: nobody keeps time better


@dataclass(frozen=True, slots=True)
class Passage:
    """One unit that reached the limit."""

    age: Floats  # (SHARES,) when it had come so far for the first time
    begun: float  # age at which it was on its way
    end: float  # age at the limit


@dataclass(frozen=True, slots=True)
class PassageModel:
    """What others showed, at each share of the way."""

    units: int
    from_birth: bool  # whether a pace counts from a unit's birth, or from where it was seen to be on its way
    left: Floats  # (SHARES,) mean natural logarithm of what was left
    spread: Floats  # (SHARES,) of the logarithm of true over told
    apart: Floats  # (SHARES,) usual distance of the logarithm at a unit's own pace from that of the others
    least: Floats  # (SHARES,) time left of the unit that was through first
    most: Floats  # (SHARES,) and last

    def predict(self, age: Floats, gone: Floats, begun: Floats) -> TimeLeft:
        """What is left at each of (rows,); NaN where the unit has hardly begun its way, or goes another.

        Args:
            age: (rows,).
            gone: (rows,) share of the way.
            begun: (rows,) age at which each was on its way, as `begin` tells it.
        """
        share = gone.clip(LEAST, MOST)
        own, others = _own(age, share, None if self.from_birth else begun), np.interp(share, SHARES, self.left)
        centre, strange = OWN * own + (1.0 - OWN) * others, np.abs(own - others) / np.interp(share, SHARES, self.apart)
        spread = np.interp(share, SHARES, self.spread) * np.maximum(strange, 1.0)
        known = (gone >= LEAST) & (strange <= STRANGE)
        return TimeLeft(*(np.where(known, np.exp(centre + z * spread), np.nan) for z in (0.0, -Z, Z)))

    def took(self, gone: float) -> tuple[float, float]:
        """Least and most time that the others had left from there."""
        return float(np.interp(gone, SHARES, self.least)), float(np.interp(gone, SHARES, self.most))


def train(passages: Sequence[Passage]) -> PassageModel | None:
    """A model from units that reached the limit, or None where they are too few.

    What is new wears from its birth on, what breaks is sound before: the pace that had the smaller error is taken.

    Source: the mean of an individual and a group estimate is that of empirical Bayes with equal variances (C. N.
    Morris (1983), Parametric empirical Bayes inference, JASA 78, 47-55); N. Z. Gebraeel et al. (2005), Residual-life
    distributions from component degradation signals, IIE Transactions 37, 543-557. Errors are those of units left out.
    """
    if len(passages) < FEWEST_UNITS:
        return None
    either = [_model(passages, from_birth=from_birth) for from_birth in (True, False)]
    return min(either, key=lambda model: float(model.spread.mean()))


def passed(age: Floats, gone: Floats) -> Passage:
    """The way of a unit from its (rows,) past in time order, of which the last is at the limit."""
    first = begin(gone)
    far = np.maximum.accumulate(gone[first:])
    new = np.append(True, far[1:] > far[:-1])
    return Passage(np.interp(SHARES, far[new], age[first:][new]), float(age[first]), float(age[-1]))


@njit(cache=True)
def begin(gone: Floats) -> int:
    """The row from which a unit is on its way: the last at which it had hardly gone."""
    row = gone.size - 1
    while row > 0 and gone[row] > BEGUN:
        row -= 1
    return row


def _model(passages: Sequence[Passage], *, from_birth: bool) -> PassageModel:
    units = len(passages)
    age, begun = np.stack([p.age for p in passages]), np.array([[p.begun] for p in passages])
    left = np.array([[p.end] for p in passages]) - age
    own, true = _own(age, SHARES, None if from_birth else begun), np.log(left)
    rest = (true.sum(0) - true) / (units - 1)
    weight = np.exp(-0.5 * ((SHARES - SHARES[:, None]) / NEAR) ** 2)
    error, distance = (
        np.sqrt((weight * (off**2).mean(0)).sum(1) / weight.sum(1))
        for off in (true - OWN * own - (1.0 - OWN) * rest, own - rest)
    )
    spread, apart = np.maximum(WIDER * error, NARROWEST), np.maximum(distance, NARROWEST)
    return PassageModel(units, from_birth, true.mean(0), spread, apart, left.min(0), left.max(0))


def _own(age: Floats, share: Floats, begun: Floats | None) -> Floats:
    """Natural logarithm of the time left at the unit's own pace so far."""
    if begun is None:
        return np.asarray(np.log(age * (1.0 / share - 1.0)))
    return np.asarray(np.log(np.maximum(age - begun, SOONEST) * (1.0 - share) / (share - BEGUN)))
