"""The gateway watches itself: counters by reason, gauges, and problems that a person should know of.

One `Watch` is made by the composition root and handed to whoever counts. It is also what `/metrics` and the page of
system health show. Label values are codes from our own source, never device ids, so their number is bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about the gateway itself that will not mend without a person, and the way out."""

    code: str
    sentence: str
    since_ms: int


@dataclass(slots=True)
class Watch:
    """Counts, gauges and problems; safe to use from any thread."""

    counts: dict[tuple[str, str], int] = field(default_factory=dict)  # (name, reason) -> total
    gauges: dict[str, float] = field(default_factory=dict)
    problems: dict[str, Problem] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def count(self, name: str, amount: int = 1, *, reason: str = "") -> None:
        """Add to a counter; `name` is a plural noun like `batches_refused`."""
        if amount:
            with self._lock:
                key = (name, reason)
                self.counts[key] = self.counts.get(key, 0) + amount

    def count_all(self, name: str, by_reason: Mapping[str, int]) -> None:
        """Add many reasons of one counter at once."""
        for reason, amount in by_reason.items():
            self.count(name, amount, reason=reason)

    def tally(self, name: str, totals: Mapping[str, int]) -> None:
        """Set the reasons of a counter to totals that are counted elsewhere."""
        with self._lock:
            self.counts.update({(name, reason): total for reason, total in totals.items()})

    def total(self, name: str) -> int:
        """The sum of a counter over its reasons."""
        with self._lock:
            return sum(amount for (held, _), amount in self.counts.items() if held == name)

    def set(self, name: str, value: float) -> None:
        """Set a gauge; `name` ends in its unit."""
        self.gauges[name] = value

    def report(self, code: str, sentence: str, now_ms: int) -> bool:
        """Note a problem; True the first time, so that a streak is logged once."""
        with self._lock:
            known = code in self.problems
            self.problems[code] = Problem(code, sentence, self.problems[code].since_ms if known else now_ms)
            return not known

    def clear(self, code: str) -> bool:
        """A problem is over; True if it was there."""
        with self._lock:
            return self.problems.pop(code, None) is not None
