"""A turn is all or nothing; one cause makes one ticket, whoever writes; people's deeds on tickets are kept."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from gateway import ledger
from gateway.errors import NotFound, Refused, TryLater
from gateway.incidents import AlertChange
from gateway.ledger import audit, casebook, caseview, mutes, outbox, seal, tables
from gateway.services.plan import plan_turn
from tests.integration.ledger.fleet import DAY, HOUR, MINUTE, T0, VAULT, alert, evidence, settle_in, turns


def count(engine, table) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def only_ticket(engine):
    (row,) = caseview.list_tickets(engine)
    return row


def test_an_alert_becomes_an_incident_a_ticket_with_evidence_and_a_message(engine):
    fleet = settle_in(engine)
    fleet.turn(alert(), window=7)

    detail = caseview.find_ticket(engine, "1")

    assert detail.row.ticket.title == "Battery wearing out"
    assert detail.row.customer == "Anna"
    assert detail.row.ticket.evidence == evidence("d0")
    assert [a.state for a in detail.alerts] == ["firing"]
    assert [(m.state, m.template) for m in detail.messages] == [("queued", "battery_wearing_out")]
    assert "about 12 days" in detail.messages[0].text
    assert [e.kind for e in detail.events] == ["opened", "message"]
    assert casebook.read_watermark(engine).window == 7


def test_a_turn_that_fails_half_way_leaves_nothing(engine):
    fleet = settle_in(engine)
    view = caseview.load_view(engine, now_ms=T0)
    outcome = plan_turn([alert()], view, fleet.casework, now_ms=T0, window=1, evidence_of=evidence)
    broken = replace(outcome, alerts=(AlertChange(alert=alert(), incident_id="no such incident"),))

    with pytest.raises(IntegrityError):  # a mistake of ours, not another writer: it must not be tried again
        casebook.commit_turn(engine, broken)

    assert [count(engine, t) for t in (tables.incidents, tables.tickets, tables.ticket_events)] == [0, 0, 0]
    assert casebook.read_watermark(engine).window == 0


def test_a_writer_with_an_old_view_changes_nothing_and_succeeds_with_a_new_one(engine):
    fleet = settle_in(engine)
    old = caseview.load_view(engine, now_ms=T0)
    fleet.turn(alert())
    late = plan_turn([alert("BatteryNearlyEmpty")], old, fleet.casework, now_ms=T0, evidence_of=evidence)

    with pytest.raises(TryLater, match="ledger_moved"):
        casebook.commit_turn(engine, late)
    fleet.turn(alert("BatteryNearlyEmpty"), now=T0 + 1)

    incident = only_ticket(engine)
    assert incident.severity == "critical"
    assert count(engine, tables.incidents) == 1


def test_a_second_worse_rule_of_the_same_cause_tells_the_customer_without_a_second_ticket(engine):
    fleet = settle_in(engine)
    fleet.turn(alert())
    fleet.turn(alert("BatteryNearlyEmpty", at=T0 + DAY), now=T0 + DAY)

    detail = caseview.find_ticket(engine, "1")

    assert [m.template for m in detail.messages] == ["battery_wearing_out", "battery_nearly_empty"]
    assert count(engine, tables.tickets) == 1


def test_rules_reach_as_far_as_they_may(engine):
    fleet = settle_in(engine)
    fleet.turn(alert("OddNoise"), alert("FlashWorn", device="d1"))

    assert [row.cause for row in caseview.list_tickets(engine)] == ["FlashWorn"]
    assert count(engine, tables.incidents) == 2
    assert count(engine, tables.messages) == 0


def test_without_consent_the_skipped_message_shows_why(engine):
    fleet = settle_in(engine, consent=False)
    fleet.turn(alert())

    (message,) = caseview.find_ticket(engine, "1").messages

    assert (message.state, message.reason) == ("skipped", "no_consent")


def test_verified_recovery_solves_the_ticket_and_thanks_those_who_were_told(engine):
    fleet = settle_in(engine)
    fleet.turn(alert())
    (message,) = caseview.find_ticket(engine, "1").messages
    outbox.mark_sending(engine, message.message_id, now_ms=T0)
    outbox.mark_sent(engine, message.message_id, provider_id="p1", now_ms=T0)
    fleet.turn(alert(state="resolved", at=T0 + HOUR), now=T0 + HOUR)
    fleet.turn(now=T0 + 2 * HOUR)

    detail = caseview.find_ticket(engine, "1")

    assert (detail.row.ticket.status, detail.row.incident_state) == ("solved", "resolved")
    assert [m.template for m in detail.messages] == ["battery_wearing_out", "recovered"]
    assert [a.state for a in detail.alerts] == ["resolved"]


def test_trouble_that_returns_reopens_its_ticket(engine):
    fleet = settle_in(engine)
    fleet.turn(alert())
    fleet.turn(alert(state="resolved", at=T0 + 1), now=T0 + 1)
    fleet.turn(now=T0 + HOUR)
    fleet.turn(alert(at=T0 + 2 * HOUR), now=T0 + 2 * HOUR)

    row = only_ticket(engine)

    assert (row.ticket.status, row.incident_state) == ("open", "open")
    assert len(caseview.find_ticket(engine, "1").messages) == 1


def test_a_label_closes_the_incident_so_that_only_new_trouble_opens_another(engine):
    fleet = settle_in(engine)
    fleet.turn(alert())
    casebook.record_outcome(engine, "1", "false_alarm", author="mei", now_ms=T0 + HOUR, remark="sensor was wet")

    fleet.turn(alert(state="resolved", at=T0 + 2 * HOUR), now=T0 + 2 * HOUR)
    fleet.turn(alert(at=T0 + 3 * HOUR), now=T0 + 3 * HOUR)

    first, second = caseview.list_tickets(engine)
    assert (first.ticket.outcome, first.ticket.status, first.incident_state) == ("false_alarm", "solved", "closed")
    assert (second.ticket.number, second.ticket.status) == (2, "new")
    assert count(engine, tables.outcomes) == 1


def test_what_people_do_is_on_the_time_line_and_audited(engine):
    settle_in(engine).turn(alert())
    casebook.assign(engine, "1", "mei", author="boss", now_ms=T0 + 1)
    casebook.comment(engine, "1", author="mei", text="Called.", now_ms=T0 + 2, key="k1")
    casebook.comment(engine, "1", author="mei", text="Called.", now_ms=T0 + 2, key="k1")
    casebook.set_priority(engine, "1", "high", author="mei", now_ms=T0 + 3)
    casebook.set_status(engine, "1", "waiting", author="mei", now_ms=T0 + 4)
    casebook.call_attention(engine, "1", "hand_over", text="Read this.", now_ms=T0 + 5)
    casebook.clear_attention(engine, "1", now_ms=T0 + 6)

    detail = caseview.find_ticket(engine, "1")
    ticket = detail.row.ticket

    kinds = [e.kind for e in detail.events]
    assert kinds == ["opened", "message", "assigned", "comment", "priority", "status", "attention"]
    assert (ticket.assignee, ticket.priority, ticket.status) == ("mei", "high", "waiting")
    assert detail.row.attention == ""
    assert [deed.action for deed in audit.recent(engine)] == ["ticket.status", "ticket.assign"]
    assert audit.verify(engine) is None
    with pytest.raises(Refused, match="empty_comment"):
        casebook.comment(engine, "1", author="mei", text=" ", now_ms=T0)
    with pytest.raises(NotFound):
        casebook.assign(engine, "99", "mei", author="boss", now_ms=T0)


def test_two_replays_write_the_same_rows(engine, tmp_path):
    def replay(target):
        fleet = settle_in(target)
        fleet.turn(alert(), alert("FlashWorn", device="d1"), window=1)
        fleet.turn(alert(state="resolved", at=T0 + MINUTE), now=T0 + MINUTE, window=2)
        fleet.turn(now=T0 + HOUR, window=3)
        with target.connect() as connection:
            every = (tables.incidents, tables.alerts, tables.tickets, tables.ticket_events, tables.messages)
            return [connection.execute(select(t).order_by(*t.primary_key)).all() for t in every]

    other = ledger.connect(f"sqlite:///{tmp_path / 'other.sqlite'}")
    ledger.migrate(other)

    assert replay(engine) == replay(other)
    other.dispose()


def _race(url: str, start, device: str) -> None:
    """One process of several that all see the same alert at once."""
    engine = ledger.connect(url)
    seal.give(engine, VAULT)
    fleet = turns(engine)
    start.wait()
    for _ in range(20):
        try:
            fleet.turn(alert(at=T0 + os.getpid() % 1000, device=device), now=T0 + 1000)
            break
        except TryLater:
            continue
    engine.dispose()


def test_one_cause_makes_one_ticket_however_many_processes_see_it_at_once(engine, ledger_url):
    settle_in(engine)
    engine.dispose()  # connections do not cross a fork
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.integration.ledger.fleet"])
    start = context.Barrier(3)
    processes = [context.Process(target=_race, args=(ledger_url, start, "d0")) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(40)

    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert count(engine, tables.incidents) == 1
    assert count(engine, tables.tickets) == 1
    assert count(engine, tables.messages) == 1


def test_a_silence_holds_the_ticket_back_until_a_person_ends_it(engine):
    fleet = settle_in(engine)
    mute_id = mutes.add_mute(
        engine, "silence", {"device_id": "d0"}, from_ms=T0, until_ms=T0 + DAY, author="mei", reason="known", now_ms=T0
    )
    fleet.turn(alert())

    assert caseview.list_tickets(engine) == ()
    assert [m.reason for m in mutes.list_mutes(engine, now_ms=T0)] == ["known"]
    mutes.end_mute(engine, mute_id, author="mei", now_ms=T0 + HOUR)
    fleet.turn(now=T0 + HOUR)

    assert [row.ticket.device_id for row in caseview.list_tickets(engine)] == ["d0"]
    assert mutes.list_mutes(engine, now_ms=T0 + HOUR) == ()


@pytest.mark.parametrize("labels", [{}, {"colour": "red"}, {"site": ""}])
def test_a_silence_of_everything_or_of_nothing_known_is_refused(engine, labels):
    with pytest.raises(Refused, match="bad_mute"):
        mutes.add_mute(engine, "silence", labels, from_ms=0, until_ms=1, author="mei", reason="", now_ms=T0)


def test_a_ticket_that_calls_a_person_is_not_solved_by_recovery(engine):
    fleet = settle_in(engine)
    fleet.turn(alert())
    casebook.call_attention(engine, "1", "call_back", text="Call.", now_ms=T0)
    fleet.turn(alert(state="resolved", at=T0 + 1), now=T0 + 1)
    fleet.turn(now=T0 + HOUR)

    row = only_ticket(engine)

    assert (row.ticket.status, row.incident_state) == ("new", "resolved")
