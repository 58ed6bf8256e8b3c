"""What the warnings in a device's log say of its future: which will come again soon, and which came before failures.

Only lines of severity warning or worse are followed, by the names of their templates. Two things are kept of a device
that logs such lines, both of fixed size: `NextAlarms`, asked every few hours, and its last days as lists of distinct
names. When it is known whether a day was followed by a failure, `Precursors` of the whole fleet learn from it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.detect.logs.next_alarm import PENDING, ROOM, NextAlarms, layout
from gateway.detect.logs.sequence import Precursors, Token
from gateway.model import Floats, Integers

LOOK_MS = 4 * 3_600_000  # half the horizon of `next_alarm`: every hour of the day comes up
DAY_MS = 86_400_000
HORIZON_DAYS = 7  # a failure counts for the days that end so long before it: time enough to send somebody
DAYS_KEPT = HORIZON_DAYS + 3  # of a device
NAMES_A_DAY = 16
TENFOLD = math.log(10.0)  # log odds that score 1.0: failure is ten times as likely as usual
LIKELY, LEAST_ANSWERS, LEAST_TIMES, MOST_TOLD = 0.5, 12, 3, 3  # what is worth telling of a code, and of how many

Days = dict[int, list[int]]  # names in order of first sight, by number of the day


class Ahead:
    """The future of one fleet as its logs tell it. Names of templates are numbers here."""

    def __init__(self) -> None:
        self.precursors = Precursors()
        self._alarms: dict[int, NextAlarms] = {}  # by device
        self._days: dict[int, Days] = {}  # by device; days not learned from yet, and the last two
        self._learned: dict[int, int] = {}  # by device: days up to this one are learned from
        self._failures: list[tuple[int, int]] = []  # device, t_ms; those told since the last lesson
        self._looked_ms = 0
        self._scores: dict[int, float] = {}  # since the device's last line, the last lesson and midnight
        self._scored_day = 0

    def hear(self, device: int, names: Sequence[int], t_ms: Integers) -> None:
        """Take in the warnings of one device, oldest first."""
        self._alarms.setdefault(device, NextAlarms()).hear(names, t_ms)
        days = self._days.setdefault(device, {})
        for name, day in dict.fromkeys(zip(names, (t_ms // DAY_MS).tolist(), strict=True)):
            held = days.setdefault(day, [])
            if name not in held and len(held) < NAMES_A_DAY:
                held.append(name)
        for day in sorted(days)[:-DAYS_KEPT]:
            del days[day]
        self._scores.pop(device, None)

    def look(self, now_ms: int) -> None:
        """Ask which codes come next, where that is due."""
        if now_ms // DAY_MS != self._scored_day:
            self._scored_day = now_ms // DAY_MS
            self._scores.clear()
        if now_ms - self._looked_ms < LOOK_MS:
            return
        self._looked_ms = now_ms
        for alarms in self._alarms.values():
            alarms.ask(now_ms)

    def failed(self, device: Integers, t_ms: Integers) -> None:
        """Take in failures that have come out: (failures,) device numbers and times."""
        self._failures += zip(device.tolist(), t_ms.tolist(), strict=True)

    def taken_back(self, device: int, at_ms: int) -> None:
        """Take in that a failure was none; what was learned of it already is forgotten with the rest."""
        self._failures = [failure for failure in self._failures if failure != (device, at_ms)]

    def learn(self, now_ms: int) -> None:
        """Learn from the days of which it is known whether a failure followed. For a job, not for the hot path."""
        for device, at_ms in self._failures:
            last = at_ms // DAY_MS
            before = self._taken(device, range(last - HORIZON_DAYS, last + 1))
            if before:
                self.precursors.learn(before, failed=True)
        self._failures.clear()
        over = now_ms // DAY_MS - HORIZON_DAYS - 1
        for device, days in self._days.items():
            for names in self._taken(device, range(min(days, default=over), over + 1)):
                self.precursors.learn([names], failed=False)
        self._scores.clear()

    def scores(self, devices: int, now_ms: int) -> Floats:
        """(devices,) 1.0: what they logged since yesterday makes failure ten times as likely; NaN: nothing is known."""
        if not self.precursors.knows:
            return np.full(devices, np.nan)
        found = np.zeros(devices)
        for device in self._days:
            if device not in self._scores:
                odds = (self.precursors.log_odds(names) for names in self._recent(device, now_ms))
                self._scores[device] = max(odds, default=0.0) / TENFOLD
            found[device] = self._scores[device]
        return found

    def reasons(self, device: int, now_ms: int) -> list[tuple[Token, int]]:
        """What the device logged since yesterday that came before failures, strongest first, and before how many."""
        found = {t: o for names in self._recent(device, now_ms) for t, o in self.precursors.reasons(names)}
        strong = sorted((t for t, odds in found.items() if odds >= TENFOLD), key=lambda t: (-found[t], str(t)))
        return [(token, self.precursors.cases[token]) for token in strong]

    def likely(self, device: int, now_ms: int) -> list[tuple[int, float]]:
        """Codes that will probably sound within the horizon, with their probabilities, the likeliest first."""
        alarms = self._alarms.get(device)
        if alarms is None or alarms.answered < LEAST_ANSWERS:
            return []
        chance = np.where(alarms.held["total"] >= LEAST_TIMES, alarms.chances(now_ms), 0.0)
        order = np.argsort(-chance, kind="stable")[:MOST_TOLD]
        return [(int(alarms.codes[k]), float(chance[k])) for k in order if chance[k] >= LIKELY]

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All that it remembers, as named arrays that are copies."""
        alarms = [self._alarms[d].held for d in self._alarms]
        words = {
            "devices": list(self._alarms),
            "days": [[d, day, *names] for d, days in self._days.items() for day, names in days.items()],
            "learned": list(self._learned.items()),
            "failures": self._failures,
            "looked_ms": self._looked_ms,
            "precursors": self.precursors.snapshot(),
        }
        return {
            "alarms": np.stack(alarms) if alarms else np.zeros(0, layout(ROOM, PENDING)),
            "words": np.frombuffer(json.dumps(words).encode(), np.uint8),
        }

    @staticmethod
    def restore(held: dict[str, NDArray[Any]]) -> Ahead:
        """One that goes on where `snapshot` was taken; alarms of another version's layout are begun afresh."""
        found, words = Ahead(), json.loads(held["words"].tobytes())
        if held["alarms"].dtype == layout(ROOM, PENDING):
            found._alarms = {d: NextAlarms.of(a) for d, a in zip(words["devices"], held["alarms"], strict=True)}
        for device, day, *names in words["days"]:
            found._days.setdefault(device, {})[day] = names
        found._learned = dict(words["learned"])
        found._failures = [(device, at_ms) for device, at_ms in words["failures"]]
        found._looked_ms = words["looked_ms"]
        found.precursors = Precursors.restore(words["precursors"])
        return found

    def _recent(self, device: int, now_ms: int) -> list[list[int]]:
        today = now_ms // DAY_MS
        return [names for day, names in self._days.get(device, {}).items() if day >= today - 1]

    def _taken(self, device: int, days: Iterable[int]) -> list[list[int]]:
        """The names of those of a device's days that were not learned from; they are from now on."""
        held, done = self._days.get(device, {}), self._learned.get(device, -1)
        fresh = sorted(day for day in days if day in held and day > done)
        if fresh:
            self._learned[device] = fresh[-1]
        return [held[day] for day in fresh]
