"""The budget of false alarms: a threshold for devices as a whole that holds what was asked for, learned from the fleet.

A score of 1.0 promises one false alarm in `tail.WEEKS` weeks, but what a fleet really shows may be more or less. So the
alarms of unsuspected devices are counted by their height, for as many weeks as are remembered, and once an hour the
threshold is put where so few of them reach it as the operator allows; device scores are told in units of it. It rests
on the whole fleet, so it holds for devices never seen as well. Without a budget nothing is changed.

An alarm waits a day before it counts: the highest of the day is the alarm, and where a rule comes to suspect the device
meanwhile, it was no false one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gateway.detect.detector import State
from gateway.detect.tail import WEEK_S, WEEKS
from gateway.model import Floats, Integers

DAY_MS = 86_400_000
WEEK_MS = int(WEEK_S * 1000)
HEIGHTS: Floats = np.array([0.5 * 1.03**k for k in range(104)])  # scores that alarms are counted at: 0.5 to 10.5
MEMORY_WEEKS = 8.0  # over which alarms and the time of devices are forgotten
DOUBT_MS = 7 * DAY_MS  # behind a rule's last word on it in which a device's alarms do not count
PRIOR_WEEKS = 40.0  # of one device, that the promise of the tails counts for: five alarms
DECAY = 8.0  # of alarms with height: the rarity of a score of 1.0 on a series sampled by the quarter of an hour
PER = 1_000.0  # devices that a budget is given for

RECORD = np.dtype([("height", np.float32), ("since_ms", np.int64), ("doubted_ms", np.int64)])


def init(count: int) -> State:
    """No alarms, no doubts."""
    budget = np.zeros(count, RECORD)
    budget["doubted_ms"] = -DOUBT_MS
    return {"budget": budget}


def note(state: State, device: Integers, t_ms: Integers, score: Floats) -> None:
    """Keep the highest alarm of each device. (rows,) each, sorted by device, then time; score before any threshold."""
    rows = np.flatnonzero(score >= HEIGHTS[0])
    held, device = state["budget"], device[rows]
    first = rows[np.flatnonzero(np.diff(device, prepend=-1) != 0)]
    heads = np.unique(device)
    fresh = held["height"][heads] == 0.0
    held["since_ms"][heads[fresh]] = t_ms[first[fresh]]
    np.maximum.at(held["height"], device, score[rows])


def dismiss(state: State, device: int) -> None:
    """Let an alarm not count that nobody is told, as it is everybody's."""
    state["budget"]["height"][device] = 0.0


def doubt(state: State, device: int, until_ms: int) -> None:
    """Let nothing count of a device that a rule suspects."""
    held = state["budget"]
    held["height"][device] = 0.0
    held["doubted_ms"][device] = max(int(held["doubted_ms"][device]), until_ms)


@dataclass(slots=True)
class Budget:
    """What the fleet has shown, and the threshold that follows from it."""

    allowed: float | None = None  # false alarms a week of PER devices; None: the threshold stays at 1.0
    over: Floats = field(default_factory=lambda: np.zeros(HEIGHTS.size))  # alarms that reached each height
    weeks: float = 0.0  # of unsuspected devices, forgotten like the alarms
    threshold: float = 1.0

    def renew(self, state: State, heard_ms: Integers, before_ms: int, now_ms: int) -> None:
        """Count what has waited for a day, and put the threshold where the budget asks for it.

        Source: alarms over a height as a Poisson rate with a gamma prior, A. Gelman et al. (2013), Bayesian Data
        Analysis, 2.6.

        Args:
            state: of `init`; alarms that are counted are forgotten.
            heard_ms: (devices,) when each spoke last; the time of silent ones does not count.
            before_ms: when it was renewed last.
            now_ms: the present.
        """
        held = state["budget"][: heard_ms.size]
        trusted = now_ms - held["doubted_ms"] >= DOUBT_MS
        ripe = (held["height"] > 0.0) & (now_ms - held["since_ms"] >= DAY_MS)
        passed = min(max(now_ms - before_ms, 0), DAY_MS) / WEEK_MS if before_ms > 0 else 0.0
        keep = np.exp(-passed / MEMORY_WEEKS)
        reached = np.searchsorted(HEIGHTS, held["height"][ripe & trusted], side="right")
        added = np.bincount(reached, minlength=HEIGHTS.size + 1)[::-1].cumsum()[::-1][1:]
        self.over = keep * self.over + added
        self.weeks = keep * self.weeks + passed * float((trusted & (now_ms - heard_ms < DAY_MS)).sum())
        held["height"][ripe] = 0.0
        if self.allowed is not None:
            fits = np.flatnonzero(self.rates() <= self.allowed)
            self.threshold = float(HEIGHTS[fits[0]]) if fits.size else float(HEIGHTS[-1])

    def rates(self) -> Floats:
        """(heights,) alarms a week of PER devices that reach each of HEIGHTS, the promise of the tails included."""
        promised = PRIOR_WEEKS / WEEKS * np.exp(DECAY * (1.0 - HEIGHTS))
        return PER * (self.over + promised) / (self.weeks + PRIOR_WEEKS)

    def rate(self) -> float:
        """Alarms a week of PER devices at the present threshold, as far as they are known."""
        return float(np.interp(self.threshold, HEIGHTS, self.rates()))
