"""Turns: all or nothing, once, in event time, and the same after any restart."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError, OperationalError

from gateway.errors import TryLater
from gateway.incidents import TurnOutcome
from gateway.ledger import casebook, outbox, service
from gateway.model import Birth, DeviceId, Presence
from tests.unit.services.house import DAY, HOUR, MINUTE, T0, House, rows


def test_a_device_going_bad_gives_one_ticket_with_its_evidence_and_one_message(house: House) -> None:
    house.pass_({0: 20.0, 1: 20.0}, at=T0)
    outcome = house.pass_({0: 61.5, 1: 20.0}, at=T0 + MINUTE, lines=[(0, "overheating"), (1, "all is well")])

    (detail,) = house.tickets()
    ticket = detail.row.ticket
    assert (ticket.device_id, ticket.title, ticket.customer_id) == ("d0", "Too hot: 62 degrees", "c1")
    assert ticket.evidence.charts == ("heat_celsius",)
    assert ticket.evidence.firmware == "2.9.0"
    assert ticket.evidence.log_tail == ((T0 + MINUTE, "error", "overheating"),)
    assert ("heat_celsius", 61.5) in ticket.evidence.facts
    assert "62 degrees" in ticket.evidence.why
    assert [(m.contact_id, m.state) for m in detail.messages] == [("anna", "queued")]
    assert casebook.read_watermark(house.engine).window == outcome.window == 2
    assert ("ticket", ticket.ticket_id) in house.told


def test_a_ticket_names_the_log_line_that_came_before_failures(house: House) -> None:
    ahead = house.turn.judgement.engine.logs.ahead
    for _ in range(500):  # days of other devices, after which nothing failed
        ahead.precursors.learn([[1]], failed=False)
    house.pass_({0: 20.0}, at=T0, lines=[(d, text) for d in range(3) for text in ("radio lost", "motor stalled")])
    house.turn.judgement.failed(np.arange(3), np.full(3, T0 + DAY), ("",) * 3)
    house.turn.train(wall_ms=T0 + DAY)
    house.pass_({0: 61.5}, at=T0 + 2 * DAY, lines=[(0, "motor stalled")])

    (detail,) = house.tickets()
    assert '"motor stalled" came before 3 of 3 confirmed failures.' in detail.row.ticket.evidence.why


def test_trouble_that_lasts_is_told_once(house: House) -> None:
    for minute in range(5):
        house.pass_({0: 60.0}, at=T0 + minute * MINUTE)
        house.turn.tick(wall_ms=T0 + minute * MINUTE + 1_000)

    (detail,) = house.tickets()
    assert len(detail.messages) == 1


@pytest.mark.parametrize(
    "failing",
    ["_put_incidents", "_put_alerts", "_add_tickets", "add_events", "message_row", "put"],
)
def test_an_error_anywhere_in_the_commit_leaves_nothing_and_owes_everything(
    house: House, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    house.pass_({0: 20.0}, at=T0)
    before = rows(house.engine)
    block = house.block({0: 60.0}, at=T0 + MINUTE)
    known = rows(house.engine) | {"metrics": before["metrics"], "series": before["series"]}

    def fail(*_args: object, **_more: object) -> None:
        raise OperationalError("INSERT", {}, OSError("disk full"))

    with monkeypatch.context() as patch:
        patch.setattr(casebook, failing, fail)
        with suppress(OperationalError):
            house.turn.advance(block, wall_ms=T0 + MINUTE)
        left, saved, waited = rows(house.engine), house.turn.save(), house.turn.waits
    house.turn.resume(wall_ms=T0 + 2 * MINUTE)
    house.turn.tick(wall_ms=T0 + 2 * MINUTE)

    assert known == before
    assert left == before
    assert (saved, waited, house.turn.waits) == (0, True, False)
    assert [(d.row.cause, len(d.messages)) for d in house.tickets()] == [("heat", 1)]
    assert casebook.read_watermark(house.engine).window == 2


def test_a_commit_under_way_is_no_wait_for_the_ledger(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def commit(engine: Engine, outcome: TurnOutcome, **more: str) -> None:
        seen.append(house.turn.waits)
        written(engine, outcome, **more)

    written = casebook.commit_turn
    monkeypatch.setattr(casebook, "commit_turn", commit)
    house.pass_({0: 60.0}, at=T0)

    assert seen
    assert not any(seen)


def test_what_does_not_fit_the_ledger_is_told_and_holds_up_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.pass_({0: 20.0}, at=T0)

    def unfit(_connection: object, incidents: object) -> None:
        raise IntegrityError("INSERT", {}, sqlite3.IntegrityError("FOREIGN KEY constraint failed"))

    with monkeypatch.context() as patch:
        patch.setattr(casebook, "_put_incidents", unfit)
        with pytest.raises(IntegrityError):
            house.pass_({0: 60.0}, at=T0 + MINUTE)
    house.pass_({0: 60.0, 1: 70.0}, at=T0 + 2 * MINUTE)

    assert "TooHot" in house.watch.problems["turn_dropped"].sentence
    assert [d.row.ticket.device_id for d in house.tickets()] == ["d1"]
    assert casebook.read_watermark(house.engine).window == 3


def test_a_kill_between_commit_and_turn_loses_no_ticket(house: House) -> None:
    house.pass_({0: 20.0}, at=T0)
    house.block({0: 60.0}, at=T0 + MINUTE)

    passed = house.again(wall_ms=T0 + 3 * DAY)

    assert passed == 2
    (detail,) = house.tickets()
    assert detail.row.ticket.opened_ms == T0 + MINUTE
    assert casebook.read_watermark(house.engine).window == 2


@pytest.mark.parametrize("saved_after", [None, 0, 1, 2, 3])
def test_a_snapshot_older_than_the_watermark_catches_up_without_writing_twice(
    house: House, saved_after: int | None
) -> None:
    for n, heat in enumerate((20.0, 60.0, 61.0, 20.0)):
        house.pass_({0: heat, 1: 20.0}, at=T0 + n * MINUTE)
        if n == saved_after:
            assert house.turn.save() == n + 1
    before, state = rows(house.engine), house.turn.judgement.state.snapshot()

    passed = house.again(wall_ms=T0 + HOUR)

    assert passed == 4 - (0 if saved_after is None else saved_after + 1)
    assert rows(house.engine) == before
    assert house.turn.window == 4
    assert {k: v.tolist() for k, v in house.turn.judgement.state.snapshot().items()} == {
        k: v.tolist() for k, v in state.items()
    }


def test_what_passes_again_is_judged_at_the_time_at_which_it_came(house: House) -> None:
    """Judged at the time of the restart, a condition that had held for a minute would have seemed to hold for days."""
    house.pass_({0: 45.0}, at=T0)
    house.pass_({0: 45.0}, at=T0 + MINUTE)

    house.again(wall_ms=T0 + 2 * MINUTE)
    for minute in range(2, 12):
        house.pass_({0: 45.0}, at=T0 + minute * MINUTE)

    assert [(d.row.cause, d.row.ticket.opened_ms) for d in house.tickets()] == [("warmth", T0 + 10 * MINUTE)]


def test_a_restart_goes_on_with_the_fleets_time(house: House) -> None:
    house.pass_({0: 20.0, 1: 20.0}, at=T0)
    house.turn.tick(wall_ms=T0 + HOUR)
    house.turn.save()

    house.again(wall_ms=T0 + HOUR)

    assert house.turn.clock.now_ms == T0 + HOUR
    assert house.pass_({0: 20.0}, at=T0 + HOUR + 1, t_ms=T0 - DAY).now_ms == T0 + HOUR


def test_a_store_that_was_emptied_is_followed_from_its_beginning(house: House) -> None:
    for n in range(3):
        house.pass_({0: 20.0}, at=T0 + n * MINUTE)
    house.turn.save()
    house.store.close()
    (house.folder / "series.duckdb").unlink()

    house.again(wall_ms=T0 + HOUR)
    house.window = 0
    house.pass_({0: 60.0}, at=T0 + HOUR)
    saved = house.turn.save()
    passed = house.again(wall_ms=T0 + HOUR + MINUTE)

    assert (saved, passed) == (1, 0)
    assert [d.row.cause for d in house.tickets()] == ["heat"]


def test_an_unfit_snapshot_is_passed_over(house: House) -> None:
    house.pass_({0: 20.0}, at=T0)
    house.turn.save()
    house.pass_({0: 60.0}, at=T0 + MINUTE)
    house.turn.save()
    newest = house.folder / "state" / "000000000002.npz"
    newest.write_bytes(newest.read_bytes()[:1000])

    assert house.again(wall_ms=T0 + HOUR) == 1
    assert len(house.tickets()) == 1


def test_a_block_over_which_the_judgement_stumbles_stops_nobody_else(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.pass_({0: 20.0}, at=T0)
    healthy, poisoned = house.turn.judgement.advance, house.window + 1

    def stumble(block, now_ms):
        if block.window == poisoned:
            raise ZeroDivisionError
        return healthy(block, now_ms)

    monkeypatch.setattr(house.turn.judgement, "advance", stumble)
    house.block({1: 1e300}, at=T0 + MINUTE)
    house.block({0: 60.0}, at=T0 + 2 * MINUTE)
    failures = 0
    for _ in range(5):  # as the supervisor does
        try:
            house.turn.resume(wall_ms=T0 + 3 * MINUTE)
            break
        except ZeroDivisionError:
            failures += 1

    assert failures == 2
    assert [d.row.ticket.device_id for d in house.tickets()] == ["d0"]
    assert "window_passed_over" in house.watch.problems
    assert casebook.read_watermark(house.engine).window == 3


def test_a_condition_that_is_over_when_its_data_come_rings_nobody(house: House) -> None:
    house.pass_({0: 20.0, 1: 20.0}, at=T0)
    house.pass_({0: 80.0}, at=T0 + 1_000, t_ms=T0 - HOUR, late=True)
    house.turn.tick(wall_ms=T0 + 2_000)

    assert house.tickets() == []


def test_a_backlog_rings_nobody_before_the_present_is_known(house: House) -> None:
    """A device comes back after a day: what it kept is newer than what was known, and still of the past."""
    house.pass_({0: 20.0, 1: 20.0}, at=T0 - DAY)
    house.pass_({1: 20.0}, at=T0)
    house.pass_({0: 80.0}, at=T0 + 1_000, t_ms=T0 - 2 * HOUR, late=True)
    house.pass_({0: 20.0}, at=T0 + 2_000)

    assert [d.row.cause for d in house.tickets()] == ["silence"]


def test_silence_is_judged_where_nothing_comes(house: House) -> None:
    house.pass_({0: 20.0, 1: 20.0}, at=T0)
    quiet = house.turn.tick(wall_ms=T0 + 30 * MINUTE)
    house.turn.tick(wall_ms=T0 + 2 * HOUR)

    assert not quiet
    assert {d.row.ticket.device_id for d in house.tickets()} >= {"d0", "d1"}


def test_births_reach_roster_and_registry(house: House) -> None:
    block = house.block({0: 20.0}, at=T0)
    born = Birth(device_id=DeviceId("d0"), boot=2, t_ms=T0, type="smart_lock", firmware="3.0.0")
    there = Presence(device_id=DeviceId("d0"), t_ms=T0, online=True)
    object.__setattr__(block, "births", (born,))
    object.__setattr__(block, "presence", (there,))

    house.turn.advance(block, wall_ms=T0)
    house.pass_({0: 70.0}, at=T0 + MINUTE)

    assert house.tickets()[0].row.ticket.evidence.firmware == "3.0.0"


def test_a_writer_that_was_overtaken_plans_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.pass_({0: 20.0}, at=T0)
    commit, tries = casebook.commit_turn, []

    def overtaken(engine, outcome, **more):
        tries.append(outcome)
        if len(tries) < 3:
            raise TryLater("ledger_moved", after_s=0.0)
        commit(engine, outcome, **more)

    monkeypatch.setattr(casebook, "commit_turn", overtaken)
    house.pass_({0: 60.0}, at=T0 + MINUTE)

    assert len(tries) == 3
    assert len(house.tickets()) == 1


def test_recovery_solves_the_ticket_and_thanks_whom_it_had_warned(house: House) -> None:
    house.pass_({0: 60.0}, at=T0)
    (detail,) = house.tickets()

    outbox.mark_sending(house.engine, detail.messages[0].message_id, now_ms=T0)
    outbox.mark_sent(house.engine, detail.messages[0].message_id, provider_id="p", now_ms=T0)
    for minute in range(1, 40):
        house.pass_({0: 20.0}, at=T0 + minute * MINUTE)

    (detail,) = house.tickets()
    assert detail.row.ticket.status == "solved"
    assert [m.template for m in detail.messages] == ["battery_wearing_out", "recovered"]


def test_service_records_and_corrected_outcomes_reach_learning_once_over_a_restart(house: House) -> None:
    house.pass_({0: 60.0}, at=T0)
    (detail,) = house.tickets()
    casebook.record_outcome(house.engine, detail.row.ticket.ticket_id, "confirmed", author="mei", now_ms=T0 + HOUR)
    service.note(house.engine, "d1", "motor", at_ms=T0 + HOUR, failed=True, author="mei", now_ms=T0 + HOUR)
    service.note(house.engine, "d1", "bolt", at_ms=T0 + HOUR, failed=False, author="mei", now_ms=T0 + HOUR)
    house.turn.train(wall_ms=T0 + 2 * HOUR)

    kept = house.turn.judgement.outlook._kept
    assert kept.failures.tolist() == [[0, T0 + HOUR], [1, T0 + HOUR]]
    assert kept.causes.tolist() == ["heat", "motor"]
    assert {"service:motor", "service:bolt"} <= set(house.turn.judgement.outlook.features.columns)

    house.turn.save()
    house.again(wall_ms=T0 + 3 * HOUR)
    casebook.record_outcome(house.engine, detail.row.ticket.ticket_id, "no_fault_found", author="mei", now_ms=T0 + DAY)
    house.turn.train(wall_ms=T0 + 2 * DAY)

    assert house.turn.judgement.outlook._kept.failures.tolist() == [[1, T0 + HOUR]]


def test_a_device_that_was_revoked_is_judged_no_more_and_its_owner_thanked_for_nothing(house: House) -> None:
    house.pass_({0: 60.0}, at=T0)
    (detail,) = house.tickets()
    outbox.mark_sending(house.engine, detail.messages[0].message_id, now_ms=T0)
    outbox.mark_sent(house.engine, detail.messages[0].message_id, provider_id="p", now_ms=T0)

    device = house.roster.device("d0")
    assert device is not None
    house.roster.put_device(replace(device, revoked=True))
    for minute in range(1, 120):
        house.pass_({1: 20.0}, at=T0 + minute * MINUTE)

    (detail,) = [t for t in house.tickets() if t.row.ticket.device_id == "d0"]  # none for its silence
    assert detail.row.ticket.status == "solved"
    assert [m.template for m in detail.messages] == ["battery_wearing_out"]


def test_a_stopped_turn_ends_its_catching_up(house: House) -> None:
    for n in range(3):
        house.block({0: 20.0}, at=T0 + n * MINUTE)
    house.turn.stop()

    assert house.turn.resume(wall_ms=T0 + HOUR) == 0
    assert house.again(wall_ms=T0 + HOUR) == 3
