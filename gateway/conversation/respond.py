"""What follows from an understood reply: an automatic answer, a change of the ticket, or a person, at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gateway.conversation.understand import Understanding
from gateway.model import Outcome, TicketPriority, TicketStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What to do. `attention` is the code under which a person is called; "" where none is needed."""

    template: str = ""  # of the automatic answer; "" for none
    consent: Literal["", "opt_in", "opt_out"] = ""  # record it
    status: TicketStatus | None = None
    priority: TicketPriority | None = None
    outcome: Outcome | None = None  # what the answer says the ticket was
    attention: str = ""


DANGER = Response(priority="urgent", status="open", attention="danger")


def respond(
    meaning: Understanding,
    *,
    earlier: Sequence[Understanding] = (),
    told_by_provider: bool = False,
    person_wrote: bool = False,
) -> Response:
    """What to do about a reply.

    Args:
        meaning: of the reply.
        earlier: of the contact's earlier ones on this ticket, oldest first.
        told_by_provider: whether the provider has answered already (its own opt-out service).
        person_wrote: whether our last word was a person's: then a person answers, and no machine talks between.
    """
    if meaning.intent in ("stop", "start", "help"):
        wanted = _subscription(meaning, told_by_provider)
        return replace(DANGER, consent=wanted.consent, template=wanted.template) if meaning.danger else wanted
    response = _alone(meaning, earlier)
    if not person_wrote or meaning.intent == "urgent":
        return response
    called = response.attention or ("" if meaning.intent == "thanks" else "hand_over")
    return replace(response, template="", attention=called)


def _alone(meaning: Understanding, earlier: Sequence[Understanding]) -> Response:
    match meaning.intent:
        case "urgent":
            return replace(DANGER, template="reply_urgent")
        case "thanks":
            return Response(template="" if any(m.intent == "thanks" for m in earlier) else "reply_thanks")
        case "answer":
            return _answered(meaning, earlier)
        case _:
            return _hand_over(meaning, earlier)


def _subscription(meaning: Understanding, told_by_provider: bool) -> Response:
    if meaning.intent == "stop":  # no answer: nothing may go to who has opted out; the provider confirms
        return Response(consent="opt_out")
    template = "" if told_by_provider else f"reply_{meaning.intent}"
    return Response(consent="opt_in" if meaning.intent == "start" else "", template=template)


def _answered(meaning: Understanding, earlier: Sequence[Understanding]) -> Response:
    template = f"reply_{meaning.answer}"
    match meaning.answer:
        case "fixed":
            angry = "angry" if meaning.mood == "angry" else ""
            return Response(template=template, status="waiting", outcome="confirmed", attention=angry)
        case "fine":
            return Response(template=template, status="waiting", outcome="no_fault_found")
        case "broken":
            return Response(template=template, status="open", priority="high", attention="still_broken")
        case "call":
            return Response(template=template, status="open", attention="call_back")
        case "later":
            return Response(template=template, status="open", attention="later")
        case _:
            return _hand_over(meaning, earlier)


def _hand_over(meaning: Understanding, earlier: Sequence[Understanding]) -> Response:
    """A person answers; we say so once in a row only."""
    said = bool(earlier) and earlier[-1].intent == "unknown"
    code = "angry" if meaning.mood == "angry" else "hand_over"
    return Response(template="" if said else "reply_hand_over", status="open", attention=code)
