"""Live events for open pages: a ring of what changed last, and a bounded queue for each page.

An event only says that something changed (`ticket`, its id), and the page asks for what it shows again. So an event
lost is never a change lost: where the ring no longer reaches back, the page gets `resync` and reloads all it shows.
Event ids are `<start>-<number>`; those of an earlier run of the gateway are answered by `resync`.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from threading import Lock

from gateway.ledger.database import is_number

RING = 2_000  # events kept for pages that reconnect: minutes of a busy fleet, under a megabyte
QUEUE = 200  # events waiting for one page; a slower page resyncs
BEAT_S = 15.0  # a comment that keeps proxies from closing a quiet stream (their time-outs are 30 s and more)


@dataclass(frozen=True, slots=True)
class Event:
    """Something changed: `kind` is `ticket`, `incident`, `message`, `device`, `silence` or `system`."""

    id: str
    kind: str
    subject: str

    def as_text(self) -> str:
        """The event as one block of a text/event-stream."""
        return f"id: {self.id}\nevent: {self.kind}\ndata: {json.dumps({'id': self.subject})}\n\n"


@dataclass(slots=True, eq=False)
class _Page:
    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[Event | None]


@dataclass(slots=True)
class Hub:
    """Where services say that something changed, and pages listen. `publish` is safe from any thread."""

    started_ms: int
    _number: int = 0
    _ring: deque[Event] = field(default_factory=lambda: deque(maxlen=RING))
    _pages: set[_Page] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)
    closed: bool = False

    def publish(self, kind: str, subject: str = "") -> None:
        """Tell every open page."""
        with self._lock:
            self._number += 1
            event = Event(f"{self.started_ms}-{self._number}", kind, subject)
            self._ring.append(event)
            pages = tuple(self._pages)
        for page in pages:
            page.loop.call_soon_threadsafe(_offer, page, event)

    def close(self) -> None:
        """End all streams, so that the server can stop at once."""
        with self._lock:
            self.closed = True
            pages = tuple(self._pages)
        for page in pages:
            page.loop.call_soon_threadsafe(_end, page)

    async def stream(self, last_id: str | None = None) -> AsyncIterator[str]:
        """Blocks of text/event-stream for one page: what it missed since `last_id`, then what comes."""
        page = _Page(asyncio.get_running_loop(), asyncio.Queue(QUEUE))
        with self._lock:
            missed = self._since(last_id)
            self._pages.add(page)
        try:
            yield "retry: 2000\n\n"
            for event in missed:
                yield event.as_text()
            while not self.closed:
                try:
                    waiting = await asyncio.wait_for(page.queue.get(), BEAT_S)
                except TimeoutError:
                    yield ": beat\n\n"
                    continue
                if waiting is None:
                    return
                yield waiting.as_text()
        finally:
            with self._lock:
                self._pages.discard(page)

    def _since(self, last_id: str | None) -> list[Event]:
        if last_id is None:
            return []
        start, _, number = last_id.partition("-")
        oldest = self._number - len(self._ring)
        if start != str(self.started_ms) or not is_number(number) or int(number) < oldest:
            return [self._resync()]
        return [event for event in self._ring if int(event.id.partition("-")[2]) > int(number)]

    def _resync(self) -> Event:
        return Event(f"{self.started_ms}-{self._number}", "resync", "")


def _offer(page: _Page, event: Event) -> None:
    if page.queue.full():
        while not page.queue.empty():
            page.queue.get_nowait()
        event = Event(event.id, "resync", "")
    page.queue.put_nowait(event)


def _end(page: _Page) -> None:
    if page.queue.full():
        page.queue.get_nowait()
    page.queue.put_nowait(None)
