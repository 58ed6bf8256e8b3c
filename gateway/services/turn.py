"""A turn: from one committed block to one ledger transaction.

    1. births and presence are kept, and the roster learns what changed;
    2. the judgement advances (facts, detectors, forecasts, rules);
    3. alerts become incidents, tickets and outbox rows (`services.plan`), planned against the casebook as it stands;
    4. all of that and the watermark are committed in one transaction;
    5. open pages are told.

A crash before 4 leaves the ledger as it was: the turn runs again from the store. What detectors hold in memory is
written now and then (`services.snapshot`); after a restart the blocks between the snapshot and the watermark pass
through the judgement once more, at the times at which they came, and what they come to is dropped: it was committed.

Where 4 fails and the process lives on, the judgement has moved and the ledger has not. The alerts are then owed: they
go with the next commit, and until then no snapshot is written.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from gateway.errors import TryLater
from gateway.incidents import Fleet, TurnOutcome
from gateway.ledger import casebook, caseview, labels, outbox, people, registry, service
from gateway.model import Alert, Block, Evidence, Roster
from gateway.outreach import Texts
from gateway.ports import SeriesStore
from gateway.selfwatch import Watch
from gateway.services import snapshot
from gateway.services.clock import FleetClock
from gateway.services.judgement import Judgement, Verdict
from gateway.services.plan import Casework, People, plan_turn, rule_info
from gateway.services.schooling import Schooling

TRIES = 5  # of a commit that another writer overtook; each plans again from a fresh view
JUDGED_TWICE = 2  # a window over which the judgement stumbles so often is passed over: one bad block stops nobody
LOG_TAIL_MS, LOG_TAIL_LINES = 24 * 3_600_000, 20

log = structlog.get_logger(__name__)


class Turn:
    """Runs turns, one at a time, on whatever threads call. Holds the judgement of the whole fleet."""

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
        self.clock = FleetClock(roster, now_ms=judgement.engine.now_ms)
        self.window = 0  # the newest one taken in
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._owed: tuple[Alert, ...] = ()  # judged, not committed
        self._owed_window: int | None = None
        self.waits = False  # whether the ledger refused the last commit: what is judged waits for it
        self._stumbles: Counter[int] = Counter()  # by window
        self._tell, self._folder = tell, folder
        self._casework = Casework(
            rules={rule.alert: rule_info(rule) for rule in judgement.rules.rules},
            fleet=Fleet.of(()), device=roster.device, texts=texts, sender=sender,
        )  # fmt: skip
        self._devices_known = (-1, -1)  # how many, and how often what is known of one was replaced
        self._cases = True  # whether the casebook may hold open or recent incidents
        self._people = People(
            contacts=lambda customer: people.contacts_for(ledger, customer),
            sent_ms=lambda contact: outbox.sent_times(ledger, contact, now_ms=self.clock.now_ms),
            told=lambda ticket: outbox.told(ledger, ticket),
        )

    def advance(self, block: Block, *, wall_ms: int) -> TurnOutcome:
        """Take one block in and commit what follows. `wall_ms` may be event time, in replay."""
        with self._lock:
            return self._advance(block, wall_ms)

    def tick(self, *, wall_ms: int) -> TurnOutcome | None:
        """Judge where nothing came: silence grows and rules wait. None while the past is being played."""
        with self._lock:
            now_ms = self.clock.tick(wall_ms)
            if now_ms is None:
                return None
            outcome = self._commit(self.judgement.tick(now_ms).alerts, now_ms=now_ms, window=None)
            self._publish(outcome)
            return outcome

    def resume(self, *, wall_ms: int) -> int:
        """After a restart: what the store holds beyond the snapshot passes again. Returns the windows passed.

        Blocks up to the watermark only bring the judgement up to date; later ones are whole turns. A store that was
        emptied begins its numbers anew, and is followed.
        """
        if self.store is None:
            return 0
        with self._lock:
            stored = self.store.last_window()
            mark, passed = casebook.read_watermark(self.ledger), 0
            self.window = min(self.window, stored)
            for block in self.store.since(self.window):
                if self._stopping.is_set():
                    break
                came_ms = min(wall_ms, block.received_ms)
                if block.window <= min(mark.window, stored):
                    self._judge(block, came_ms)
                else:
                    self.clock.now_ms = max(self.clock.now_ms, mark.at_ms)
                    self._advance(block, came_ms)
                passed += 1
            self.clock.now_ms = max(self.clock.now_ms, mark.at_ms)
        log.info("turn.resumed", windows=passed, watermark=mark.window, window=self.window)
        return passed

    def save(self) -> int:
        """Write what detectors have learned; the window up to which they have, 0 where nothing was written."""
        with self._lock:
            if self._folder is None or self.owes:
                return 0
            snapshot.save(self._folder, self.window, self.judgement.snapshot())
            return self.window

    @property
    def owes(self) -> bool:
        """Whether something is judged that the ledger could not be told yet."""
        return bool(self._owed) or self._owed_window is not None

    def train(self, *, wall_ms: int) -> str:
        """Train cohorts' models, failure risk and log lines that come before failures; what came of it.

        Outcomes of tickets and service records are the labels. Learning runs on a copy, so that turns go on meanwhile.
        """
        told = labels.told_after(self.ledger, self.judgement.labels_seen)
        noted = service.noted_after(self.ledger, self.judgement.service_seen)
        with self._lock:
            for label in told:
                self.judgement.told(label)
                self.judgement.labels_seen = label.number
            for record in noted:
                self.judgement.noted(record)
                self.judgement.service_seen = record.number
            self.judgement.engine.train_cohorts()
            self.judgement.look_back(wall_ms)
            lesson = self.judgement.outlook.lesson(wall_ms)
        learned = lesson.learn()
        with self._lock:
            self.judgement.outlook.adopt(learned)
        risk = f"risk learned from {learned.model.failures} failures" if learned.model else "no failure risk yet"
        covered = self.judgement.outlook.coverage
        if covered.known:
            self.watch.set("time_left_held_ratio", covered.ratio)
            risk += f"; time left within its interval {covered.ratio:.0%} of {covered.known} times"
        covered = self.judgement.forecaster.coverage
        if covered.known:
            self.watch.set("forecast_held_ratio", covered.ratio)
            risk += f"; limits reached within their interval {covered.ratio:.0%} of {covered.known} times"
        return f"cohorts of {len(self.judgement.roster.devices):,} devices; {risk}"

    def learn_habits(self, schooling: Schooling) -> str:
        """Learn the habits of devices that are due from what the store holds; what came of it."""
        if self.store is None or not self.clock.live:
            return "the past is still being played"
        return schooling.run(self.judgement, self.store, turn=self._lock, stopping=self._stopping.is_set)

    def stop(self) -> None:
        """Let `resume` end at the next block; what it has not reached waits for the next start."""
        self._stopping.set()

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

    def _advance(self, block: Block, wall_ms: int) -> TurnOutcome:
        began = time.perf_counter()
        self._keep_births(block)
        verdict = self._judge(block, wall_ms)
        alerts = verdict.alerts if verdict else ()
        outcome = self._commit(alerts, now_ms=self.clock.now_ms, window=block.window)
        if verdict is not None:
            self._note(outcome, verdict, took_s=time.perf_counter() - began, values=len(block))
        return outcome

    def _judge(self, block: Block, wall_ms: int) -> Verdict | None:
        """The verdict on a block; None where the judgement stumbled over it before, and it is passed over."""
        now_ms, verdict = self.clock.after(block, wall_ms), None
        if self._stumbles[block.window] < JUDGED_TWICE:
            self._stumbles[block.window] += 1
            verdict = self.judgement.advance(block, now_ms)
            del self._stumbles[block.window]
        else:
            log.error("turn.passed_over", window=block.window)
            sentence = f"Window {block.window} could not be judged and was passed over; the log has the traceback."
            self.watch.report("window_passed_over", sentence, now_ms)
            self.watch.count("windows_passed_over")
        self.window = max(self.window, block.window)
        return verdict

    def _commit(self, alerts: tuple[Alert, ...], *, now_ms: int, window: int | None) -> TurnOutcome:
        """Commit these alerts and those owed; where the ledger cannot be written, none is forgotten."""
        self._owed = alerts = (*self._owed, *alerts)
        self._owed_window = window = self._owed_window if window is None else window
        try:
            outcome = self._write(alerts, now_ms=now_ms, window=window)
            self._owed, self._owed_window = (), None
        finally:
            self.waits = self.owes
        return outcome

    def _write(self, alerts: tuple[Alert, ...], *, now_ms: int, window: int | None) -> TurnOutcome:
        if alerts or self._cases:
            try:
                outcome = self._commit_cases(alerts, now_ms=now_ms, window=window)
            except IntegrityError:
                self._owed = ()  # they would fail again and hold up all that follow
                names = ", ".join(sorted({alert.rule for alert in alerts}))
                sentence = f"What {names} led to does not fit the ledger and was dropped; the log has the traceback."
                self.watch.report("turn_dropped", sentence, now_ms)
                raise
        else:
            outcome = TurnOutcome(now_ms=now_ms, window=window)
            if window is not None:
                casebook.commit_turn(self.ledger, outcome)
        return outcome

    def _commit_cases(self, alerts: tuple[Alert, ...], *, now_ms: int, window: int | None) -> TurnOutcome:
        for last in (False,) * (TRIES - 1) + (True,):
            outcome = self._plan(alerts, now_ms=now_ms, window=window)
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
        known = (len(self.roster.devices), self.roster.replaced)
        if self._devices_known != known:
            self._devices_known = known
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
