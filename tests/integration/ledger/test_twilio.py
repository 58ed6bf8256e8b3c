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
from tests.contract.test_channel import SPEC
from tests.integration.ledger.fleet import CONTACT, HOUR, MINUTE, T0, TEXTS, alert, settle_in

DOOR = "https://support.example.org/webhooks/twilio"
STATUS, INBOUND = f"{DOOR}/status", f"{DOOR}/inbound"


class Clock:
    now_ms = T0 + MINUTE

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def fake():
    with FakeTwilio(spec=SPEC if SPEC.exists() else None) as running:
        yield running
    assert running.violations == []


@pytest.fixture
def replies(engine, clock):
    return Replies(
        inbound=Inbound(engine=engine, texts=TEXTS, now_ms=clock),
        signed=lambda url, form, signature: signature_fits((TOKEN,), url=url, form=form, signature=signature),
    )


@pytest.fixture
def dispatch(engine, fake, clock):
    channel = TwilioSms(
        ACCOUNT, TOKEN, service_sid=SERVICE, callback_url=STATUS, bases={"api": fake.url}, timeout_s=0.5
    )
    return Dispatch(engine, {"sms": channel}, clock, rng=random.Random(1))


def state(engine):
    return caseview.find_ticket(engine, "1").messages[0].state


def lose(fake, replies, code="30003"):
    """The newest message did not reach the phone."""
    replies.twilio_status(*fake.callback(fake.messages[-1], "undelivered", code))


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


@pytest.mark.parametrize("code", ["30003", "30008"])
def test_a_message_that_missed_a_phone_that_was_off_is_sent_again_later(engine, fake, dispatch, replies, clock, code):
    settle_in(engine).turn(alert())
    dispatch.round()
    lose(fake, replies, code)
    (first,) = fake.messages

    at_once = dispatch.round()
    clock.now_ms += 15 * MINUTE
    later = dispatch.round()
    replies.twilio_status(*fake.callback(first, "undelivered", code))  # the provider repeats itself
    replies.twilio_status(*fake.callback(fake.messages[-1], "delivered"))
    replies.twilio_status(*fake.callback(first, "failed", code))

    assert (at_once, later) == ({}, {"sent": 1})
    assert [m["Body"] for m in fake.messages] == [first["Body"]] * 2
    assert state(engine) == "delivered"
    ticket = caseview.find_ticket(engine, "1")
    assert ticket.row.attention == ""
    assert [e.text for e in ticket.events if e.kind == "delivery"] == [
        f"The message did not reach the phone ({code}); it is tried again in 15 minutes."
    ]


def test_a_phone_that_stays_off_is_tried_four_times_and_then_a_person_is_called(engine, fake, dispatch, replies, clock):
    settle_in(engine).turn(alert(), now=T0 - 4 * HOUR)  # in the morning, so that no quiet hours come between
    clock.now_ms = T0 - 3 * HOUR
    dispatch.round()
    waits = []
    for _ in range(4):
        lose(fake, replies)
        lose(fake, replies)
        began_ms, tried = clock.now_ms, len(fake.messages)
        while len(fake.messages) == tried and clock.now_ms < began_ms + 24 * HOUR:
            clock.now_ms += 15 * MINUTE
            dispatch.round()
        waits.append((clock.now_ms - began_ms) // MINUTE)

    assert waits == [15, 60, 240, 24 * 60]
    assert len(fake.messages) == 4
    assert state(engine) == "undelivered"
    assert caseview.find_ticket(engine, "1").row.attention == "undelivered"
    assert people.find_contact(engine, "anna").unreachable == ""


def test_trying_again_keeps_quiet_hours_and_a_stop(engine, fake, dispatch, replies, clock):
    settle_in(engine).turn(alert())
    clock.now_ms = T0 + 7 * HOUR + 50 * MINUTE  # ten to eight in the evening, where the customer lives
    dispatch.round()
    lose(fake, replies)

    clock.now_ms += 15 * MINUTE
    in_the_evening = dispatch.round()
    clock.now_ms += 13 * HOUR
    replies.twilio_inbound(*fake.inbound(INBOUND, CONTACT.address, "STOP", "SM78"))
    in_the_morning = dispatch.round()

    assert (in_the_evening, in_the_morning) == ({"held_quiet_hours": 1}, {"skipped_opted_out": 1})
    assert len(fake.messages) == 1


def test_a_message_whose_time_ends_before_the_phone_is_back_calls_a_person(engine, fake, dispatch, replies, clock):
    (warning,) = settle_in(engine).turn(alert()).messages
    dispatch.round()
    clock.now_ms = warning.expires_ms - 10 * MINUTE
    lose(fake, replies)

    assert state(engine) == "undelivered"
    assert caseview.find_ticket(engine, "1").row.attention == "undelivered"
