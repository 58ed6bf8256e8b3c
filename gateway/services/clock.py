"""What time it is for the fleet: event time while the past is played, the wall clock once devices have caught up.

Rules and silence are judged at this time. While a backlog or a recorded past runs in, samples say what time it is, so
history is judged as it happened. Once the fleet has caught up it is live, and stays so: time then goes on even if
every device falls silent. Devices play their past side by side and not in step, so the time is that of those who are
behind (a low quantile), never that of the fastest, to whom all others would seem silent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gateway.model import Block, Integers, Roster

CAUGHT_UP_MS = 120_000
"""A device whose newest sample is this close to the wall clock is live: twice the usual flush interval (a minute)."""

BEHIND = 0.1
"""Share of devices that may lag: their loss of touch must not hold back the time of all others."""


@dataclass(slots=True)
class FleetClock:
    """The fleet's time; never goes back."""

    roster: Roster
    now_ms: int = 0
    live: bool = False
    _newest_ms: Integers = field(default_factory=lambda: np.empty(0, np.int64))  # (devices,) heard in this run

    def after(self, block: Block, wall_ms: int) -> int:
        """The time after a block, which may come from the past."""
        if not self.live and len(block):
            behind_ms = self._hear(block)
            self.live = behind_ms >= wall_ms - CAUGHT_UP_MS
            self.now_ms = max(self.now_ms, min(behind_ms, wall_ms))
        if self.live:
            self.now_ms = max(self.now_ms, wall_ms)
        return self.now_ms

    def tick(self, wall_ms: int) -> int | None:
        """The time where nothing came; None while the past is being played."""
        if not self.live:
            return None
        self.now_ms = max(self.now_ms, wall_ms)
        return self.now_ms

    def _hear(self, block: Block) -> int:
        """Take in the newest sample of each device; the time of the devices that are behind."""
        grown = len(self.roster.devices) - self._newest_ms.size
        self._newest_ms = np.append(self._newest_ms, np.zeros(max(grown, 0), np.int64))
        last = np.flatnonzero(np.append(block.series[1:] != block.series[:-1], True))
        np.maximum.at(self._newest_ms, self.roster.series_device[block.series[last]], block.t_ms[last])
        heard = self._newest_ms[self._newest_ms > 0]
        return int(np.quantile(heard, BEHIND, method="lower"))
