"""What a detector is: a named pair of functions over the arrays of a whole fleet.

A detector keeps, per series, a few numbers in arrays (its `State`), and is advanced through `Samples` by one compiled
loop. It sees one series at a time, in time order, and nothing of other series: so a score never depends on who else is
in the call, a fleet may be split over processes, and cutting the future off changes no score of the past.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.model import Flags, Floats, Integers

State: TypeAlias = dict[str, NDArray[Any]]
"""Arrays whose first axis is the series. All a detector remembers; copying them is a snapshot."""

INTERVAL_MEMORY = 32.0  # samples; the usual interval follows a changed setting within about a hundred


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Samples as detectors see them: sorted by series, time rising strictly within a series. All (samples,)."""

    series: Integers
    t_ms: Integers
    value: Floats
    gap_s: Floats  # since the sample before of the same series; NaN for a series' first
    interval_s: Floats  # the series' usual interval so far; NaN for a series' first
    last: Floats  # the value of the sample before of the same series; NaN for a series' first

    def __len__(self) -> int:
        return int(self.value.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """A function from samples to scores, one each: 1.0 is the threshold, and NaN is never returned.

    `step` advances the state in place. Before `warmup` samples a series scores by the prior alone.
    """

    name: str
    finds: str
    warmup: int  # samples of a series
    init: Callable[[int], State]
    step: Callable[[State, Samples], Floats]


def grown(state: State, fresh: State) -> State:
    """The state with the series of `fresh` appended."""
    return {name: np.concatenate([held, fresh[name]]) for name, held in state.items()}


def bytes_per_series(state: State) -> float:
    """Bytes a series costs in a state."""
    count = max((array.shape[0] for array in state.values()), default=0)
    return sum(array.nbytes for array in state.values()) / count if count else 0.0


PACE = np.dtype([("last_ms", np.int64), ("interval_s", np.float64), ("value", np.float64)])
ENOUGH = 65_535  # samples: beyond, a count in 16 bits stands still, and no memory is as long


def pace_init(count: int) -> State:
    """What is known of the rhythm of arrival, and of the last value, before any arrival."""
    pace = np.zeros(count, PACE)
    pace["last_ms"], pace["interval_s"], pace["value"] = -1, np.nan, np.nan
    return {"pace": pace}


@njit(cache=True)
def _pace(series: Integers, t_ms: Integers, value: Floats, memory: NDArray[Any]) -> tuple[Flags, Floats]:
    fresh = np.zeros(series.size, np.bool_)
    found = np.full((3, series.size), np.nan)  # gap, usual interval, last value
    for i in range(series.size):
        m = memory[series[i]]
        found[1, i] = m.interval_s
        if t_ms[i] <= m.last_ms:
            continue
        fresh[i] = True
        if m.last_ms >= 0:
            g = (t_ms[i] - m.last_ms) / 1000.0
            if np.isnan(m.interval_s):
                m.interval_s = g
            else:
                m.interval_s += (min(g, 2.0 * m.interval_s) - m.interval_s) / INTERVAL_MEMORY
            found[0, i] = g
            found[1, i] = m.interval_s
        found[2, i] = m.value
        m.last_ms, m.value = t_ms[i], value[i]
    return fresh, found


def pace(state: State, series: Integers, t_ms: Integers, value: Floats, *, keep: bool = False) -> tuple[Samples, Flags]:
    """Samples with their gaps, repeats and stragglers left out.

    Args:
        state: of `pace_init`; advanced in place.
        series: (samples,), rising.
        t_ms: (samples,), not falling within a series.
        value: (samples,).
        keep: leave repeats and stragglers in.

    Returns:
        The samples that are newer than all their series had, and (samples,) which of the given ones those are.
    """
    fresh, found = _pace(series, t_ms, value, state["pace"])
    if keep:
        fresh[:] = True
    gap_s, interval_s, last = found[:, fresh]
    samples = Samples(
        series=series[fresh], t_ms=t_ms[fresh], value=value[fresh], gap_s=gap_s, interval_s=interval_s, last=last
    )
    return samples, fresh
