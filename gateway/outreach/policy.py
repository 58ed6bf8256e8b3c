"""May this message go to this contact now? A value with a reason; the first that applies wins, the order is the policy.

Asked when a message is queued and again at the moment of sending, for an opt-out may have arrived since (promise 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gateway.model import Contact, Message
from gateway.outreach.zone import quiet_until

DAY_MS = 86_400_000
ANSWERS_A_DAY = 10  # automatic answers to one contact; ends loops of two machines (Twilio stops them at error 14107)


@dataclass(frozen=True, slots=True)
class Send:
    """It may go."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Not before `until_ms`; then it is asked again."""

    until_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Skip:
    """Never."""

    reason: str


Decision: TypeAlias = Send | Hold | Skip


def decide(
    message: Message,
    contact: Contact,
    sent_ms: Sequence[int],
    now_ms: int,
    *,
    device_zone: str | None = None,
    holds: bool = True,
) -> Decision:
    """Whether `message` may go to `contact` at `now_ms`.

    Opt-out, consent and the cap (at least 1) bind even urgent messages; quiet hours do not. An answer to what the
    contact wrote needs no consent beyond that and, where a machine gives it, no cap but the one that ends loops.

    Args:
        message: what is to go.
        contact: to whom.
        sent_ms: when messages of its kind (warnings, or answers) went to this contact within the last day.
        now_ms: the moment of asking.
        device_zone: IANA zone of the device, where the contact's own is unknown.
        holds: whether what the message says is still true.
    """
    if reason := _never(message, contact, now_ms, holds):
        return Skip(reason)
    if message.answers:
        return Skip("answer_loop") if message.template and len(sent_ms) >= ANSWERS_A_DAY else Send()
    if not message.urgent and (until_ms := quiet_until(contact, now_ms, device_zone=device_zone)) is not None:
        return _hold(message, until_ms, "quiet_hours")
    today = sorted(at for at in sent_ms if now_ms - at < DAY_MS)
    cap = max(1, contact.daily_cap)
    if len(today) >= cap:
        return _hold(message, today[-cap] + DAY_MS, "daily_cap")
    return Send()


def _never(message: Message, contact: Contact, now_ms: int, holds: bool) -> str:
    """Why the message may never go; "" where it may."""
    reasons = (
        (contact.opted_out, "opted_out"),
        (bool(contact.unreachable), contact.unreachable),
        (not contact.consented and not message.answers, "no_consent"),
        (not holds, "recovered"),
        (now_ms >= message.expires_ms, "expired"),
    )
    return next((reason for applies, reason in reasons if applies), "")


def _hold(message: Message, until_ms: int, reason: str) -> Hold | Skip:
    """Holding a message beyond its own worth is skipping it."""
    return Hold(until_ms, reason) if until_ms < message.expires_ms else Skip(f"expires_in_{reason}")
