"""From the outbox to the phone and back: promises 4 and 5, and what replies do."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from gateway.channels import ConsoleChannel
from gateway.cli import panel
from gateway.errors import ChannelDown, NotFound, OutcomeUnknown, Refused, TryLater, Undeliverable
from gateway.ledger import audit, casebook, caseview, outbox, people, registry, setting, tables
from gateway.ledger.database import add_new, reading, writing
from gateway.model import DeviceId, Message
from gateway.services.dispatch import DOUBT_MS, STUCK_MS, Dispatch
from gateway.services.inbound import Inbound
from gateway.services.replies import Replies
from tests.integration.ledger.fleet import CONTACT, DAY, HOUR, MINUTE, T0, TEXTS, alert, settle_in


class Clock:
    def __init__(self, now_ms: int = T0) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


class Recorder:
    """A channel that does what the test says, and remembers what left."""

    name = "twilio"

    def __init__(self) -> None:
        self.left: list[str] = []
        self.failure: Exception | None = None

    def send(self, message, *, address):
        self.left.append(message.message_id)
        if self.failure is not None:
            raise self.failure
        return f"SM{len(self.left)}"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def fleet(engine):
    return settle_in(engine)


@pytest.fixture
def channel():
    return Recorder()


@pytest.fixture
def dispatch(engine, clock, channel):
    return Dispatch(engine, {"sms": channel}, clock, rng=random.Random(1))


@pytest.fixture
def inbound(engine, clock):
    return Inbound(engine=engine, texts=TEXTS, now_ms=clock)


def messages(engine):
    return caseview.find_ticket(engine, "1").messages


def test_the_demo_s_panel_knows_whose_owner_was_told(engine, fleet, dispatch, inbound):
    fleet.turn(alert())
    dispatch.round()
    with reading(engine) as connection:
        before = panel.count(connection)
    inbound.status(message_id=messages(engine)[0].message_id, status="delivered")
    with reading(engine) as connection:
        after = panel.count(connection)

    assert ([t.told for t in before.newest], [t.told for t in after.newest]) == ([False], [True])
    assert (after.incidents, after.tickets, after.messages["delivered"]) == (1, 1, 1)


def test_what_is_due_is_sent_once_and_its_callbacks_only_move_it_forward(engine, fleet, dispatch, inbound, channel):
    fleet.turn(alert())

    assert dispatch.round() == {"sent": 1}
    assert dispatch.round() == {}
    (message,) = messages(engine)
    status = [inbound.status(message_id=message.message_id, status=s) for s in ("delivered", "sent", "failed", "read")]

    assert channel.left == [message.message_id]
    assert message.segments == 2
    assert status == [True, False, False, True]
    assert messages(engine)[0].state == "delivered"


def test_an_opt_out_between_queueing_and_sending_stops_the_message(engine, fleet, dispatch, inbound, channel):
    fleet.turn(alert())
    inbound.reply(address=CONTACT.address, text="STOP", provider_id="in1")

    assert dispatch.round() == {"skipped_opted_out": 1}
    assert channel.left == []
    assert [c.kind for c in people.consent_history(engine, "anna")] == ["opt_in", "opt_out"]


@pytest.mark.parametrize("how", ["recovered", "closed"])
def test_a_condition_that_is_over_sends_nothing(engine, fleet, dispatch, channel, how):
    fleet.turn(alert())
    if how == "recovered":
        fleet.turn(alert(state="resolved", at=T0 + 1), now=T0 + 1)
    else:
        casebook.set_status(engine, "1", "solved", author="mei", now_ms=T0)

    assert dispatch.round() == {"skipped_recovered": 1}
    assert channel.left == []


def test_quiet_hours_hold_until_morning(engine, fleet, dispatch, channel, clock):
    clock.now_ms = T0 + 9 * HOUR
    fleet.turn(alert(at=clock.now_ms), now=clock.now_ms)
    (held,) = messages(engine)

    assert (held.state, held.reason) == ("held", "quiet_hours")
    assert dispatch.round() == {}
    clock.now_ms = held.due_ms
    assert dispatch.round() == {"sent": 1}


def test_urgent_messages_leave_first_and_the_cap_holds_the_rest(engine, fleet, dispatch, channel, clock):
    fleet.turn(alert(), alert(device="d1"), alert(device="d2"))
    fleet.turn(alert("BatteryNearlyEmpty", device="d2", at=T0 + 1), now=T0 + 1)
    clock.now_ms = T0 + 1

    assert dispatch.round() == {"sent": 3, "held_daily_cap": 1}
    assert caseview.find_ticket(engine, "3").messages[-1].message_id == channel.left[0]


def test_a_failure_before_leaving_is_tried_again_later_with_jitter(engine, fleet, dispatch, channel, clock):
    fleet.turn(alert())
    channel.failure = TryLater("unreachable", after_s=30)

    assert dispatch.round() == {"postponed": 1}
    (waiting,) = messages(engine)
    assert 30_000 <= waiting.due_ms - T0 <= 60_000
    assert dispatch.round() == {}
    channel.failure, clock.now_ms = None, waiting.due_ms
    assert dispatch.round() == {"sent": 1}


def test_what_may_have_gone_is_never_repeated_and_after_an_hour_a_person_is_told(
    engine, fleet, dispatch, channel, clock
):
    fleet.turn(alert())
    channel.failure = OutcomeUnknown("no_reply")

    assert dispatch.round() == {"unknown": 1}
    clock.now_ms = T0 + DOUBT_MS
    assert dispatch.round() == {}
    assert caseview.list_tickets(engine)[0].attention == ""
    clock.now_ms += 1
    dispatch.round()
    dispatch.round()

    assert len(channel.left) == 1
    assert caseview.list_tickets(engine)[0].attention == "unknown_outcome"
    assert [e.kind for e in caseview.find_ticket(engine, "1").events].count("attention") == 1


def test_a_callback_settles_what_was_in_doubt(engine, fleet, dispatch, channel, inbound):
    fleet.turn(alert())
    channel.failure = OutcomeUnknown("no_reply")
    dispatch.round()
    (message,) = messages(engine)

    inbound.status(message_id=message.message_id, status="delivered", provider_id="SM9")

    assert messages(engine)[0].state == "delivered"
    assert dispatch.round() == {}


def test_a_process_that_dies_while_sending_leaves_a_doubt_not_a_repeat(engine, fleet, dispatch, channel, clock):
    fleet.turn(alert())
    channel.failure = KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt):
        dispatch.round()
    channel.failure, clock.now_ms = None, T0 + STUCK_MS + 1

    assert dispatch.round() == {"crashed": 1}
    assert messages(engine)[0].state == "unknown"
    assert len(channel.left) == 1


def test_an_account_that_is_refused_stops_the_channel_and_burns_nothing(engine, fleet, dispatch, channel, clock):
    fleet.turn(alert(), alert(device="d1"))
    channel.failure = ChannelDown("refused", "Twilio 20003")

    assert dispatch.round() == {"channel_down": 1}
    assert dispatch.round() == {}
    ours = [row for row in caseview.list_tickets(engine) if row.ticket.device_id == "gateway"]
    assert [row.ticket.title for row in ours] == ["Messages do not go out: twilio refuses our account"]
    assert Counter(m.state for n in "12" for m in caseview.find_ticket(engine, n).messages) == {"queued": 2}

    channel.failure, clock.now_ms = None, T0 + MINUTE
    dispatch.resume("twilio")

    assert dispatch.round() == {"sent": 2}
    assert setting.read(engine, "channel_down.") == {}
    fleet.turn(now=T0 + HOUR)
    assert [row.ticket.status for row in caseview.list_tickets(engine, device_id="gateway")] == ["solved"]


@pytest.mark.parametrize("code", ["not_mobile", "opted_out"])
def test_a_recipient_who_cannot_be_reached_is_a_persons_business(engine, fleet, dispatch, channel, code):
    fleet.turn(alert())
    channel.failure = Undeliverable(code)

    assert dispatch.round() == {"undeliverable": 1}
    contact = people.find_contact(engine, "anna")

    assert messages(engine)[0].state == "failed"
    assert caseview.list_tickets(engine)[0].attention == "undeliverable"
    assert (contact.unreachable, contact.opted_out) == (("not_mobile", False) if code == "not_mobile" else ("", True))


def test_a_number_the_network_does_not_know_is_marked(engine, fleet, dispatch, inbound):
    fleet.turn(alert())
    dispatch.round()
    (message,) = messages(engine)

    inbound.status(message_id=message.message_id, status="undelivered", code="30005")

    assert people.find_contact(engine, "anna").unreachable == "unknown_number"
    assert caseview.list_tickets(engine)[0].attention == "undelivered"


# ---- replies --------------------------------------------------------------------------------------------------------


@pytest.fixture
def told(engine, fleet, dispatch, clock):
    """The customer has been told of a battery."""
    fleet.turn(alert())
    assert dispatch.round() == {"sent": 1}
    clock.now_ms += MINUTE


@pytest.mark.usefixtures("told")
def test_a_numbered_answer_lands_on_the_ticket_labels_it_and_is_thanked(engine, dispatch, inbound):
    assert inbound.reply(address=CONTACT.address, text="1", provider_id="in1") == "kept"
    assert inbound.reply(address=CONTACT.address, text="1", provider_id="in1") == "repeat"
    assert dispatch.round() == {"sent": 1}

    detail = caseview.find_ticket(engine, "1")
    reply, answer = detail.messages[1:]

    assert (detail.row.ticket.outcome, detail.row.ticket.status) == ("confirmed", "waiting")
    assert (reply.direction, reply.text) == ("in", "1")
    assert "We will watch your smart lock" in answer.text
    assert [e.kind for e in detail.events if e.author == "anna"] == ["reply", "outcome"]


@pytest.mark.usefixtures("told")
def test_who_says_afterwards_what_they_did_leaves_a_solved_ticket_solved(engine, fleet, inbound, clock):
    fleet.turn(alert(state="resolved", at=clock.now_ms), now=clock.now_ms)
    clock.now_ms += HOUR
    fleet.turn(now=clock.now_ms)
    before = caseview.find_ticket(engine, "1").row.ticket.status

    inbound.reply(address=CONTACT.address, text="1", provider_id="in1")

    after = caseview.find_ticket(engine, "1").row.ticket
    assert (before, after.status, after.outcome) == ("solved", "solved", "confirmed")


@pytest.mark.usefixtures("told")
def test_a_question_is_handed_over_with_a_brief(engine, dispatch, inbound):
    inbound.reply(address=CONTACT.address, text="Which battery fits? I am worried", provider_id="in1")
    dispatch.round()

    detail = caseview.find_ticket(engine, "1")
    brief = next(e.text for e in detail.events if e.kind == "attention")

    assert (detail.row.attention, detail.row.ticket.status) == ("hand_over", "open")
    assert "Mood: worried." in brief
    assert "The battery is wearing out." in brief
    assert "will read it and answer" in detail.messages[-1].text


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("asked", [True, False])
def test_once_a_person_has_written_no_machine_answers(engine, dispatch, inbound, clock, asked):
    if asked:
        inbound.reply(address=CONTACT.address, text="Which battery fits?", provider_id="in1")
        dispatch.round()
    ticket_id = caseview.find_ticket(engine, "1").row.ticket.ticket_id
    staff = Message(
        message_id="msg_staff", key="staff", contact_id="anna", ticket_id=ticket_id, channel="sms", text="A CR123A.",
        language="en", urgent=False, created_ms=clock.now_ms + 2, expires_ms=clock.now_ms + DAY,
        answers=caseview.find_ticket(engine, "1").messages[-2].message_id if asked else None,
    )  # fmt: skip
    with writing(engine) as connection:
        add_new(connection, tables.messages, [outbox.message_row(staff)])
    clock.now_ms += MINUTE
    assert dispatch.round() == {"sent": 1}

    casebook.clear_attention(engine, "1", now_ms=clock.now_ms)
    inbound.reply(address=CONTACT.address, text="Thank you", provider_id="in2")
    inbound.reply(address=CONTACT.address, text="And where do I buy it?", provider_id="in3")

    assert dispatch.round() == {}
    assert caseview.find_ticket(engine, "1").row.attention == "hand_over"


@pytest.mark.usefixtures("told")
def test_danger_in_chinese_is_answered_in_chinese_at_any_hour(engine, dispatch, inbound, clock):
    clock.now_ms = T0 + 10 * HOUR
    inbound.reply(address=CONTACT.address, text="门锁冒烟了", provider_id="in1")

    assert dispatch.round() == {"sent": 1}
    detail = caseview.find_ticket(engine, "1")
    assert (detail.row.attention, detail.row.ticket.priority) == ("danger", "urgent")
    assert "火警" in detail.messages[-1].text


@pytest.mark.usefixtures("told")
def test_stop_and_start_are_kept_and_stop_is_not_answered(engine, dispatch, inbound, clock):
    inbound.reply(address=CONTACT.address, text="退订", provider_id="in1")
    assert dispatch.round() == {}
    clock.now_ms += 1
    inbound.reply(address=CONTACT.address, text="START", provider_id="in2")

    assert dispatch.round() == {"sent": 1}
    assert [c.kind for c in people.consent_history(engine, "anna")] == ["opt_in", "opt_out", "opt_in"]
    assert people.find_contact(engine, "anna").consented


@pytest.mark.usefixtures("told")
def test_what_the_provider_answered_already_is_recorded_only(engine, dispatch, inbound):
    inbound.reply(address=CONTACT.address, text="ARRET", provider_id="in1", opt_out_type="STOP")

    assert people.find_contact(engine, "anna").opted_out
    assert dispatch.round() == {}


def test_danger_without_a_ticket_opens_one_that_calls_a_person_and_can_be_answered(engine, fleet, dispatch, inbound):
    for provider_id in ("in1", "in1", "in2"):
        inbound.reply(address=CONTACT.address, text="There is smoke!", provider_id=provider_id)
    dispatch.round()

    (row,) = caseview.list_tickets(engine)
    detail = caseview.find_ticket(engine, "1")
    assert (row.attention, row.ticket.priority, row.ticket.customer_id) == ("danger", "urgent", "c1")
    assert [m.text for m in detail.messages if m.direction == "in"] == ["There is smoke!"] * 2
    assert "Our team has been alerted" in detail.messages[-1].text


@pytest.mark.usefixtures("told")
def test_who_writes_late_is_heard_on_the_open_ticket_and_anew_once_it_is_solved(engine, inbound, clock):
    clock.now_ms += 40 * DAY
    inbound.reply(address=CONTACT.address, text="What about that battery?", provider_id="in1")
    casebook.set_status(engine, "1", "solved", author="mei", now_ms=clock.now_ms)
    clock.now_ms += DAY
    inbound.reply(address=CONTACT.address, text="thanks", provider_id="in2")
    inbound.reply(address=CONTACT.address, text="Do you sell door handles?", provider_id="in3")

    first, second = caseview.list_tickets(engine)
    assert (first.attention, second.attention) == ("hand_over", "hand_over")
    assert [m.text for m in caseview.find_ticket(engine, "2").messages if m.direction == "in"] == [
        "Do you sell door handles?"
    ]


def test_a_stranger_changes_nothing(engine, inbound):
    assert inbound.reply(address="+15550199", text="1", provider_id="in1") == "stranger"
    assert caseview.list_tickets(engine) == ()


def test_two_machines_that_answer_each_other_come_to_an_end(engine, fleet, dispatch, inbound, channel):
    fleet.turn(alert())
    dispatch.round()
    for n in range(30):
        inbound.reply(address=CONTACT.address, text="HELP", provider_id=f"in{n}")
        dispatch.round()

    assert len(channel.left) == 11


# ---- the console's phones and Twilio's webhooks ---------------------------------------------------------------------


def test_the_console_delivers_at_once_and_rehearses_four_failures(engine, fleet, clock, inbound):
    console = ConsoleChannel(
        lambda message_id, provider_id: inbound.status(
            message_id=message_id, status="delivered", provider_id=provider_id
        )
    )
    fleet.turn(alert())

    assert Dispatch(engine, {"sms": console}, clock).round() == {"sent": 1}
    (message,) = messages(engine)
    assert message.state == "delivered"
    Replies(inbound=inbound).say("anna", "2")
    assert caseview.list_tickets(engine)[0].attention == "still_broken"
    with pytest.raises(NotFound):
        Replies(inbound=inbound).say("nobody", "2")


def test_an_unsigned_or_incomplete_webhook_is_refused(inbound):
    open_door = Replies(inbound=inbound, signed=lambda *_: True)
    form = {"MessageSid": "SM1", "From": CONTACT.address, "Body": "1"}

    with pytest.raises(Refused, match="bad_signature"):
        Replies(inbound=inbound).twilio_inbound("https://x/", form, "sig")
    with pytest.raises(Refused, match="bad_webhook"):
        open_door.twilio_inbound("https://x/", form | {"MessageSid": ""}, "sig")
    with pytest.raises(Refused, match="bad_webhook"):
        open_door.twilio_status("https://x/?message=m", {"MessageStatus": "flying"}, "sig")


def test_every_deed_of_a_person_is_in_the_audit_chain(engine, fleet):
    fleet.turn(alert())
    casebook.record_outcome(engine, "1", "confirmed", author="mei", now_ms=T0 + DAY)

    assert [d.action for d in audit.recent(engine)] == ["ticket.outcome"]
    assert audit.verify(engine) is None


def test_a_device_without_an_owner_gets_a_ticket_and_no_message(engine, fleet):
    registry.assign_device(engine, "d0", customer_id=None, zone="UTC", site="")
    roster = registry.load_roster(engine)
    fleet.casework = replace(fleet.casework, device=roster.device)
    fleet.turn(alert())

    assert caseview.list_tickets(engine)[0].ticket.device_id == DeviceId("d0")
    assert messages(engine) == ()
