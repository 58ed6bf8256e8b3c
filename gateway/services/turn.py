"""A turn: from one committed block to one ledger transaction.

    1. births and presence are kept, and the roster learns what changed;
    2. the judgement advances (facts, detectors, forecasts, rules);
    3. alerts become incidents, tickets and outbox rows (`services.plan`), planned against the casebook as it stands;
    4. all of that and the watermark are committed in one transaction;
    5. open pages are told.

A crash before 4 leaves the ledger as it was: the turn runs again from the store. What detectors hold in memory is
written now and then (`services.snapshot`); after a restart the blocks between the snapshot and the watermark pass
through the judgement once more, and what they come to is dropped, for it was committed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog
from sqlalchemy import Engine

from gateway.errors import TryLater
from gateway.incidents import Fleet, TurnOutcome
from gateway.ledger import casebook, caseview, outbox, people, registry
from gateway.model import Alert, Block, Evidence, Roster
from gateway.outreach import Texts
from gateway.ports import SeriesStore
from gateway.selfwatch import Watch
from gateway.services import snapshot
from gateway.services.clock import FleetClock
from gateway.services.judgement import Judgement, Verdict
from gateway.services.plan import Casework, People, plan_turn, rule_info

TRIES = 5  # of a commit that another writer overtook; each plans again from a fresh view
LOG_TAIL_MS, LOG_TAIL_LINES = 24 * 3_600_000, 20

log = structlog.get_logger(__name__)


class Turn:
    """Runs turns, one at a time, on whatever thread calls. Holds the judgement of the whole fleet."""

    def __init__(
        self,
        *,
        ledger: Engine,
        roster: Roster,
        store: SeriesStore | None,
        judgement: Judgement,
        texts: Texts,
        watch: Watch,
        sender: str = "Beforehand",
        tell: Callable[[str, str], None] = lambda _kind, _subject: None,
        folder: Path | None = None,
    ) -> None:
        self.ledger, self.roster, self.store, self.watch = ledger, roster, store, watch
        self.judgement = judgement
        self.clock = FleetClock(roster)
        self.window = 0  # the newest one taken in
        self._tell, self._folder = tell, folder
        self._casework = Casework(
            rules={rule.alert: rule_info(rule) for rule in judgement.rules.rules},
            fleet=Fleet.of(()), device=roster.device, texts=texts, sender=sender,
        )  # fmt: skip
        self._devices_known = -1
        self._cases = True  # whether the casebook may hold open or recent incidents
        self._people = People(
            contacts=lambda customer: people.contacts_for(ledger, customer),
            sent_ms=lambda contact: outbox.sent_times(ledger, contact, now_ms=self.clock.now_ms),
            told=lambda ticket: outbox.told(ledger, ticket),
        )

    def advance(self, block: Block, *, wall_ms: int) -> TurnOutcome:
        """Take one block in and commit what follows. `wall_ms` may be event time, in replay."""
        began = time.perf_counter()
        self._keep_births(block)
        now_ms = self.clock.after(block, wall_ms)
        verdict = self.judgement.advance(block, now_ms)
        outcome = self._commit(verdict, now_ms=now_ms, window=block.window)
        self.window = max(self.window, block.window)
        self._note(outcome, verdict, took_s=time.perf_counter() - began, values=len(block))
        return outcome

    def tick(self, *, wall_ms: int) -> TurnOutcome | None:
        """Judge where nothing came: silence grows and rules wait. None while the past is being played."""
        now_ms = self.clock.tick(wall_ms)
        if now_ms is None:
            return None
        verdict = self.judgement.tick(now_ms)
        outcome = self._commit(verdict, now_ms=now_ms, window=None)
        self._publish(outcome)
        return outcome

    def resume(self, *, wall_ms: int) -> int:
        """After a restart: what the store holds beyond the snapshot passes again. Returns the windows passed.

        Blocks up to the watermark only bring the judgement up to date; later ones are whole turns.
        """
        if self.store is None:
            return 0
        committed, passed = casebook.last_window(self.ledger), 0
        for block in self.store.since(self.window):
            if block.window <= committed:
                self.judgement.advance(block, self.clock.after(block, wall_ms))
                self.window = block.window
            else:
                self.advance(block, wall_ms=wall_ms)
            passed += 1
        log.info("turn.resumed", windows=passed, watermark=committed, window=self.window)
        return passed

    def save(self) -> Path | None:
        """Write what detectors have learned; the file, or None where there is no folder."""
        if self._folder is None:
            return None
        return snapshot.save(self._folder, self.window, self.judgement.snapshot())

    def evidence(self, device_id: str, rule: str) -> Evidence:
        """What a ticket of this device and rule shows now."""
        device = self.roster.device(device_id)
        if device is None:
            return Evidence()
        now_ms, tail = self.judgement.facts.now_ms, []
        if self.store is not None:
            lines = self.store.logs(device.number, now_ms - LOG_TAIL_MS, now_ms + 1, limit=LOG_TAIL_LINES)
            tail = [(t_ms, severity, text) for t_ms, severity, _, text in lines]
        return self.judgement.evidence(device, rule, log_tail=tuple(tail))

    def _commit(self, verdict: Verdict, *, now_ms: int, window: int | None) -> TurnOutcome:
        if not verdict.alerts and not self._cases:
            outcome = TurnOutcome(now_ms=now_ms, window=window)
            if window is not None:
                casebook.commit_turn(self.ledger, outcome)
            return outcome
        for last in (False,) * (TRIES - 1) + (True,):
            outcome = self._plan(verdict.alerts, now_ms=now_ms, window=window)
            try:
                if outcome or window is not None:
                    casebook.commit_turn(self.ledger, outcome)
                break
            except TryLater:
                if last:
                    raise
        return outcome

    def _plan(self, alerts: tuple[Alert, ...], *, now_ms: int, window: int | None) -> TurnOutcome:
        view = caseview.load_view(self.ledger, now_ms=now_ms)
        self._cases = bool(alerts or view.open or view.recent)
        if self._devices_known != len(self.roster.devices):
            self._devices_known = len(self.roster.devices)
            self._casework = replace(self._casework, fleet=Fleet.of(self.roster.devices))
        return plan_turn(
            alerts,
            view,
            self._casework,
            now_ms=now_ms,
            window=window,
            evidence_of=self.evidence,
            title_of=self._title,
            people=self._people,
        )

    def _title(self, device_id: str, rule_name: str) -> str:
        device, rule = self.roster.device(device_id), self.judgement.rules.rule(rule_name)
        if device is None or rule is None:
            return rule_name
        return rule.title(self.judgement.value_of(device))

    def _keep_births(self, block: Block) -> None:
        if block.births or block.presence:
            for device in registry.record_births(self.ledger, block.births, block.presence):
                self.roster.put_device(device)
                self._devices_known = -1

    def _note(self, outcome: TurnOutcome, verdict: Verdict, *, took_s: float, values: int) -> None:
        self.watch.count("turns")
        self.watch.count("episodes_opened", len(verdict.findings.opened))
        self.watch.count("tickets_opened", len(outcome.tickets))
        self.watch.set("turn_seconds", took_s)
        self.watch.set("fleet_time_ms", float(outcome.now_ms))
        self._publish(outcome)
        log.info(
            "turn.done", window=outcome.window, values=values, alerts=len(verdict.alerts),
            incidents=len(outcome.incidents), tickets=len(outcome.tickets), messages=len(outcome.messages),
            took_ms=round(took_s * 1000, 1),
        )  # fmt: skip

    def _publish(self, outcome: TurnOutcome) -> None:
        for incident in outcome.incidents:
            self._tell("incident", incident.incident_id)
            self._tell("device", incident.device_id)
        for ticket in outcome.tickets:
            self._tell("ticket", ticket.ticket_id)
        for message in outcome.messages:
            self._tell("message", message.message_id)
