"""Calibration: raw statistics of any detector on any series, onto one scale.

A raw statistic means nothing by itself: 6 sigmas are routine on a spiky series and unheard of on a quiet one. Here each
series learns the tail of its own statistic, and the score says how rare a value is there: at 1.0 a series of that pace
raises one false alarm in `WEEKS` weeks. So one threshold serves a fleet, whatever the metric and the interval.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.detect.detector import Detector, Samples, State
from gateway.model import Floats, Integers

TAIL = 0.02  # share of samples above the tracked quantile: 98 % as in Siffer et al. (2017), section 4.4
WEEKS = 8.0  # weeks between false alarms of one series and detector at score 1.0
WEEK_S = 604_800.0
UNKNOWN_S = 60.0  # the interval of a series of which one sample is known
LEAST_SAMPLES = 50.0  # a threshold is never passed by more than one sample in fifty
PRIOR_WEIGHT = 4.0  # excesses that the prior of the mean excess counts for
MEMORY = 4_000.0  # samples over which the tail forgets
SEARCH = 30.0  # gain of the quantile search (Robbins and Monro, 1951), in mean excesses
CEILING = 8.0  # mean excesses up to which one excess teaches
LEAST_WEIGHT = 0.01  # of the samples of a long run of excesses, so that a new regime is learned in weeks
LONG_RUN = 255  # samples of a run that are told apart: past 1 / LEAST_WEIGHT they are alike

RECORD = np.dtype([("quantile", np.float32), ("excess", np.float32), ("count", np.uint16), ("run", np.uint8)])


@njit(cache=True)
def rarities(series: Integers, raw: Floats, memory: NDArray[Any], span: float = MEMORY) -> Floats:
    """(samples,) -log of the share of a series' samples that are at or over each; the tail learns from each in turn.

    Args:
        series: (samples,) rows of `memory`.
        raw: (samples,) at or over 0; NaN, where there is no opinion, gives 0 and teaches nothing.
        memory: (series,) of RECORD, advanced in place.
        span: samples over which the tail forgets, at most `detector.ENOUGH`.
    """
    found = np.zeros(raw.size)
    for i in range(raw.size):
        x = raw[i]
        if not x >= 0.0:
            continue
        m = memory[series[i]]
        q, e = m.quantile, m.excess
        m.count = min(m.count + 1, span)
        gain = SEARCH * e / (m.count + 100.0)
        over = x - q
        if over > 0.0:
            found[i] = over / e - np.log(TAIL)
            m.run = min(m.run + 1, LONG_RUN)
            weight = max(1.0 / m.run, LEAST_WEIGHT)  # a run of excesses is one event, not as many as it has samples
            m.quantile = q + weight * gain * (1.0 - TAIL)
            m.excess = e + weight * (min(over, CEILING * e) - e) / (PRIOR_WEIGHT + TAIL * m.count)
        else:
            found[i] = x / max(q, 1e-9) * -np.log(TAIL)
            m.run = 0
            m.quantile = max(q - gain * TAIL, 0.0)
    return found


def tail_init(count: int, *, quantile: float, excess: float) -> NDArray[Any]:
    """(count,) of RECORD: tails that know the prior alone."""
    tail = np.zeros(count, RECORD)
    tail["quantile"], tail["excess"] = quantile, excess
    return tail


def threshold(interval_s: Floats) -> Floats:
    """(samples,) the rarity at which a series of that pace raises one false alarm in WEEKS weeks."""
    usual = np.where(interval_s > 0.0, interval_s, UNKNOWN_S)
    limit: Floats = np.log(np.maximum(WEEKS * WEEK_S / usual, LEAST_SAMPLES))
    return limit


def calibrated(
    detector: Detector,
    raw: Callable[[State, Samples], Floats],
    *,
    quantile: float | tuple[float, ...],
    excess: float | tuple[float, ...],
) -> Detector:
    """The detector with `raw` for its statistic, scored by each series' own exponential tail.

    Several statistics have a tail each, and the score is the mean.

    Args:
        detector: whose `init` makes the state of `raw`; its `step` is replaced.
        raw: the statistic, (samples,) or (statistics, samples), at or over 0; NaN where there is no opinion yet.
        quantile: the prior of the 98 % quantile of `raw`, for each statistic.
        excess: the prior of the mean excess over it, for each statistic.

    Source: peaks over threshold with the quantile tracked online: A. Siffer et al. (2017), Anomaly detection in
    streams with extreme value theory, KDD; the exponential tail is their generalised Pareto at shape 0, and
    statistics are passed in logarithms, which turns Pareto tails into exponential ones. Runs of excesses are
    declustered: M. R. Leadbetter (1991), Statistics and Probability Letters 12, 357-362.
    """
    priors = tuple(zip(np.atleast_1d(quantile).tolist(), np.atleast_1d(excess).tolist(), strict=True))
    names = ["tail", *(f"tail_{k}" for k in range(1, len(priors)))]

    def init(count: int) -> State:
        tails = {n: tail_init(count, quantile=q, excess=e) for n, (q, e) in zip(names, priors, strict=True)}
        return detector.init(count) | tails

    def step(state: State, samples: Samples) -> Floats:
        found = np.zeros(len(samples))
        for name, statistic in zip(names, np.atleast_2d(raw(state, samples)), strict=True):
            found += rarities(samples.series, statistic, state[name]) / len(names)
        return found / threshold(samples.interval_s)

    return Detector(name=detector.name, finds=detector.finds, warmup=detector.warmup, init=init, step=step)
