"""Surprise: from the scores of series and the members of a habit to the three scores of a device.

- `state`: how unlike its past the device is now, in all its metrics together. High as long as a fault lasts.
- `event`: how surprising what just happened is. High when something sets in, whatever the level.
- `alarm`: `event`, thinned to the rows at which a person should hear of it: the first of a run, then only what is
  much worse, until it has been quiet for long. One alarm for one event.

All are in units of the threshold: 1.0 is one false alarm in `tail.WEEKS` weeks of a device that stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.detect.detector import Samples, State
from gateway.detect.habit import CHANGE, CHANGE_NEAR, NEAR, SLOW
from gateway.detect.tail import MEMORY, rarities, tail_init, threshold
from gateway.model import Floats, Integers

POWER = 4.0  # of the mean over a device's series: of 2, 4, 8 and the maximum the best on ASD, JSD2 and SMD, 2026-11
SERIES_WEIGHT = 0.8  # of the series against the habit: of .5 to 1 good on ASD, JSD2 and SMD at once, 2026-11
VOTE = 0.5  # how much the larger of the two counts beside their mean
LARGEST = 0.65  # weight in the state of the member that deviates most, beside their mean: .5 to .75 the same
CHANGE_WEIGHT, CHANGE_MOST = 0.25, 1.25  # of a rare change in the state, and the most it counts for: good on five sets
RARE = float(-np.log(0.02))  # rarity from which a change counts
LOCK, LOCK_RISE = 120, 1.5  # rows after an alarm in which only a surprise so many times larger is a new one
BAR, HALF = 0.85, 400.0  # behind that: the bar in shares of the last alarm, and the rows in which it halves
HIGHEST_BAR = 1.0  # the bar after an alarm, at most: what passes the threshold after the lock is always an alarm
BUSY, BUSY_ROWS = 0.2, 2_000.0  # an alarm of 1 lowers the next by a fifth, forgotten over so many rows: the budget
SLIGHT = 0.33  # what is less is no alarm, and keeps none from being heard
PRIOR = {"quantile": 2.8, "excess": 0.4}  # of a device's surprise: medians are 2.9, .5 on seven sets, 3.0, .4 on NAB
CHANGED = {"quantile": RARE, "excess": 1.0}  # of the rarity of changes, as a habit has it that keeps its promise
LASTED = {"quantile": 6.0, "excess": 2.0}  # of that of conditions: three in four devices of public data have more
LASTED_ROWS = 16_000.0  # over which that is forgotten: of 4,000 to 60,000 the shortest that costs no set anything
DOUBT = 0.25  # how much the device's own tail counts against what the habit says of its condition: .2 to .35 the same

RECORD = np.dtype([(name, np.float32) for name in ("bar", "since", "busy")])
VERDICT = np.dtype([("told", np.float32), ("rare", np.float32)])  # the last of a habit, and what was made of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The moments at which devices spoke, sorted by device, then time. All (rows,) but `order`."""

    device: Integers
    t_ms: Integers
    first: Integers  # position in `order` of a row's first sample; a row ends where the next begins
    order: Integers  # (samples,) positions of samples by device, then time


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceScores:
    """Scores of devices at the moments at which they spoke, (rows,) each, sorted by device, then time."""

    device: Integers
    t_ms: Integers
    state: Floats
    event: Floats
    alarm: Floats


def init(count: int) -> State:
    """Nothing known."""
    tails = {"tail": PRIOR, "change": CHANGED, "lasting": LASTED}
    state: State = {name: tail_init(count, **prior) for name, prior in tails.items()}
    verdicts = {f"{name}.last": np.zeros(count, VERDICT) for name in ("change", "lasting")}
    return state | verdicts | {"alarm": np.zeros(count, RECORD)}


def rows_of(samples: Samples, series_device: Integers) -> Rows:
    """Group samples into rows: one device, one time."""
    device = series_device[samples.series]
    order = np.lexsort((samples.t_ms, device)) if len(samples) else np.empty(0, np.int64)
    device, t_ms = device[order], samples.t_ms[order]
    fresh = np.ones(order.size, np.bool_)
    fresh[1:] = (np.diff(device) != 0) | (np.diff(t_ms) != 0)
    first = np.flatnonzero(fresh)
    return Rows(device=device[first], t_ms=t_ms[first], first=first, order=order)


def gathered(rows: Rows, surprise: Floats, series_of_device: Integers) -> Floats:
    """(rows,) power mean of the surprises of a device's series; a series that is not in a row adds nothing to it."""
    if rows.first.size == 0:
        return np.empty(0)
    total = np.add.reduceat(surprise[rows.order] ** POWER, rows.first)
    mean: Floats = (total / series_of_device[rows.device]) ** (1.0 / POWER)
    return mean


@njit(cache=True)
def _thin(device: Integers, event: Floats, memory: NDArray[Any]) -> Floats:
    alarm = np.zeros(event.size)
    fade = 0.5 ** (1.0 / HALF)
    for i in range(event.size):
        m = memory[device[i]]
        m.since += 1.0
        m.busy *= 1.0 - 1.0 / BUSY_ROWS
        if event[i] > max(m.bar * (LOCK_RISE if m.since < LOCK else BAR), SLIGHT):
            alarm[i] = event[i] / (1.0 + BUSY * m.busy)
            m.bar, m.since = min(event[i], HIGHEST_BAR), 0.0
            m.busy += m.bar**2
        elif m.since >= LOCK:
            m.bar *= fade
    return alarm


@njit(cache=True)
def _weighed(device: Integers, told: Floats, tail: NDArray[Any], last: NDArray[Any], span: float) -> Floats:
    """(rows,) `tail.rarities` of what a habit tells; a row that repeats the verdict before it is no new evidence."""
    found = np.empty(told.size)
    for i in range(told.size):
        m = last[device[i]]
        if np.float32(told[i]) != m.told:
            m.told = told[i]
            m.rare = rarities(device[i : i + 1], told[i : i + 1], tail, span)[0]
        found[i] = m.rare
    return found


def lasting(members: Floats) -> Floats:
    """(rows,) log(1 + rarity) of a device's whole condition: its lasting deviations, and changes if they are rare."""
    logs = np.log1p(members[:, NEAR : SLOW + 1])
    changed = np.minimum(np.log1p(np.maximum(members[:, CHANGE_NEAR:] - RARE, 0.0)).mean(axis=1), CHANGE_MOST)
    found: Floats = (1.0 - LARGEST) * logs.mean(axis=1) + LARGEST * logs.max(axis=1) + CHANGE_WEIGHT * changed
    return found


def combine(state: State, rows: Rows, evidence: Floats, members: Floats, interval_s: Floats) -> DeviceScores:
    """The three scores of every row.

    Args:
        state: of `init`; advanced in place.
        rows: sorted by device, then time.
        evidence: (rows,) of `gathered`.
        members: (rows, habit.MEMBERS) rarities; NaN where a device has no habit.
        interval_s: (rows,) usual time between rows; NaN where unknown.

    What the series say is weighed by how rare it is for the device; where no habit stands beside it, half by that and
    half as they say it. So is what the habit says of a change. A habit that calls much rare, as the device has grown
    restless since it was learned, is believed the less, of a lasting condition too, but never the more. Series and
    habit are combined by a mean in logarithms and a vote, so that either is heard.

    Source: geometric means of calibrated scores, between a mean and a vote: C. C. Aggarwal and S. Sathe (2015),
    Theoretical foundations and algorithms for outlier ensembles, SIGKDD Explorations 17, 24-47.
    """
    rare = rarities(rows.device, evidence, state["tail"])
    limit = threshold(interval_s)
    known = ~np.isnan(members[:, 0])
    own = np.log1p(np.where(known, rare, np.sqrt(evidence * rare)))
    told = np.maximum(members[:, CHANGE_NEAR], members[:, CHANGE])
    kept = _weighed(rows.device, told, state["change"], state["change.last"], MEMORY)
    change = np.where(known, 0.5 * (np.log1p(told) + np.log1p(kept)), own)
    both = (1.0 - VOTE) * (SERIES_WEIGHT * own + (1.0 - SERIES_WEIGHT) * change) + VOTE * np.maximum(own, change)
    event = np.expm1(both) / limit
    condition = lasting(members)
    usual = np.log1p(_weighed(rows.device, np.expm1(condition), state["lasting"], state["lasting.last"], LASTED_ROWS))
    believed = (1.0 - DOUBT) * condition + DOUBT * np.minimum(condition, usual)
    state_now = np.expm1(np.where(known, believed, own)) / limit
    alarm = _thin(rows.device, event, state["alarm"])
    return DeviceScores(device=rows.device, t_ms=rows.t_ms, state=state_now, event=event, alarm=alarm)
