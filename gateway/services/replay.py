"""Play a recorded fleet through the same path on event time, as fast as it can go: what would have been opened?

A recording (`services.recording`) gives blocks in event-time order; each is one `Turn` on a ledger of its own in a
temporary folder. No clock is read and no number is drawn, so the same recording gives the same tickets, byte for byte.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from gateway import ledger
from gateway.ledger import caseview, people, registry
from gateway.ledger.registry import NewDevice
from gateway.model import Block, Customer, DeviceId, Ticket
from gateway.outreach import load_texts
from gateway.prognosis.risk import FIRST_LABELS
from gateway.selfwatch import Watch
from gateway.services.clock import FleetClock
from gateway.services.judgement import Judgement
from gateway.services.recorded import Occasions
from gateway.services.recording import Recording
from gateway.services.schooling import Passed, Schooling
from gateway.services.turn import Turn
from rules import RuleSet

TRAIN_EVERY_MS = 182 * 86_400_000  # of event time: half a year
TRAIN_GROWTH = 1.5  # and when so many times as many failures are known: as often as there is something new to learn
SCHOOL_EVERY_MS = 86_400_000  # of event time
SCHOOLING = Schooling()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a replay came to."""

    name: str
    source: str
    devices: int
    values: int
    lines: int
    start_ms: int
    end_ms: int
    tickets: tuple[Ticket, ...]  # by time, then device
    causes: dict[str, str]  # ticket id -> cause

    def as_json(self) -> dict[str, object]:
        """The documented keys of `beforehand replay --json`."""
        return {
            "name": self.name,
            "source": self.source,
            "devices": self.devices,
            "values": self.values,
            "log_lines": self.lines,
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
            "tickets": [
                {
                    "device": ticket.device_id,
                    "t_ms": ticket.opened_ms,
                    "cause": self.causes[ticket.ticket_id],
                    "title": ticket.title,
                    "priority": ticket.priority,
                    "why": ticket.evidence.why,
                    "forecast": [
                        {
                            "name": f.name,
                            "median_ms": f.median_ms,
                            "low_ms": f.low_ms,
                            "high_ms": f.high_ms,
                            "risk_ratio": f.risk_ratio,
                        }
                        for f in ticket.evidence.forecasts
                    ],
                }
                for ticket in self.tickets
            ],
        }


class EventClock(FleetClock):
    """In a recording blocks come in order, so the block's own time is the fleet's time."""

    def after(self, block: Block, wall_ms: int) -> int:
        """The end of the block's window."""
        self.now_ms = max(self.now_ms, block.received_ms)
        return self.now_ms


def replay(
    recording: Recording, rules: RuleSet, *, progress: Callable[[float, int], None] = lambda _share, _now: None
) -> Replayed:
    """Play a recording. `progress` is told the share that is done and the event time.

    Raises:
        ConfigError: `recording_malformed`.
    """
    with tempfile.TemporaryDirectory(prefix="beforehand-replay-") as folder:
        engine = ledger.connect(f"sqlite:///{Path(folder) / 'ledger.sqlite'}")
        ledger.migrate(engine)
        try:
            return _play(recording, rules, engine, progress)
        finally:
            engine.dispose()


def _play(recording: Recording, rules: RuleSet, engine: Engine, progress: Callable[[float, int], None]) -> Replayed:
    roster = recording.roster
    wanted = [
        NewDevice(
            device_id=DeviceId(d.device_id), type=d.type, model=d.model, hardware=d.hardware, firmware=d.firmware,
            zone=d.zone, site=d.site, customer_id=d.customer_id,
        )
        for d in roster.devices
    ]  # fmt: skip
    owners = sorted({d.customer_id for d in roster.devices if d.customer_id})
    people.save_customers(engine, [Customer(customer_id=owner, name=owner) for owner in owners], now_ms=0)
    registry.add_devices(engine, wanted, now_ms=0)
    turn = Turn(
        ledger=engine, roster=roster, store=None, texts=load_texts(), watch=Watch(),
        judgement=Judgement(
            roster, rules, change_rows=recording.change_rows, risk_horizon_ms=recording.risk_horizon_ms
        ),
    )  # fmt: skip
    turn.clock = EventClock(roster)
    values = lines = start_ms = end_ms = 0
    count, blocks = recording.windows()
    failures, service, trained_ms, taught_ms = recording.failures(), recording.service(), 0, 0
    departures = recording.departures()
    told = served = left = learned_from = 0
    passed = None if recording.change_rows else Passed(SCHOOLING.past_ms)  # of changes alone no steady rows are made
    for done, block in enumerate(blocks, start=1):
        start_ms = start_ms or block.received_ms
        end_ms = block.received_ms
        values, lines = values + len(block), lines + len(block.logs)
        due = int(np.searchsorted(failures.t_ms, block.received_ms, side="right"))
        turn.judgement.failed(failures.device[told:due], failures.t_ms[told:due], failures.component[told:due])
        told = due
        due = int(np.searchsorted(departures.t_ms, block.received_ms, side="right"))
        turn.judgement.gone(departures.device[left:due], departures.t_ms[left:due])
        left = due
        served = _serve(turn.judgement, service, served, block.received_ms)
        turn.advance(block, wall_ms=block.received_ms)
        if end_ms - trained_ms >= TRAIN_EVERY_MS or told >= max(TRAIN_GROWTH * learned_from, FIRST_LABELS):
            turn.judgement.outlook.train(end_ms)
            turn.judgement.look_back(end_ms)
            trained_ms, learned_from = end_ms, told
        if passed is not None:
            passed.keep(block)
            if end_ms - taught_ms >= SCHOOL_EVERY_MS:
                _teach(turn.judgement, passed)
                taught_ms = end_ms
        progress(done / count, end_ms)
    rows = caseview.list_tickets(engine)
    rows = tuple(sorted(rows, key=lambda row: (row.ticket.opened_ms, row.ticket.device_id, row.cause)))
    return Replayed(
        name=recording.name, source=recording.source, devices=len(roster.devices), values=values, lines=lines,
        start_ms=start_ms, end_ms=end_ms, tickets=tuple(row.ticket for row in rows),
        causes={row.ticket.ticket_id: row.cause for row in rows},
    )  # fmt: skip


def _serve(judgement: Judgement, service: Occasions, done: int, now_ms: int) -> int:
    """Tell of the service that has been done by now, component by component; returns how many records that makes."""
    due = int(np.searchsorted(service.t_ms, now_ms, side="right"))
    parts = np.array(service.component[done:due])
    for component in np.unique(parts).tolist():
        mine = done + np.flatnonzero(parts == component)
        judgement.served(service.device[mine], service.t_ms[mine], component)
    return due


def _teach(judgement: Judgement, passed: Passed) -> None:
    """Give all lessons that are due, from what has passed."""
    waiting = SCHOOLING.due(judgement)
    if waiting:
        passed.gather(np.flatnonzero(np.isin(judgement.roster.series_device, waiting)))
        SCHOOLING.run(judgement, passed, turn=nullcontext(), stopping=lambda: False)
