"""Customers taken in from a list, handed out, and erased."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Engine

from gateway.channels import ConsoleChannel
from gateway.errors import NotFound, Refused
from gateway.ledger import audit, casebook, people, persons, registry
from gateway.ledger.database import reading
from gateway.ledger.tables import METADATA
from gateway.model import CustomerId
from gateway.services import roll
from gateway.services.dispatch import Dispatch
from gateway.services.inbound import Inbound
from tests.integration.ledger.fleet import T0, TEXTS, alert, settle_in

LIST = "customer,name,phone,language,zone,agreed,agreed_on,devices\n"
ADA = "c9,Ada Abbott,+13125550100,en,America/Chicago,terms 1,2026-01-31,d0 d1\n"


def take_in(engine: Engine, text: str = LIST + ADA) -> None:
    read = roll.read(text)
    persons.take_in(engine, read.customers, read.agreements, read.owned, now_ms=T0)


def test_customers_may_be_written_to_and_own_their_devices(engine):
    settle_in(engine)
    roster, before = registry.load_roster(engine), registry.roster_version(engine)
    take_in(engine)
    registry.reread_roster(engine, roster)

    contact = people.find_contact(engine, "c9-phone")
    assert (contact.address, contact.consented, contact.opted_out) == ("+13125550100", True, False)
    assert [device.customer_id for device in roster.devices] == ["c9", "c9", "c1"]
    assert registry.roster_version(engine) > before
    assert audit.recent(engine)[0].action == "customer.import"


def test_without_an_agreement_nobody_is_written_to(engine):
    settle_in(engine)
    take_in(engine, LIST + ADA.replace("terms 1,2026-01-31", ","))

    assert not people.find_contact(engine, "c9-phone").consented


def test_a_list_taken_in_again_undoes_no_stop_and_repeats_no_agreement(engine):
    settle_in(engine)
    take_in(engine)
    take_in(engine)
    people.record_consent(engine, "c9-phone", "opt_out", source="sms_reply", wording="STOP", at_ms=T0)
    take_in(engine, LIST + ADA.replace("terms 1", "terms 2"))

    assert [c.kind for c in people.consent_history(engine, "c9-phone")] == ["opt_in", "opt_out"]
    assert people.find_contact(engine, "c9-phone").opted_out


@pytest.mark.parametrize(("number", "unreachable"), [("+13125550100", "not_mobile"), ("+13125550177", "")])
def test_a_new_telephone_is_not_unreachable_because_the_old_one_was(engine, number, unreachable):
    settle_in(engine)
    take_in(engine)
    people.mark_unreachable(engine, "c9-phone", "not_mobile")
    take_in(engine, LIST + ADA.replace("+13125550100", number))

    contact = people.find_contact(engine, "c9-phone")
    assert (contact.address, contact.unreachable) == (number, unreachable)


@pytest.mark.parametrize(
    ("text", "error", "code"),
    [
        (LIST + ADA.replace("d0 d1", "d0 d99"), NotFound, "device"),
        (LIST + ADA.replace("+13125550100", "+4915112345678"), Refused, "address_taken"),
    ],
)
def test_what_does_not_fit_takes_in_nothing(engine, text, error, code):
    settle_in(engine)

    with pytest.raises(error, match=code):
        take_in(engine, text)
    assert people.count_customers(engine) == 1
    assert registry.find_device(engine, "d0").device.customer_id == "c1"


def everything(engine) -> str:
    with reading(engine) as connection:
        return repr([tuple(row) for table in METADATA.tables.values() for row in connection.execute(table.select())])


def test_what_is_handed_out_is_all_that_is_kept(engine):
    settle_in(engine).turn(alert())
    Inbound(engine=engine, texts=TEXTS, now_ms=lambda: T0).reply(
        address="+4915112345678", text="My name is Anna", provider_id="SM1"
    )
    held = persons.hand_out(engine, "c1")

    text = json.dumps(held)
    assert "+4915112345678" in text
    assert "My name is Anna" in text
    assert [row["kind"] for row in held["consents"]] == ["opt_in"]
    assert len(held["tickets"]) == 1
    with pytest.raises(NotFound, match="customer"):
        persons.hand_out(engine, "nobody")


def test_who_is_erased_is_found_nowhere_and_written_to_no_more(engine):
    fleet = settle_in(engine)
    fleet.turn(alert())
    Inbound(engine=engine, texts=TEXTS, now_ms=lambda: T0).reply(
        address="+4915112345678", text="Call Anna Schmidt", provider_id="SM1"
    )
    casebook.comment(engine, "1", author="mei", text="Spoke to Anna Schmidt.", now_ms=T0)
    emptied = persons.erase(engine, "c1", actor="mei", now_ms=T0)
    sent = Dispatch(engine=engine, channels={}, now_ms=lambda: T0 + 1).round()

    left = everything(engine)
    assert emptied >= 2
    assert "Anna" not in left
    assert "4915112345678" not in left
    assert not sent
    assert people.find_by_address(engine, "sms", "+4915112345678") is None
    assert registry.find_device(engine, "d0").device.customer_id is None
    assert audit.verify(engine) is None
    assert audit.recent(engine)[0].subject == "customer:c1"
    with pytest.raises(NotFound):
        persons.erase(engine, "nobody", actor="mei", now_ms=T0)


def test_what_a_customer_answered_is_erased_wherever_it_was_repeated(engine):
    settle_in(engine).turn(alert())
    Dispatch(engine=engine, channels={"sms": ConsoleChannel(lambda *_: None)}, now_ms=lambda: T0).round()
    Inbound(engine=engine, texts=TEXTS, now_ms=lambda: T0 + 1).reply(
        address="+4915112345678", text="Which battery? Ask Anna Schmidt", provider_id="SM1"
    )
    casebook.record_outcome(engine, "1", "confirmed", author="mei", now_ms=T0 + 2, remark="Says Anna Schmidt.")
    before = everything(engine)
    persons.erase(engine, "c1", actor="mei", now_ms=T0 + 3)

    assert before.count("Anna Schmidt") > 2
    assert "Anna" not in everything(engine)


def test_an_erased_customer_may_come_back_as_somebody_new(engine):
    settle_in(engine)
    persons.erase(engine, "c1", actor="mei", now_ms=T0)
    take_in(engine, LIST + ADA.replace("+13125550100", "+4915112345678"))

    assert people.find_by_address(engine, "sms", "+4915112345678").customer_id == CustomerId("c9")


def test_an_erased_customer_who_comes_back_is_written_to(engine):
    settle_in(engine)
    take_in(engine)
    persons.erase(engine, "c9", actor="mei", now_ms=T0)
    take_in(engine)

    contact = people.find_contact(engine, "c9-phone")
    assert (contact.consented, contact.opted_out, contact.unreachable) == (True, False, "")
