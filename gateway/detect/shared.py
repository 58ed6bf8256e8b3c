"""What is taken from the whole fleet once an hour and frozen between: the only way in which devices touch each other.

Baselines of cohorts and the standing of every device in them, that of firmware versions, once a day the priors that new
devices begin with, and the threshold that holds the budget of false alarms. A score depends on its device and on these,
never on who else is in the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.detect import cohort, firmware, prior
from gateway.detect.budget import Budget
from gateway.detect.detector import State
from gateway.detect.drift import DRIFT, daily_mean, hours
from gateway.model import Integers, Roster

EVERY_MS = 3_600_000  # daily means move by a twenty-fourth of a step in that time
PRIORS_EVERY_MS = 24 * EVERY_MS  # what settled devices share hardly moves in a day, and costs more than all else here


class Shared:
    """What a fleet has in common."""

    def __init__(self, allowed: float | None = None) -> None:
        self.baselines: dict[int, cohort.Baseline] = {}
        self.priors = prior.Priors()
        self.budget = Budget(allowed)
        self.taken_ms = self._priors_ms = 0
        self._numbers: tuple[tuple[int, int], Integers] = ((0, 0), np.zeros(0, np.int64))  # as of so many devices

    def cohorts(self, roster: Roster) -> Integers:
        """(devices,) numbers of cohorts."""
        known = (len(roster.devices), roster.replaced)
        if self._numbers[0] != known:
            self._numbers = (known, cohort.cohorts_of(roster.devices))
        return self._numbers[1]

    def follow(self, roster: Roster, tables: Mapping[str, State], now_ms: int) -> None:
        """Take everything anew where an hour has passed."""
        if now_ms - self.taken_ms >= EVERY_MS and "series.drift" in tables:
            self.take(roster, tables, now_ms, with_model=False)

    def take(self, roster: Roster, tables: Mapping[str, State], now_ms: int, *, with_model: bool) -> None:
        """Take everything anew; fleet models too, or keep those at work."""
        latest, count = tables["device.latest"]["latest"], len(roster.devices)
        level, cohorts = daily_mean(tables["series.drift"]), self.cohorts(roster)
        self.baselines = cohort.learn_all(roster, cohorts, level, with_model=with_model, held=self.baselines)
        if not self.priors.row_of or now_ms - self._priors_ms >= PRIORS_EVERY_MS:
            self.priors, self._priors_ms = prior.learn(roster, tables), now_ms
        latest["standing"][:count] = cohort.standing(roster, cohorts, level, self.baselines)
        if "series.level" in tables:
            value = tables["series.pace"]["pace"]["value"][: roster.series_count]
            settled = hours(tables["series.drift"])[: roster.series_count] > DRIFT.warmup
            latest["firmware"][:count] = firmware.standing(roster, firmware.moves(tables, value), settled)
        heard_ms = tables["device.pace"]["pace"]["last_ms"][:count]
        self.budget.renew(tables["device.budget"], heard_ms, self.taken_ms, now_ms)
        self.taken_ms = now_ms

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """What must outlive a restart, as named arrays. Baselines of cohorts are taken anew."""
        held = {f"priors/{name}": array for name, array in self.priors.snapshot().items()}
        numbers = np.array([self.taken_ms, self.budget.weeks, self.budget.threshold])
        return held | {"numbers": numbers, "over": self.budget.over.copy(), "priors_ms": np.array([self._priors_ms])}

    @staticmethod
    def restore(held: Mapping[str, NDArray[Any]], allowed: float | None = None) -> Shared:
        """What a snapshot held; nothing where it held nothing."""
        shared = Shared(allowed)
        if "numbers" in held:
            taken_ms, shared.budget.weeks, threshold = held["numbers"].tolist()
            shared.taken_ms, shared.budget.over = int(taken_ms), held["over"].copy()
            shared.budget.threshold = shared.budget.threshold if allowed is None else threshold
            priors = {k.removeprefix("priors/"): v for k, v in held.items() if k.startswith("priors/")}
            shared.priors = prior.Priors.restore(priors)
            shared._priors_ms = int(held["priors_ms"][0]) if "priors_ms" in held else 0
        return shared
