"""The whole way with Twilio's own client against a local server that answers as Twilio: out, status, reply, STOP."""

from __future__ import annotations

import random

import pytest

from gateway.channels.twilio import TwilioSms, signature_fits
from gateway.errors import Refused
from gateway.ledger import caseview, people
from gateway.services.dispatch import Dispatch
from gateway.services.inbound import Inbound
from gateway.services.replies import EMPTY_TWIML, Replies
from tests.contract.fake_twilio import ACCOUNT, SERVICE, TOKEN, FakeTwilio
from tests.integration.ledger.fleet import CONTACT, T0, TEXTS, alert, settle_in

DOOR = "https://support.example.org/webhooks/twilio"
STATUS, INBOUND = f"{DOOR}/status", f"{DOOR}/inbound"


@pytest.fixture
def fake():
    with FakeTwilio() as running:
        yield running


@pytest.fixture
def replies(engine):
    return Replies(
        inbound=Inbound(engine=engine, texts=TEXTS, now_ms=lambda: T0 + 60_000),
        signed=lambda url, form, signature: signature_fits((TOKEN,), url=url, form=form, signature=signature),
    )


@pytest.fixture
def dispatch(engine, fake):
    channel = TwilioSms(
        ACCOUNT, TOKEN, service_sid=SERVICE, callback_url=STATUS, bases={"api": fake.url}, timeout_s=0.5
    )
    return Dispatch(engine, {"sms": channel}, lambda: T0 + 60_000, rng=random.Random(1))


def state(engine):
    return caseview.find_ticket(engine, "1").messages[0].state


def test_out_status_reply_and_stop(engine, fake, dispatch, replies):
    settle_in(engine).turn(alert())
    assert dispatch.round() == {"sent": 1}
    (sent,) = fake.messages

    replies.twilio_status(*fake.callback(sent, "delivered"))
    replies.twilio_status(*fake.callback(sent, "sent"))
    assert state(engine) == "delivered"
    assert replies.twilio_inbound(*fake.inbound(INBOUND, CONTACT.address, "2", "SM77")) == EMPTY_TWIML
    replies.twilio_inbound(*fake.inbound(INBOUND, CONTACT.address, "2", "SM77"))
    replies.twilio_inbound(*fake.inbound(INBOUND, CONTACT.address, "STOP", "SM78"))

    assert caseview.list_tickets(engine)[0].attention == "still_broken"
    assert people.find_contact(engine, "anna").opted_out
    assert dispatch.round() == {"skipped_opted_out": 1}
    assert len(fake.messages) == 1


def test_a_message_whose_answer_was_lost_is_settled_by_its_callback(engine, fake, dispatch, replies):
    settle_in(engine).turn(alert())
    fake.fail = "drop"

    assert dispatch.round() == {"unknown": 1}
    fake.fail = None
    assert dispatch.round() == {}
    replies.twilio_status(*fake.callback(fake.messages[0], "delivered"))

    assert state(engine) == "delivered"
    assert len(fake.messages) == 1


def test_a_forged_status_moves_nothing(engine, fake, dispatch, replies):
    settle_in(engine).turn(alert())
    dispatch.round()
    url, form, signature = fake.callback(fake.messages[0], "failed")

    with pytest.raises(Refused, match="bad_signature"):
        replies.twilio_status(url, form | {"MessageStatus": "delivered"}, signature)

    assert state(engine) == "sent"
