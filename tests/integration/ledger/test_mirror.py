"""A help desk is told every line of every ticket, in order, through failures and restarts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.desks import WebhookDesk
from gateway.errors import TryLater
from gateway.ledger import casebook, caseview, setting
from gateway.selfwatch import Watch
from gateway.services.mirror import Mirror
from tests.contract.fake_desk import FakeDesk
from tests.integration.ledger.fleet import MINUTE, T0, alert, settle_in


@pytest.fixture
def fake() -> Iterator[FakeDesk]:
    made = FakeDesk()
    yield made
    made.close()


def mirror(engine, fake: FakeDesk, watch: Watch | None = None) -> Mirror:
    return Mirror(engine=engine, desk=WebhookDesk(fake.url), watch=watch or Watch(), now_ms=lambda: T0)


def test_a_ticket_is_told_with_what_happens_to_it_and_its_end(engine, fake):
    fleet = settle_in(engine)
    mirror(engine, fake).round()
    fleet.turn(alert())
    (row,) = caseview.list_tickets(engine)
    casebook.comment(engine, row.ticket.ticket_id, author="mei", text="Called, no answer.", now_ms=T0)
    casebook.set_status(engine, row.ticket.ticket_id, "solved", author="mei", now_ms=T0)
    told = mirror(engine, fake).round()

    (held,) = fake.tickets.values()
    assert told == 4
    assert held["comments"] == ["message: battery_wearing_out queued", "Called, no answer.", "status: solved"]
    assert held["closed"] == 1
    assert mirror(engine, fake).round() == 0


def test_recovery_closes_it(engine, fake):
    fleet = settle_in(engine)
    mirror(engine, fake).round()
    fleet.turn(alert())
    fleet.turn(alert(state="resolved", at=T0 + 1), now=T0 + 1)
    fleet.turn(now=T0 + 2 * MINUTE)
    mirror(engine, fake).round()

    (held,) = fake.tickets.values()
    assert held["closed"] == 1
    assert "incident: The device has recovered." in held["comments"]


def test_a_desk_that_is_away_gets_everything_later_and_once(engine, fake):
    fleet = settle_in(engine)
    mirror(engine, fake).round()
    fleet.turn(alert())
    fake.status = 503
    with pytest.raises(TryLater, match="desk_busy"):
        mirror(engine, fake).round()
    fake.status = 200
    first, second = mirror(engine, fake).round(), mirror(engine, fake).round()

    (held,) = fake.tickets.values()
    assert (first, second) == (2, 0)
    assert len(held["comments"]) == 1


def test_a_crash_before_the_position_is_kept_tells_nothing_twice(engine, fake):
    fleet = settle_in(engine)
    mirror(engine, fake).round()
    before = setting.read(engine, "mirror.")["mirror.webhook"]
    fleet.turn(alert())
    mirror(engine, fake).round()
    setting.write(engine, "mirror.webhook", before, author="test", now_ms=T0)
    mirror(engine, fake).round()

    (held,) = fake.tickets.values()
    assert len(held["comments"]) == 1


def test_a_refusal_is_counted_told_to_a_person_and_holds_up_nothing(engine, fake):
    fleet, watch = settle_in(engine), Watch()
    mirror(engine, fake).round()
    fleet.turn(alert())
    fake.status = 401
    mirror(engine, fake, watch).round()
    told = dict(watch.problems)
    fake.status = 200
    casebook.comment(engine, "1", author="mei", text="Now it works.", now_ms=T0)
    mirror(engine, fake, watch).round()

    (held,) = fake.tickets.values()
    assert watch.counts["desk_lines_refused", "desk_refused"] == 2
    assert "desk.url" in told["desk_refuses"].sentence
    assert watch.problems == {}
    assert held["comments"] == ["Now it works."]


def test_what_was_there_before_is_left_until_something_happens_to_it(engine, fake):
    fleet = settle_in(engine)
    fleet.turn(alert())
    mirror(engine, fake).round()
    before = len(fake.tickets)
    casebook.comment(engine, "1", author="mei", text="Hello.", now_ms=T0)
    mirror(engine, fake).round()

    assert before == 0
    assert [held["comments"] for held in fake.tickets.values()] == [["Hello."]]
