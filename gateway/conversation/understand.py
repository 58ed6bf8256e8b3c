"""What a reply means: a deterministic layer that is right or silent. What it does not know, a person reads.

Danger is heard in every message, also in one that wants no more of ours.
Order: opt-out words, opt-in, help; danger; a numbered answer to what was last offered; words for the answers; thanks.
Providers' own opt-out words are English; ours hold the other languages we write in, and free-text revocation.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateway.conversation.phrase import (
    ANGRY,
    ANSWERS,
    DANGER,
    HELP,
    NO_DANGER,
    REVOKED,
    START,
    STOP,
    THANKS,
    UNSURE,
    WORRIED,
)

Intent: TypeAlias = Literal["stop", "start", "help", "urgent", "answer", "thanks", "unknown"]
Mood: TypeAlias = Literal["calm", "worried", "angry"]

MAX_CHARS = 1_600  # no SMS is longer (Twilio, error 21617)
NUMBERED = re.compile(
    r"^(?:(?:nr|no|ok|yes|ja|s[ií]|option|answer|antwort|opci[oó]n|选|選|第)?\W{0,3})([1-9一二三])[号號]?\W{0,3}$"
)
"""A number alone: "2 h" and "一直响" (it goes on ringing) are sentences. NFKC has made digits of ② and ２."""
NUMERALS = str.maketrans("一二三", "123")


@dataclass(frozen=True, slots=True, kw_only=True)
class Understanding:
    """What one incoming message means. `answer` is one of those offered, or of the words known for them."""

    intent: Intent
    answer: str = ""  # fixed | broken | call | fine | later
    mood: Mood = "calm"
    language: str = ""  # by script: "zh", or "" where the script says nothing
    danger: bool = False  # it speaks of smoke, fire and the like, whatever else it wants
    reason: str = ""  # which layer knew


def understand(text: str, offered: Sequence[str] = ()) -> Understanding:
    """What a message means.

    Args:
        text: as it came.
        offered: the answers our last message offered, in order of their numbers.
    """
    folded = unicodedata.normalize("NFKC", text[:MAX_CHARS]).strip().casefold().replace("’", "'")
    bare = re.sub(r"^\W+|\W+$", "", folded)
    mood: Mood = "angry" if ANGRY.search(folded) or _shouts(text) else "worried" if WORRIED.search(folded) else "calm"
    language = "zh" if re.search(r"[\u4e00-\u9fff]", text) else ""
    danger = DANGER.search(NO_DANGER.sub(" ", folded)) is not None

    def meaning(intent: Intent, reason: str, answer: str = "") -> Understanding:
        return Understanding(
            intent=intent, answer=answer, mood=mood, language=language, danger=danger, reason=reason
        )  # fmt: skip

    if known := _keyword(bare, folded):
        return meaning(known, "keyword")
    if danger:
        return meaning("urgent", "danger_word")
    if (found := NUMBERED.match(folded)) and (number := int(found[1].translate(NUMERALS))) <= len(offered):
        return meaning("answer", "numbered", offered[number - 1])
    for answer, pattern in ANSWERS.items():
        if pattern.search(folded) and not (answer == "fixed" and UNSURE.search(folded)):
            return meaning("answer", "words", answer)
    if THANKS.fullmatch(folded):
        return meaning("thanks", "words")
    return meaning("unknown", "nothing_known")


def _keyword(bare: str, folded: str) -> Intent | None:
    if bare in STOP or REVOKED.search(folded):
        return "stop"
    if bare in START:
        return "start"
    return "help" if bare in HELP else None


def _shouts(text: str) -> bool:
    letters = [char for char in text if char.isalpha()]
    return len(letters) >= 12 and sum(char.isupper() for char in letters) / len(letters) > 0.8
