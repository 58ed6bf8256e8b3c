"""What time it is for the fleet: event time while the past is played, the wall clock once devices have caught up.

Rules and silence are judged at this time. While a backlog or a recorded past runs in, samples say what time it is, so
history is judged as it happened. Once what arrives is fresh the fleet is live, and stays so: time then goes on even if
every device falls silent. Devices play their past side by side and not in step, so the time is that of those who are
behind (a low quantile), never that of the fastest, to whom all others would seem silent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gateway.model import Block, Integers, Roster

CAUGHT_UP_MS = 120_000
"""What is this fresh when it arrives is live, and who was not heard for this long is not waited for: twice the usual
flush interval (a minute). It is freshness at arrival that counts, so devices that report once an hour are live too."""

BEHIND = 0.1
"""Share of the devices being heard that may lag: their backlog must not hold back the time of all others."""


@dataclass(slots=True)
class FleetClock:
    """The fleet's time; never goes back."""

    roster: Roster
    now_ms: int = 0
    live: bool = False
    _began_ms: int | None = None  # wall clock of the first call
    _newest_ms: Integers = field(default_factory=lambda: np.empty(0, np.int64))  # (devices,) heard in this run
    _lag_ms: Integers = field(default_factory=lambda: np.empty(0, np.int64))  # (devices,) when they were last heard
    _heard_ms: Integers = field(default_factory=lambda: np.empty(0, np.int64))  # (devices,) wall clock; 0: never

    def after(self, block: Block, wall_ms: int) -> int:
        """The time after a block that came at `wall_ms` and may speak of the past."""
        if not self.live and len(block):
            self._hear(block, wall_ms)
        return self._advance(wall_ms)

    def tick(self, wall_ms: int) -> int | None:
        """The time where nothing came; None while the past is being played."""
        self._advance(wall_ms)
        return self.now_ms if self.live else None

    def _advance(self, wall_ms: int) -> int:
        if self._began_ms is None:
            self._began_ms = wall_ms
        if not self.live:
            speaking = self._heard_ms > wall_ms - CAUGHT_UP_MS
            if speaking.any():
                spared = int(BEHIND * np.count_nonzero(speaking))
                self.live = bool(np.sort(self._lag_ms[speaking])[-1 - spared] <= CAUGHT_UP_MS)
                self.now_ms = max(self.now_ms, min(int(np.sort(self._newest_ms[speaking])[spared]), wall_ms))
            else:
                self.live = wall_ms - self._began_ms >= CAUGHT_UP_MS
        if self.live:
            self.now_ms = max(self.now_ms, wall_ms)
        return self.now_ms

    def _hear(self, block: Block, wall_ms: int) -> None:
        """Take in the newest sample of each device of a block."""
        grown = max(len(self.roster.devices) - self._newest_ms.size, 0)
        for name in ("_newest_ms", "_lag_ms", "_heard_ms"):
            setattr(self, name, np.append(getattr(self, name), np.zeros(grown, np.int64)))
        last = np.flatnonzero(np.append(block.series[1:] != block.series[:-1], True))
        device, t_ms = self.roster.series_device[block.series[last]], block.t_ms[last]
        came = np.zeros_like(self._newest_ms)
        np.maximum.at(came, device, t_ms)
        speaking = came > 0
        self._newest_ms = np.maximum(self._newest_ms, came)
        self._lag_ms[speaking] = wall_ms - came[speaking]
        self._heard_ms[speaking] = wall_ms
