"""Which batch goes next, and when one goes again: the order of sending, over the disk buffer.

Alarms first (newest first), then what was measured just now (newest first), then what was sent but never marked and
whose wait is over, then the backlog (oldest first). At most `window` batches are under way, unmarked; alarms may
exceed it a little. A batch that stays unmarked for `mark_timeout_s` frees its place and is sent again later, each time
after a longer wait, so neither a lost mark nor a gateway that is away blocks or floods anything.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from edge.buffer import Buffer
from edge.record import ALARM, Record

FRESH = 64  # newest batches remembered apart from the backlog
EXTRA = 16  # alarms under way beyond the window
LONGEST_S = 3600.0  # between two sendings of a batch


class Flight(NamedTuple):
    """A batch under way: until when its mark is waited for, its kind, how often it was sent."""

    until_s: float
    kind: int
    sent: int


class Outbox:
    """The order of sending for one device."""

    def __init__(self, buffer: Buffer, *, window: int, mark_timeout_s: float, draw: Callable[[], float]) -> None:
        self.republished = 0
        self._buffer = buffer
        self._window = window
        self._timeout_s = mark_timeout_s
        self._draw = draw
        self._urgent = buffer.urgent()
        self._fresh: deque[int] = deque(maxlen=FRESH)
        self._flying: dict[int, Flight] = {}
        self._again: list[tuple[float, int]] = []  # heap of (when, key)
        self._sent: dict[int, int] = {}  # of those in `_again`: how often they were sent
        self._ahead: deque[int] = deque()
        self._after = -1

    def added(self, record: Record) -> None:
        """A batch was appended to the buffer."""
        (self._urgent if record.kind >= ALARM else self._fresh).append(record.key)

    def take(self, now_s: float) -> Record | None:
        """The batch to send now, which is under way from here on; None where there is nothing, or no room."""
        self._expire(now_s)
        while (key := self._next(now_s)) is not None:
            record = self._buffer.read(key)
            sent = self._sent.pop(key, 0)
            if record is not None:
                wait_s = self._timeout_s * (0.75 + 0.5 * self._draw())
                self._flying[key] = Flight(now_s + wait_s, record.kind, sent + 1)
                self.republished += sent > 0
                return record
        return None

    def _next(self, now_s: float) -> int | None:
        under_way = len(self._flying)
        if self._urgent and under_way < self._window + EXTRA:
            return self._urgent.pop()
        if under_way >= self._window:
            return None
        while self._fresh:
            if (key := self._fresh.pop()) not in self._flying and key not in self._sent:
                return key
        if self._again and self._again[0][0] <= now_s:
            return heapq.heappop(self._again)[1]
        return self._next_of_backlog()

    def _next_of_backlog(self) -> int | None:
        while True:
            if not self._ahead:
                self._ahead.extend(key for key, _ in self._buffer.after(self._after))
                if not self._ahead:
                    return None
            key = self._after = self._ahead.popleft()
            if key not in self._flying and key not in self._sent:
                return key

    def _expire(self, now_s: float) -> None:
        for key in [key for key, flight in self._flying.items() if flight.until_s <= now_s]:
            sent = self._flying.pop(key).sent
            wait_s = min(LONGEST_S, self._timeout_s * 2.0 ** (sent - 1)) * self._draw()
            self._sent[key] = sent
            heapq.heappush(self._again, (now_s + wait_s, key))

    def refused(self, record: Record) -> None:
        """The link did not take what `take` gave: it is the next again."""
        del self._flying[record.key]
        self.added(record)

    def stored(self, keys: list[int]) -> None:
        """The gateway has these."""
        for key in keys:
            self._flying.pop(key, None)
            self._sent.pop(key, None)
        if keys:
            self._again = [one for one in self._again if one[1] in self._sent]
            heapq.heapify(self._again)

    def lost(self) -> None:
        """The connection is gone: everything unmarked is to be sent again, in the order above."""
        for key, flight in sorted(self._flying.items()):
            (self._urgent if flight.kind >= ALARM else self._fresh).append(key)
        self._urgent.sort()
        self._flying.clear()
        self._again.clear()
        self._sent.clear()
        self._ahead.clear()
        self._after = -1

    @property
    def under_way(self) -> int:
        """Batches sent and not yet marked or given up waiting for."""
        return len(self._flying)

    def due_s(self) -> float:
        """When the next wait ends; infinity where there is none."""
        times = [flight.until_s for flight in self._flying.values()]
        return min([*times, *(when for when, _ in self._again[:1])], default=float("inf"))
