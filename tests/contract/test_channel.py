"""What a channel promises: an id for what it takes, and four ways to fail, each meaning one thing.

Run against the console and against Twilio's own client speaking to a local server that answers as Twilio does.
"""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from gateway.channels import ConsoleChannel
from gateway.channels.twilio import TwilioSms, signature_fits
from gateway.errors import ChannelDown, OutcomeUnknown, TryLater, Undeliverable
from gateway.model import Message
from tests.conftest import SHARED, free_port
from tests.contract.fake_twilio import ACCOUNT, ERRORS, SERVICE, TOKEN, FakeTwilio

ADDRESS = "+14155550100"
CALLBACK = "https://support.example.org/webhooks/twilio/status"
SPEC = SHARED / "data" / "twilio" / "twilio_api_v2010.json"


def message(**more) -> Message:
    now_ms = int(time.time() * 1000)
    made = Message(
        message_id="msg_1", key="k", contact_id="c", ticket_id=None, channel="sms", text="您的电池 & more ☂",
        language="zh",
        urgent=False, created_ms=now_ms, expires_ms=now_ms + 7_200_000,
    )  # fmt: skip
    return replace(made, **more)


@pytest.fixture
def fake():
    with FakeTwilio(spec=SPEC if SPEC.exists() else None) as running:
        yield running


def twilio(base: str, token: str = TOKEN, **more) -> TwilioSms:
    options = {"service_sid": SERVICE, "callback_url": CALLBACK, "timeout_s": 0.5} | more
    return TwilioSms(ACCOUNT, token, bases={"api": base}, **options)


class Console:
    """How the contract brings the console's channel to each outcome."""

    def __init__(self, _fake: FakeTwilio) -> None:
        self.delivered: list[tuple[str, str]] = []
        self.channel = ConsoleChannel(lambda *told: self.delivered.append(told))

    def send(self, outcome: str) -> str:
        number = {"taken": ADDRESS, "later": "+15005550001", "unknown": "+15005550002", "never": "+15005550003"}
        return self.channel.send(message(), address=number.get(outcome, "+15005550004"))

    @property
    def left(self) -> int:
        return len(self.delivered)


class Twilio:
    """The same for Twilio."""

    def __init__(self, fake: FakeTwilio) -> None:
        self.fake = fake

    def send(self, outcome: str) -> str:
        self.fake.fail = {"taken": None, "later": 20429, "unknown": "drop", "never": 21614, "down": 20003}[outcome]
        return twilio(self.fake.url).send(message(), address=ADDRESS)

    @property
    def left(self) -> int:
        return len(self.fake.messages)


@pytest.fixture(params=[Console, Twilio], ids=["console", "twilio"])
def case(request, fake):
    return request.param(fake)


def test_what_is_taken_has_an_id_and_leaves_once(case):
    assert case.send("taken")
    assert case.left == 1


@pytest.mark.parametrize(("outcome", "error"), [("later", TryLater), ("never", Undeliverable), ("down", ChannelDown)])
def test_where_a_channel_says_so_nothing_has_left(case, outcome, error):
    with pytest.raises(error) as raised:
        case.send(outcome)

    assert raised.value.code
    assert case.left == 0


def test_what_may_have_left_is_in_doubt(case):
    with pytest.raises(OutcomeUnknown):
        case.send("unknown")


# ---- Twilio alone ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "error", "ours"),
    [
        (20003, ChannelDown, "refused"),
        (21606, ChannelDown, "refused"),
        (21408, ChannelDown, "refused"),
        (21703, ChannelDown, "refused"),
        (20429, TryLater, "rate_limited"),
        (21611, TryLater, "rate_limited"),
        (20500, OutcomeUnknown, "server_error"),
        (21211, Undeliverable, "bad_number"),
        (21610, Undeliverable, "opted_out"),
        (21612, Undeliverable, "no_route"),
        (21614, Undeliverable, "not_mobile"),
        (21617, Undeliverable, "too_long"),
    ],
)
def test_each_error_of_twilio_is_one_of_our_four(fake, code, error, ours):
    fake.fail = code

    with pytest.raises(error) as raised:
        twilio(fake.url).send(message(), address=ADDRESS)

    assert raised.value.code == ours
    assert ERRORS[code][1] not in str(raised.value)


@pytest.mark.parametrize("how", ["hang", "drop"])
def test_no_answer_after_sending_is_a_doubt(fake, how):
    fake.fail = how

    with pytest.raises(OutcomeUnknown, match="no_reply"):
        twilio(fake.url).send(message(), address=ADDRESS)

    assert len(fake.messages) == 1


def test_no_connection_is_tried_again_later():
    with pytest.raises(TryLater, match="unreachable"):
        twilio(f"http://127.0.0.1:{free_port()}").send(message(), address=ADDRESS)


def test_a_wrong_token_stops_the_channel(fake):
    with pytest.raises(ChannelDown, match="20003"):
        twilio(fake.url, token="wrong").send(message(), address=ADDRESS)


def test_the_callback_names_our_message_and_the_message_expires(fake):
    twilio(fake.url).send(message(), address=ADDRESS)
    (kept,) = fake.messages

    assert kept["StatusCallback"] == f"{CALLBACK}?message=msg_1"
    assert kept["Body"] == "您的电池 & more ☂"
    assert kept["MessagingServiceSid"] == SERVICE
    assert 7100 <= int(kept["ValidityPeriod"]) <= 7200


@pytest.mark.parametrize("sender", [{"service_sid": SERVICE}, {"service_sid": "", "sender": "+14155550123"}])
@pytest.mark.parametrize("lives_ms", [-5, 100 * 86_400_000])
def test_what_we_ask_and_our_server_answers_is_what_twilio_describes(fake, sender, lives_ms):
    if not SPEC.exists():
        pytest.skip(f"Twilio's API description is not at {SPEC}; set BEFOREHAND_SHARED")
    now_ms = int(time.time() * 1000)

    twilio(fake.url, **sender).send(message(expires_ms=now_ms + lives_ms), address=ADDRESS)

    assert fake.violations == []
    assert 1 <= int(fake.messages[0]["ValidityPeriod"]) <= 36_000


def test_the_server_notices_what_twilio_does_not_describe(fake):
    if not SPEC.exists():
        pytest.skip(f"Twilio's API description is not at {SPEC}; set BEFOREHAND_SHARED")

    twilio(fake.url, service_sid="MG-not-a-sid").send(message(), address=ADDRESS)

    assert any("MG-not-a-sid" in violation for violation in fake.violations)


def test_no_test_can_reach_another_host():
    channel = TwilioSms(ACCOUNT, TOKEN, sender=ADDRESS, bases={"elsewhere": "http://127.0.0.1:1"})

    with pytest.raises(ChannelDown, match="unmapped_host"):
        channel.send(message(), address=ADDRESS)


def test_only_what_twilio_signed_with_one_of_our_tokens_fits(fake):
    url, form, signature = fake.inbound("https://support.example.org/in?x=1", ADDRESS, "好的, 1", "SM1")

    def fits(tokens=(TOKEN,), url=url, form=form, signature=signature):
        return signature_fits(tokens, url=url, form=form, signature=signature)

    assert fits()
    assert fits(tokens=("next token", TOKEN))
    assert not fits(tokens=("another",))
    assert not fits(tokens=("",))
    assert not fits(form=form | {"Body": "2"})
    assert not fits(url="https://support.example.org/in?x=2")
    assert not fits(signature="")


def test_the_signature_is_the_one_twilio_publishes():
    """Twilio's documentation, Security, Validating Signatures: its own example."""
    form = {
        "CallSid": "CA1234567890ABCDE", "Caller": "+14158675309", "Digits": "1234", "From": "+14158675309",
        "To": "+18005551212",
    }  # fmt: skip

    assert signature_fits(
        ("12345",), url="https://mycompany.com/myapp.php?foo=1&bar=2", form=form,
        signature="RSOYDt4T1cUTdK1PDd93/VVr8B8=",
    )  # fmt: skip
