"""How many SMS segments a text costs.

Source: 3GPP TS 23.038 (GSM 7-bit default alphabet and its extension table) and TS 23.040 9.2.3.24.1 (a part of a
concatenated message loses 6 octets to its header: 153 septets or 67 UTF-16 units remain of 160 or 70).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")  # each costs an escape as well
_LOOK_ALIKE = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "...", "\u00a0": " "})


@dataclass(frozen=True, slots=True)
class Cost:
    """What a text costs: encoding, length in its units, segments."""

    encoding: Literal["gsm7", "ucs2"]
    units: int
    segments: int


def cost(text: str) -> Cost:
    """Encoding, units and segments of a text; an empty one is one segment."""
    if all(char in _BASIC or char in _EXTENSION for char in text):
        return _split([2 if char in _EXTENSION else 1 for char in text], "gsm7", single=160, part=153)
    return _split([2 if ord(char) > 0xFFFF else 1 for char in text], "ucs2", single=70, part=67)


def plain(text: str) -> str:
    """The text with typographic look-alikes replaced where that alone brings it into GSM 7-bit."""
    simple = text.translate(_LOOK_ALIKE)
    return simple if cost(simple).encoding == "gsm7" else text


def _split(units: list[int], encoding: Literal["gsm7", "ucs2"], *, single: int, part: int) -> Cost:
    total = sum(units)
    if total <= single:
        return Cost(encoding, total, 1)
    segments, room = 1, part
    for size in units:  # an escape pair or a surrogate pair is never split
        if size > room:
            segments, room = segments + 1, part
        room -= size
    return Cost(encoding, total, segments)
