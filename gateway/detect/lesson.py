"""Lessons: a challenger to the habit of one device, and whether it may replace the champion.

A challenger must hold its own promise on rows that neither has learned from: it must not call more of them rare than it
should, and it must see planted faults nearly as well as the champion does. Nothing here is of the fleet, so lessons may
be given on another thread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from gateway.detect.habit import GAINS, MEMBERS, Pool, judge, train
from gateway.detect.surprise import lasting
from gateway.model import Flags, Floats, Integers

LEAST_METRICS = 2  # a device of one metric is judged by its series detectors alone
HELD_BACK = 0.2  # newest share of the rows, on which champion and challenger are compared
RARE = float(-np.log(0.001))
EXCUSED = 0.02  # share of held-back rows that a challenger may call rarer than one in a thousand
SEES = 0.9  # of the planted faults that the champion sees, the share that a challenger must see
PLANTED = 3.0  # units by which a planted fault moves one metric
KNOWN = 0.5  # share of rows in which a metric must be known to belong to a habit
ONE_WAY = 0.9  # share of a metric's steps in one direction, or of its variance along a line, that make it a journey
LEAST_STEPS = 10  # before it can be told how a metric moves


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """What is known of the ordinary life of one device."""

    version: int
    series: Integers  # (metrics,) series numbers of the columns
    vector: Pool  # see `habit`
    step_ms: int  # rows are judged at most so often, at the first of each step of event time; 0: all of them
    temper: float = 1.0  # by which its rarities are divided: it promised more than rows it had not seen kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenger:
    """What came of a lesson."""

    habit: Habit | None  # None: nothing that may be put to work
    reason: str  # `first`, `better`; `too_few_rows`, `noisier`, `blinder`


def challenge(
    held: Habit | None, series: Integers, rows: Floats, suspect: Flags, *, step_ms: int = 0, prove: bool = False
) -> Challenger:
    """Learn a challenger from the rows of one device and compare it with the habit that is `held`.

    Source: both are judged by rows held back, M. Stone (1974), Journal of the Royal Statistical Society B 36, 111-147.

    Args:
        held: the champion; None where there is none.
        series: (metrics,) series numbers of the columns.
        rows: (rows, metrics) in time order; NaN where not known.
        suspect: (rows,) that rules, episodes or outcomes put under suspicion.
        step_ms: event time between rows.
        prove: hold even a first habit to its promise on the newest rows, and temper what it says by them.
    """
    cut = rows.shape[0] if held is None and not prove else int(rows.shape[0] * (1.0 - HELD_BACK))
    vector = train(rows[:cut], suspect[:cut]) if series.size >= LEAST_METRICS else None
    if vector is None:
        return Challenger(habit=None, reason="too_few_rows")
    alike = held is not None and np.array_equal(held.series, series) and held.step_ms == step_ms
    champion = held.vector if held is not None and alike else None
    unseen = rows[cut:][~suspect[cut:]]
    reason = _compared(champion, vector, unseen)
    version = held.version + 1 if held else 1
    temper = _temper(unseen, vector) if prove else 1.0
    habit = Habit(version=version, series=series.copy(), vector=vector, step_ms=step_ms, temper=temper)
    return Challenger(habit=habit if reason in {"first", "better"} else None, reason=reason)


def settled(rows: Floats) -> Flags:
    """(metrics,) which metrics have an ordinary state at all: known, moving, and not on a journey.

    A counter that only rises, a charge that only sinks, a level that wanders off along a line is never again where it
    has been: to a habit it would be ill for ever. Forecasts and `drift` follow it.
    """
    known = ~np.isnan(rows)
    found: Flags = known.mean(axis=0) >= KNOWN
    for j in np.flatnonzero(found):
        x = rows[known[:, j], j]
        steps = np.diff(x)
        up, down = np.count_nonzero(steps > 0.0), np.count_nonzero(steps < 0.0)
        one_way = max(up, down) >= ONE_WAY * (up + down)
        at = np.linspace(-1.0, 1.0, x.size)
        along = float(at @ (x - x.mean())) ** 2 / max(float(at @ at) * x.size * float(x.var()), 1e-300)
        found[j] = up + down >= LEAST_STEPS and not one_way and along < ONE_WAY
    return found


def _compared(champion: Pool | None, challenger: Pool, rows: Floats) -> str:
    """`first`, `better`, `noisier` or `blinder`: how the challenger does on rows that it has not learned from."""
    good = "first" if champion is None else "better"
    if rows.shape[0] == 0:
        return good
    noise = float((_run(rows, challenger).mean(axis=1) > RARE).mean())
    if champion is None:
        return "noisier" if noise > EXCUSED else good
    noise_old = float((_run(rows, champion).mean(axis=1) > RARE).mean())
    if noise > max(EXCUSED, noise_old):
        return "noisier"
    if noise < noise_old:
        return good
    planted = rows.copy()
    planted[:, 0] += PLANTED * champion[rows.shape[1]] * np.where(np.arange(rows.shape[0]) % 100 < 50, 1.0, 0.0)
    old, new = (float((_run(planted, vector).mean(axis=1) > RARE).mean()) for vector in (champion, challenger))
    return good if new >= SEES * old else "blinder"


def _temper(rows: Floats, vector: Pool) -> float:
    """How many times as rare as it should a habit calls the rarest of the rows that it has not learned from.

    Of n independent rows the rarest has, about, a rarity of log n; but of rows that remember others, as many are one.
    """
    alone = rows.shape[0] * GAINS[-1]
    if alone < 1.0:
        return 1.0
    return max(1.0, float(np.expm1(lasting(_run(rows, vector))).max() / max(np.log(alone), 1.0)))


@njit(cache=True, nogil=True)
def _run(rows: Floats, vector: Pool) -> Floats:
    """(rows, MEMBERS) rarities of rows in a row, from the center of training: of no row does a memory know the mean."""
    found = np.zeros((rows.shape[0], MEMBERS))
    motion = np.zeros((4, rows.shape[1]), np.float32)
    for i in range(rows.shape[0]):
        judge(rows[i], motion, vector, found[i])
    return found
