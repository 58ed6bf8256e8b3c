"""What a ticket desk promises: open, comment and close are each harmless when repeated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pytest
from sqlalchemy import Engine

from gateway import ledger
from gateway.desks import BuiltinDesk, WebhookDesk
from gateway.errors import ConfigError, NotFound, Refused, TryLater
from gateway.incidents import TurnOutcome
from gateway.ledger import casebook, caseview
from gateway.ledger.book import LedgerBook
from gateway.model import DeviceId, Evidence, Incident, Ticket
from gateway.ports import TicketDesk
from tests.contract.fake_desk import FakeDesk

T0 = 1_773_140_400_000
TICKET = Ticket(
    ticket_id="tic_1", incident_id="inc_1", device_id=DeviceId("d0"), customer_id=None, title="Battery wearing out",
    status="new", priority="normal", opened_ms=T0, updated_ms=T0, evidence=Evidence(why="It climbs."),
)  # fmt: skip


class Bench(Protocol):
    """A desk, and what it holds."""

    desk: TicketDesk

    def count(self) -> int: ...

    def comments(self, ref: str) -> list[str]: ...

    def closings(self, ref: str) -> int: ...


@dataclass
class Builtin:
    engine: Engine

    def __post_init__(self) -> None:
        self.desk = BuiltinDesk(LedgerBook(self.engine, lambda: T0))

    def count(self) -> int:
        return len(caseview.list_tickets(self.engine))

    def comments(self, ref: str) -> list[str]:
        return [e.text for e in caseview.find_ticket(self.engine, ref).events if e.kind == "comment"]

    def closings(self, ref: str) -> int:
        detail = caseview.find_ticket(self.engine, ref)
        assert detail.row.ticket.status == "solved"
        return sum(event.kind == "status" for event in detail.events)


@dataclass
class Webhook:
    fake: FakeDesk

    def __post_init__(self) -> None:
        self.desk = WebhookDesk(self.fake.url, token="t0")

    def count(self) -> int:
        return len(self.fake.tickets)

    def comments(self, ref: str) -> list[str]:
        return self.fake.tickets[ref]["comments"]

    def closings(self, ref: str) -> int:
        return self.fake.tickets[ref]["closed"]


@pytest.fixture
def fake() -> Iterator[FakeDesk]:
    made = FakeDesk()
    yield made
    made.close()


@pytest.fixture(params=["builtin", "webhook"])
def bench(request, tmp_path) -> Iterator[Bench]:
    if request.param == "webhook":
        yield Webhook(request.getfixturevalue("fake"))
        return
    made = ledger.connect(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    ledger.migrate(made)
    incident = Incident(
        incident_id="inc_1", device_id=DeviceId("d0"), cause="battery", state="open", severity="warning", opened_ms=T0,
        updated_ms=T0, version=1,
    )  # fmt: skip
    casebook.commit_turn(made, TurnOutcome(now_ms=T0, incidents=(incident,)))
    yield Builtin(made)
    made.dispose()


def test_opening_twice_is_opening_once(bench):
    assert bench.desk.open(TICKET) == bench.desk.open(TICKET)
    assert bench.count() == 1


def test_a_comment_is_added_once(bench):
    ref = bench.desk.open(TICKET)
    bench.desk.comment(ref, comment_id="c1", author="mei", text="Called.")
    bench.desk.comment(ref, comment_id="c1", author="mei", text="Called.")

    assert bench.comments(ref) == ["Called."]


def test_closing_twice_is_closing_once(bench):
    ref = bench.desk.open(TICKET)
    bench.desk.close(ref, reason="recovered")
    bench.desk.close(ref, reason="recovered")

    assert bench.closings(ref) == 1


def test_an_unknown_ticket_is_told(bench):
    with pytest.raises(NotFound):
        bench.desk.close("tic_none", reason="")
    with pytest.raises(NotFound):
        bench.desk.comment("tic_none", comment_id="c", author="mei", text="x")


# ---- the webhook's own failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (500, TryLater, "desk_busy"),
        (429, TryLater, "desk_busy"),
        (401, Refused, "desk_refused"),
        (400, Refused, "desk"),
    ],
)
def test_a_status_says_what_to_do_next(fake, status, error, code):
    fake.status = status

    with pytest.raises(error, match=code):
        WebhookDesk(fake.url).open(TICKET)


def test_a_desk_that_is_away_is_tried_later(fake):
    fake.close()

    with pytest.raises(TryLater, match="desk_away"):
        WebhookDesk(fake.url).open(TICKET)


def test_it_is_told_evidence_and_who_asks(fake):
    WebhookDesk(fake.url, token="t0").open(TICKET)

    (held,) = fake.tickets.values()
    assert fake.authorized == ["Bearer t0"]
    assert (held["device_id"], held["title"], held["evidence"]["why"]) == ("d0", "Battery wearing out", "It climbs.")


def test_another_kind_of_address_is_refused():
    with pytest.raises(ConfigError, match="desk_url"):
        WebhookDesk("file:///etc/passwd")


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_desk_that_moved_is_told_of_and_not_followed_with_our_token(fake, status):
    elsewhere = FakeDesk()
    fake.status, fake.location = status, elsewhere.url
    try:
        with pytest.raises(Refused, match="desk_refused"):
            WebhookDesk(fake.url, token="t0").open(TICKET)
    finally:
        elsewhere.close()
    assert elsewhere.authorized == []
