"""Whether a gauge has left its own place: the probability that its level is shifted now, up or down.

A gauge is noise about a level. Each sample moves the odds that the level lies higher (or lower) by some spreads;
between samples the odds drift towards how often such shifts begin and end. So a shift of a day counts in full while it
lasts and is forgotten when it is over, which fading means cannot do at once. The level and spread are the course's own,
and learn little while a shift is likely. Samples that follow each other closely tell less than independent ones do; how
much less their correlation says.

Source: A. N. Shiryaev (1963), On optimum methods in quickest detection problems, Theory of Probability and Its
Applications 8, 22-46, as the filter of a chain of two states (L. R. Rabiner 1989, A tutorial on hidden Markov models,
section III A).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from gateway.model import Floats

T, V, COUNT, VAR, ALIKE, UP, DOWN, MEAN, BEFORE = 0, 1, 2, 5, 6, 7, 8, 10, 11
"""Columns of a course (`features.STATE`): newest time and value, samples, variance and covariance of neighbours about
the level, probability of a shift up and down, level, the newest deviation."""

SHIFT = 1.5  # spreads that a level lies off (measured with 1.2 and 1.8: bench/detection/failures.py, machines)
BEGINS, ENDS = 0.25, 2.0  # shifts in a horizon
MEMORY = 5.0  # horizons, half-life of level and spread
YOUNG = 24  # samples from which a course has a level
WILD = 4.0  # spreads that one sample can count for


@njit(cache=True)
def take(s: Floats, t: float, v: float) -> None:
    """Put one sample (time in horizons) into one course, in place."""
    if np.isnan(s[V]):
        s[T], s[V], s[COUNT], s[MEAN], s[BEFORE] = t, v, 1.0, v, 0.0
        return
    dt = t - s[T]
    if dt < 0.0:
        return  # late
    sd = np.sqrt(s[VAR])
    off = v - s[MEAN]
    if s[COUNT] >= YOUNG and sd > 0.0:
        z = min(WILD, max(-WILD, off / sd))
        alike = min(0.95, max(0.0, s[ALIKE] / s[VAR]))
        tells = (1.0 - alike) / (1.0 + alike)
        s[UP] = _told(s[UP], z, dt, tells)
        s[DOWN] = _told(s[DOWN], -z, dt, tells)
        off = z * sd
    w = max(1.0 - 0.5 ** (dt / MEMORY), 1.0 / (s[COUNT] + 1.0)) * (1.0 - max(s[UP], s[DOWN]))
    s[MEAN] += w * off
    s[VAR] += w * (off * off - s[VAR])
    s[ALIKE] += w * (off * s[BEFORE] - s[ALIKE])
    s[T], s[V], s[BEFORE] = t, v, off
    s[COUNT] += 1.0


@njit(cache=True)
def _told(p: float, z: float, dt: float, tells: float) -> float:
    """The probability of a shift after a sample `z` spreads off the level."""
    p = p * (1.0 - min(0.5, ENDS * dt)) + (1.0 - p) * min(0.5, BEGINS * dt)
    ratio = np.exp(tells * (SHIFT * z - SHIFT * SHIFT / 2.0))
    return float(p * ratio / (p * ratio + 1.0 - p))
