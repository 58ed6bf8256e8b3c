"""Whatever the message, the hour and the history: policy keeps its word; replies and segments are total."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.conversation import respond, understand
from gateway.model import Contact, CustomerId, Message
from gateway.outreach import Hold, Send, Skip, cost, decide

HOUR, DAY = 3_600_000, 86_400_000
moments = st.integers(1_700_000_000_000, 1_800_000_000_000)
clock = st.times().map(lambda t: t.strftime("%H:%M"))
contacts = st.builds(
    Contact,
    contact_id=st.just("k"),
    customer_id=st.just(CustomerId("c")),
    channel=st.just("sms"),
    address=st.sampled_from(["+14155550100", "+4915112345678", "+61412345678", "+18005550199", "+8613800138000", "?"]),
    zone=st.sampled_from([None, "Europe/Berlin", "Asia/Kathmandu", "Pacific/Chatham", "No/Where"]),
    consented=st.booleans(),
    opted_out=st.booleans(),
    daily_cap=st.integers(0, 4),
    quiet_from=clock,
    quiet_to=clock,
    unreachable=st.sampled_from(["", "", "", "not_mobile"]),
)


@st.composite
def messages(draw):
    created_ms = draw(moments)
    return Message(
        message_id="m", key="m", contact_id="k", ticket_id=None, channel="sms", text="x", language="en",
        urgent=draw(st.booleans()), created_ms=created_ms, expires_ms=created_ms + draw(st.integers(0, 3 * DAY)),
        answers=draw(st.sampled_from([None, "in"])), template=draw(st.sampled_from(["", "t"])),
    )  # fmt: skip


@given(messages(), contacts, st.lists(st.integers(0, DAY), max_size=12), st.integers(0, 3 * DAY), st.booleans())
def test_policy_keeps_its_word(message, contact, ages, wait, holds):
    now_ms = message.created_ms + wait
    sent = [now_ms - age for age in ages]

    decision = decide(message, contact, sent, now_ms, device_zone="Europe/Berlin", holds=holds)

    match decision:
        case Send():
            assert not contact.opted_out
            assert not contact.unreachable
            assert holds
            assert now_ms < message.expires_ms
            assert message.answers or contact.consented
            assert message.answers or sum(age < DAY for age in ages) < max(1, contact.daily_cap)
        case Hold(until_ms, _):
            assert now_ms < until_ms < message.expires_ms
        case Skip(reason):
            assert reason


@given(messages(), contacts, st.integers(0, DAY))
def test_a_held_message_goes_in_the_end_or_is_skipped(message, contact, wait):
    now_ms = message.created_ms + wait
    for _ in range(5):
        decision = decide(message, contact, [], now_ms, device_zone="Europe/Berlin")
        if not isinstance(decision, Hold):
            return
        now_ms = decision.until_ms
    raise AssertionError("held for ever")


@given(st.text(max_size=2000), st.lists(st.sampled_from(["fixed", "broken", "call"]), max_size=3))
def test_any_text_is_understood_or_handed_over(text, offered):
    response = respond(understand(text, offered))

    assert response.template or response.consent or response.attention


@given(st.text(max_size=400), st.text(max_size=400))
def test_a_longer_text_never_costs_less(one, more):
    if cost(one).encoding == cost(one + more).encoding:
        assert cost(one).segments <= cost(one + more).segments
