"""What time it is for the fleet: event time while data from the past is played, the wall clock once it has caught up.

Rules and silence are judged at this time. While a recording or a long backlog runs, the newest sample says what time
it is, so history is judged as it happened. Once the newest sample is close to the wall clock the fleet is live, and
stays so: then time goes on even if every device falls silent.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.model import Block

CAUGHT_UP_MS = 120_000
"""A newest sample this close to the wall clock is live: twice the longest usual flush interval (a minute)."""


@dataclass(slots=True)
class FleetClock:
    """The fleet's time; never goes back."""

    now_ms: int = 0
    live: bool = False

    def after(self, block: Block, wall_ms: int) -> int:
        """The time after a block, which may come from the past."""
        if len(block) or len(block.logs):
            newest = int(block.t_ms.max()) if len(block) else 0
            if len(block.logs):
                newest = max(newest, int(block.logs.t_ms.max()))
            self.live = self.live or newest >= wall_ms - CAUGHT_UP_MS
            self.now_ms = max(self.now_ms, wall_ms if self.live else min(newest, wall_ms))
        return self.now_ms

    def tick(self, wall_ms: int) -> int | None:
        """The time where nothing came; None while the past is being played."""
        if not self.live:
            return None
        self.now_ms = max(self.now_ms, wall_ms)
        return self.now_ms
