"""When a device reads and sends: on a grid of its own, so that a fleet does not do it all at the same second."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from time import CLOCK_BOOTTIME, clock_gettime, monotonic, time_ns

ON_TIME = 0.25  # a reading so late, as a share of the interval, still carries the planned time: steps stay even


@dataclass(frozen=True, slots=True)
class Clock:
    """The clocks of an agent: Unix milliseconds, which may jump, and monotonic seconds, which do not.

    `awake` is monotonic too and goes on while the machine is suspended, so that waking up is not taken for a clock
    that was set; None: `monotonic` does.
    """

    now_ms: Callable[[], int] = field(default=lambda: time_ns() // 1_000_000)
    monotonic: Callable[[], float] = monotonic
    awake: Callable[[], float] | None = None


SYSTEM_CLOCK = Clock(awake=lambda: clock_gettime(CLOCK_BOOTTIME))


def period_ms(every_s: float) -> int:
    """An interval in whole milliseconds, at least one."""
    return max(1, round(every_s * 1000))


class Schedule:
    """The next reading and the next flush of one device, in Unix ms of its clock."""

    def __init__(self, device_id: str) -> None:
        self.sample_ms = 0
        self.flush_ms = 0
        self._hash = zlib.crc32(device_id.encode())
        self._sample, self._flush = 1, 1

    def plan(self, now_ms: int, *, sample_every: float, flush_every: float, at_once: bool) -> None:
        """Start the grid anew; `at_once`: the first reading is now."""
        self._sample, self._flush = period_ms(sample_every), period_ms(flush_every)
        self.sampled(now_ms)
        self.flushed(now_ms)
        if at_once:
            self.sample_ms = now_ms

    def sampled(self, now_ms: int) -> None:
        """A reading was taken; the next is at the next point of the grid."""
        self.sample_ms = self._next(now_ms, self._sample)

    def flushed(self, now_ms: int) -> None:
        """A batch was closed."""
        self.flush_ms = self._next(now_ms, self._flush)

    def _next(self, now_ms: int, period: int) -> int:
        return now_ms - (now_ms - self._hash % self._sample) % period + period

    def planned(self, now_ms: int) -> int:
        """The time a reading taken now carries."""
        return self.sample_ms if 0 <= now_ms - self.sample_ms <= ON_TIME * self._sample else now_ms

    def due_in_s(self, now_ms: int) -> float:
        """Seconds until there is something to do."""
        return max(0, min(self.sample_ms, self.flush_ms) - now_ms) / 1000
