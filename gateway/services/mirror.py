"""Keeps an external help desk up with the casebook, which stays the truth: every line of a ticket's time line is told.

The position among the lines is kept in the ledger after each, and desks take repeats, so a crash tells one twice at
most and leaves none out. What was there before a desk was named is told when something happens to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from sqlalchemy import Engine

from gateway.errors import NotFound, Refused, TryLater
from gateway.ledger import casebook, caseview, setting
from gateway.ledger.caseview import Event
from gateway.ports import TicketDesk
from gateway.selfwatch import Watch

CLOSING = ("status", "outcome", "incident")  # lines that may have ended a ticket
PROBLEM = "desk_refuses"
log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Mirror:
    """One desk and how far it has been told."""

    engine: Engine
    desk: TicketDesk
    watch: Watch
    now_ms: Callable[[], int]
    _refs: dict[str, str] = field(default_factory=dict)  # ticket id -> the desk's; of this run

    async def run(self, *, poll_s: float = 2.0) -> None:
        """Tell what happens, until cancelled."""
        while True:
            wait_s = poll_s
            try:
                await asyncio.to_thread(self.round)
            except TryLater as exc:
                log.warning("mirror.later", code=exc.code, detail=exc.detail)
                wait_s = exc.after_s
            await asyncio.sleep(wait_s)

    def round(self, *, limit: int = 200) -> int:
        """Tell what happened since the last round; how many lines. Blocks. Raises TryLater: the rest waits."""
        key = f"mirror.{self.desk.name}"
        held = setting.read(self.engine, key).get(key)
        if not isinstance(held, int):
            self._remember(key, caseview.last_event(self.engine))
            return 0
        lines = caseview.changes_since(self.engine, held, limit=limit)
        for line in lines:
            try:
                self._tell(line)
                self.watch.clear(PROBLEM)
            except (Refused, NotFound) as exc:
                self.watch.count("desk_lines_refused", reason=exc.code)
                self.watch.report(PROBLEM, f"The help desk refuses what it is told: {exc.detail}.", self.now_ms())
            self._remember(key, line.event_id)
        return len(lines)

    def _tell(self, line: Event) -> None:
        ticket = caseview.find_ticket(self.engine, line.ticket_id).row.ticket
        ref = self._refs.get(line.ticket_id)
        if ref is None:
            ref = self._refs[line.ticket_id] = self.desk.open(ticket)
            casebook.set_desk(self.engine, line.ticket_id, desk=self.desk.name, ref=ref)
        if line.kind != "opened":
            text = line.text if line.kind == "comment" else f"{line.kind}: {line.text}"
            self.desk.comment(ref, comment_id=str(line.event_id), author=line.author, text=text)
        if line.kind in CLOSING and ticket.status in casebook.DONE:
            self.desk.close(ref, reason=line.text)

    def _remember(self, key: str, position: int) -> None:
        setting.write(self.engine, key, position, author="mirror", now_ms=self.now_ms())
