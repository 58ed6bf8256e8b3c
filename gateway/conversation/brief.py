"""The hand-over brief: what the person who takes over must know, in four lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.conversation.understand import Understanding

NEXT_STEP = {
    "danger": "Call the customer now; send emergency services if they do not answer.",
    "still_broken": "The advised step did not help: look at the evidence, then call or send a technician.",
    "call_back": "Call the customer.",
    "later": "Agree on a date.",
    "angry": "Call the customer; apologise before explaining.",
    "hand_over": "Read the message and answer it.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """A hand-over. `facts` are the ticket's own words, newest evidence first."""

    facts: tuple[str, ...]
    mood: str
    said: str  # the customer's last words
    next_step: str

    def __str__(self) -> str:
        lines = [f"Customer wrote: {self.said}", f"Mood: {self.mood}. Next: {self.next_step}", *self.facts]
        return "\n".join(lines)


def brief(attention: str, meaning: Understanding, *, said: str, facts: Sequence[str]) -> Brief:
    """The brief for a person called under the code `attention`."""
    step = NEXT_STEP.get(attention, NEXT_STEP["hand_over"])
    return Brief(facts=tuple(facts)[:6], mood=meaning.mood, said=said, next_step=step)
