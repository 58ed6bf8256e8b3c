"""May it be sent now: the order of reasons, quiet hours where the recipient is, daylight saving, the cap."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.model import Contact, CustomerId, Message
from gateway.outreach import Hold, Send, Skip, decide

HOUR, DAY = 3_600_000, 86_400_000


def ms(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M")


NOON = ms("2026-03-10T12:00", "Europe/Berlin")
ANNA = Contact(
    contact_id="k", customer_id=CustomerId("c"), channel="sms", address="+4915112345678", zone="Europe/Berlin",
    consented=True,
)  # fmt: skip
WARNING = Message(
    message_id="m", key="m", contact_id="k", ticket_id="t", channel="sms", text="x", language="en", urgent=False,
    created_ms=NOON, expires_ms=NOON + 3 * DAY, template="battery_wearing_out",
)  # fmt: skip


@pytest.mark.parametrize(
    ("contact", "reason"),
    [
        (replace(ANNA, opted_out=True), "opted_out"),
        (replace(ANNA, unreachable="not_mobile"), "not_mobile"),
        (replace(ANNA, consented=False), "no_consent"),
    ],
)
@pytest.mark.parametrize("urgent", [False, True])
def test_what_a_contact_said_binds_urgent_messages_too(contact, reason, urgent):
    assert decide(replace(WARNING, urgent=urgent), contact, [], NOON) == Skip(reason)


def test_a_message_whose_condition_is_over_or_whose_time_has_passed_is_skipped():
    assert decide(WARNING, ANNA, [], NOON, holds=False) == Skip("recovered")
    assert decide(WARNING, ANNA, [], WARNING.expires_ms) == Skip("expired")


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-03-10T19:59", None),
        ("2026-03-10T20:00", "2026-03-11T08:00"),
        ("2026-03-11T03:00", "2026-03-11T08:00"),
        ("2026-03-11T09:00", None),
        ("2026-03-28T22:00", "2026-03-29T07:00"),  # clocks go forward in the night: nine in the morning is 07:00 UTC
        ("2026-10-24T22:00", "2026-10-25T08:00"),  # and back
    ],
)
def test_quiet_hours_end_at_nine_where_the_recipient_is(now, until):
    now_ms = ms(now, "Europe/Berlin")
    message = replace(WARNING, created_ms=now_ms, expires_ms=now_ms + 3 * DAY)

    decision = decide(message, ANNA, [], now_ms)

    assert (utc(decision.until_ms) if isinstance(decision, Hold) else None) == until
    assert decide(replace(message, urgent=True), ANNA, [], now_ms) == Send()


def test_a_message_that_would_expire_in_quiet_hours_is_skipped():
    now_ms = ms("2026-03-10T21:00", "Europe/Berlin")

    decision = decide(replace(WARNING, expires_ms=now_ms + HOUR), ANNA, [], now_ms)

    assert decision == Skip("expires_in_quiet_hours")


def test_quiet_hours_within_a_day_and_none_at_all():
    siesta = replace(ANNA, quiet_from="13:00", quiet_to="16:00")
    never = replace(ANNA, quiet_from="00:00", quiet_to="00:00")
    midnight = ms("2026-03-10T00:30", "Europe/Berlin")

    assert decide(WARNING, siesta, [], ms("2026-03-10T14:00", "Europe/Berlin")) == Hold(NOON + 4 * HOUR, "quiet_hours")
    assert decide(WARNING, siesta, [], midnight) == Send()
    assert decide(WARNING, never, [], midnight) == Send()


def test_without_a_zone_the_number_decides_and_all_its_zones_must_be_awake():
    german = replace(ANNA, zone=None)
    australian_mobile = replace(ANNA, zone=None, address="+61412345678")  # Perth to Lord Howe
    early_in_perth = ms("2026-03-10T08:30", "Australia/Perth")  # 11:30 in Sydney

    assert decide(WARNING, german, [], ms("2026-03-10T07:30")) == Hold(ms("2026-03-10T08:00"), "quiet_hours")
    held = decide(WARNING, australian_mobile, [], early_in_perth, device_zone="Australia/Sydney")
    assert isinstance(held, Hold)
    assert held.until_ms >= ms("2026-03-10T09:00", "Australia/Perth")


def test_a_number_of_everywhere_leaves_the_decision_to_the_zone_of_the_device():
    toll_free = replace(ANNA, zone=None, address="+18005550199", quiet_from="18:00", quiet_to="10:00")
    noon_in_denver = ms("2026-03-10T12:00", "America/Denver")

    assert decide(WARNING, toll_free, [], noon_in_denver, device_zone="America/Denver") == Send()
    assert isinstance(decide(WARNING, toll_free, [], noon_in_denver, device_zone="Asia/Tokyo"), Hold)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "Europe", "x" * 300])
def test_a_zone_or_number_that_does_not_exist_falls_through_to_the_next(zone):
    lost = replace(ANNA, zone=zone, address="not a number")

    assert decide(WARNING, lost, [], ms("2026-03-10T12:00"), device_zone="Europe/Berlin") == Send()
    assert decide(WARNING, lost, [], ms("2026-03-10T12:00")) == Send()


def test_the_daily_cap_holds_until_the_oldest_of_today_is_a_day_old():
    sent = [NOON - 23 * HOUR, NOON - 3 * HOUR, NOON - HOUR]

    decision = decide(WARNING, ANNA, sent, NOON)

    assert decision == Hold(NOON + HOUR, "daily_cap")
    assert decide(replace(WARNING, urgent=True), ANNA, sent, NOON) == decision
    assert decide(WARNING, ANNA, sent[1:], NOON) == Send()


def test_an_answer_needs_no_consent_and_no_daylight_but_ends_loops():
    now_ms = ms("2026-03-10T23:00", "Europe/Berlin")
    answer = replace(WARNING, answers="in1", template="reply_help", created_ms=now_ms, expires_ms=now_ms + HOUR)
    silent = replace(ANNA, consented=False)

    assert decide(answer, silent, [now_ms] * 9, now_ms) == Send()
    assert decide(answer, silent, [now_ms] * 10, now_ms) == Skip("answer_loop")
    assert decide(answer, replace(silent, opted_out=True), [], now_ms) == Skip("opted_out")
