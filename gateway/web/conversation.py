"""A ticket's time line as one list: what was written both ways, notes, and what changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.ledger.database import Record
from gateway.web.render import word

MESSAGE_KINDS = ("message", "reply")  # events that repeat what the message itself shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: `in` and `out` are messages, `note` an internal comment, `change` what was done.

    `brief` is a hand-over: its text says mood and next step, `facts` what is known.
    """

    kind: Literal["in", "out", "note", "change", "brief"]
    at_ms: int
    author: str
    text: str
    message: Record | None = None
    facts: tuple[str, ...] = ()


def conversation(events: Sequence[Record], messages: Sequence[Record]) -> list[Line]:
    """Events and messages of one ticket, oldest first."""
    told = any(messages)
    lines = [_of_event(event) for event in events if not (told and event.kind in MESSAGE_KINDS)]
    lines += [
        Line(
            kind="out" if m.direction == "out" else "in",
            at_ms=m.created_ms,
            author=m.contact_name or "Contact",
            text=m.text,
            message=m,
        )
        for m in messages
    ]
    return sorted(lines, key=lambda line: line.at_ms)


def _of_event(event: Record) -> Line:
    if event.kind == "comment":
        return Line(kind="note", at_ms=event.at_ms, author=event.author, text=event.text)
    if event.kind == "attention" and "\nMood: " in event.text:  # `conversation.Brief`; the message itself stands above
        mood, *facts = event.text.rpartition("\nMood: ")[2].split("\n")
        return Line(kind="brief", at_ms=event.at_ms, author=event.author, text=f"Mood: {mood}", facts=tuple(facts))
    return Line(kind="change", at_ms=event.at_ms, author=event.author, text=_sentence(event))


def _sentence(event: Record) -> str:
    match event.kind:
        case "opened":
            return "Ticket opened" + (f": {event.text}" if event.text else "")
        case "assigned":
            return f"Given to {event.text}"
        case "status" | "priority" | "outcome":
            return f"{word(event.kind)} set to {word(event.text).lower()}"
        case _:
            return event.text or word(event.kind)
