"""One house for tests of turns: three locks of one owner, a real ledger and a real store, and rules of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

import rules
from gateway import ledger
from gateway.ledger import caseview, people, registry
from gateway.ledger.database import reading
from gateway.ledger.tables import METADATA
from gateway.model import Block, Contact, Customer, CustomerId, DeviceId, LogLines, Roster
from gateway.outreach import load_texts
from gateway.ports import BatchKey
from gateway.selfwatch import Watch
from gateway.services import snapshot
from gateway.services.judgement import Judgement
from gateway.services.turn import Turn
from gateway.stores.duckdb import DuckDbStore

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
T0 = 1_784_905_200_000  # 2026-07-24, 17:00 in Berlin
RULES = """
rules:
  - alert: TooHot
    types: [smart_lock]
    expr: heat_celsius > 50
    severity: warning
    cause: heat
    ticket: {priority: normal, title: "Too hot: {heat_celsius:.0} degrees"}
    tell_customer: {template: battery_wearing_out, urgent: false}
    charts: [heat_celsius]
    explain: "It has {heat_celsius:.0} degrees."
  - alert: HotForLong
    types: [smart_lock]
    expr: heat_celsius > 40
    for: 10m
    severity: warning
    cause: warmth
    ticket: {priority: low, title: "Warm for long"}
  - alert: Silent
    expr: silent_s > 3600
    severity: warning
    cause: silence
    ticket: {priority: low, title: "Not heard for {silent_s:.0} s"}
"""


@dataclass
class House:
    """The parts of one gateway that turns need; `again` starts it anew on the same disk."""

    folder: Path
    engine: Engine = field(init=False)
    store: DuckDbStore = field(init=False)
    roster: Roster = field(init=False)
    watch: Watch = field(init=False)
    turn: Turn = field(init=False)
    told: list[tuple[str, str]] = field(default_factory=list)
    window: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "rules.yaml").write_text(RULES)
        self.engine = ledger.connect(f"sqlite:///{self.folder / 'ledger.sqlite'}")
        ledger.migrate(self.engine)
        settle_in(self.engine)
        self._start()

    def _start(self) -> None:
        self.roster = registry.load_roster(self.engine)
        self.store = DuckDbStore(self.folder / "series.duckdb", memory="200MB", threads=1)
        ruleset, state = rules.load([self.folder / "rules.yaml"]), self.folder / "state"
        window, judgement = snapshot.restore(state, lambda held: Judgement(self.roster, ruleset, held=held))
        self.watch = Watch()
        self.turn = Turn(
            ledger=self.engine, roster=self.roster, store=self.store, judgement=judgement, texts=load_texts(),
            watch=self.watch, folder=state, tell=lambda kind, subject: self.told.append((kind, subject)),
        )  # fmt: skip
        self.turn.window = window

    def again(self, *, wall_ms: int) -> int:
        """As after a kill: what was in memory is gone. How many windows passed again."""
        self.store.close()
        self.told.clear()
        self._start()
        return self.turn.resume(wall_ms=wall_ms)

    def close(self) -> None:
        self.store.close()
        self.engine.dispose()

    def block(self, heat: dict[int, float], *, at: int, t_ms: int | None = None, late: bool = False, lines=()) -> Block:
        """A committed window: the heat of some devices, all measured at `t_ms` and received at `at`."""
        first, metric = self.roster.series_count, len(self.roster.metrics)
        series = [self.roster.series(device, self.roster.metric("heat_celsius")) for device in heat]
        registry.save_new_series(self.engine, self.roster, from_series=first, from_metric=metric)
        order = np.argsort(series)
        self.window += 1
        block = Block(
            window=self.window, received_ms=at, series=np.array(series, np.int64)[order],
            t_ms=np.full(len(series), at if t_ms is None else t_ms), late=np.full(len(series), late),
            value=np.array(list(heat.values()), float)[order], logs=_lines(lines, at),
        )  # fmt: skip
        self.store.append(block, [BatchKey(0, 1, self.window)])
        return block

    def pass_(self, heat: dict[int, float], *, at: int, **more):
        """One committed window and its turn."""
        return self.turn.advance(self.block(heat, at=at, **more), wall_ms=at)

    def tickets(self):
        return [caseview.find_ticket(self.engine, row.ticket.ticket_id) for row in caseview.list_tickets(self.engine)]


def settle_in(engine: Engine) -> None:
    contact = Contact(
        contact_id="anna", customer_id=CustomerId("c1"), channel="sms", address="+4915112345678", zone="Europe/Berlin"
    )
    people.save_customers(engine, [Customer(customer_id=CustomerId("c1"), name="Anna", contacts=(contact,))], now_ms=T0)
    people.record_consent(engine, "anna", "opt_in", source="import", wording="v1", at_ms=T0)
    wanted = [
        registry.NewDevice(
            device_id=DeviceId(f"d{n}"), type="smart_lock", customer_id=CustomerId("c1"), zone="Europe/Berlin",
            firmware="2.9.0",
        )
        for n in range(3)
    ]  # fmt: skip
    registry.add_devices(engine, wanted, now_ms=T0)


def rows(engine: Engine) -> dict[str, list[tuple]]:
    """Everything in the ledger, by table."""
    with reading(engine) as connection:
        return {
            name: sorted((tuple(row) for row in connection.execute(table.select())), key=repr)
            for name, table in METADATA.tables.items()
        }


def _lines(lines, at: int) -> LogLines:
    return LogLines(
        device=np.array([device for device, _ in lines], np.int64), t_ms=np.full(len(lines), at),
        severity=np.full(len(lines), 3, np.int8), source=("app",) * len(lines),
        text=tuple(text for _, text in lines),
    )  # fmt: skip
