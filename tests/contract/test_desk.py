"""What a ticket desk promises: open, comment and close are each harmless when repeated."""

from __future__ import annotations

import pytest

from gateway import ledger
from gateway.desks import BuiltinDesk
from gateway.errors import NotFound
from gateway.incidents import TurnOutcome
from gateway.ledger import casebook, caseview
from gateway.ledger.book import LedgerBook
from gateway.model import DeviceId, Incident, Ticket

T0 = 1_773_140_400_000
TICKET = Ticket(
    ticket_id="tic_1", incident_id="inc_1", device_id=DeviceId("d0"), customer_id=None, title="Battery wearing out",
    status="new", priority="normal", opened_ms=T0, updated_ms=T0,
)  # fmt: skip


@pytest.fixture
def engine(tmp_path):
    made = ledger.connect(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    ledger.migrate(made)
    incident = Incident(
        incident_id="inc_1", device_id=DeviceId("d0"), cause="battery", state="open", severity="warning", opened_ms=T0,
        updated_ms=T0, version=1,
    )  # fmt: skip
    casebook.commit_turn(made, TurnOutcome(now_ms=T0, incidents=(incident,)))
    yield made
    made.dispose()


@pytest.fixture(params=["builtin"])
def desk(request, engine):
    return {"builtin": lambda: BuiltinDesk(LedgerBook(engine, lambda: T0))}[request.param]()


def test_opening_twice_is_opening_once(desk, engine):
    assert desk.open(TICKET) == desk.open(TICKET)
    assert len(caseview.list_tickets(engine)) == 1


def test_a_comment_is_added_once(desk, engine):
    ref = desk.open(TICKET)
    desk.comment(ref, comment_id="c1", author="mei", text="Called.")
    desk.comment(ref, comment_id="c1", author="mei", text="Called.")

    assert [e.text for e in caseview.find_ticket(engine, ref).events] == ["Called."]


def test_closing_twice_is_closing_once(desk, engine):
    ref = desk.open(TICKET)
    desk.close(ref, reason="recovered")
    desk.close(ref, reason="recovered")

    detail = caseview.find_ticket(engine, ref)
    assert detail.row.ticket.status == "solved"
    assert [e.kind for e in detail.events] == ["status"]


def test_an_unknown_ticket_is_told(desk):
    with pytest.raises(NotFound):
        desk.close("tic_none", reason="")
    with pytest.raises(NotFound):
        desk.comment("tic_none", comment_id="c", author="mei", text="x")
