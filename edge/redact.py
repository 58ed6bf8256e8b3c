"""Personal data and secrets leave a log line on the device, before it is kept anywhere.

What is taken out is replaced by its kind, as `<email>`, so that lines keep their shape and log templates stay stable.
The patterns lean to taking out too much. Names and free text cannot be found by pattern; an operator whose firmware
logs them adds patterns of his own (`collect.redact`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = (
    r"(?:[\w-]*(?:password|passwd|passphrase|passcode|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|psk)"
    r"|authorization|(?:set-)?cookie|session[_-]?id|pin(?:[_-]?code)?|otp)"
)
_VALUE = r"(?:\"[^\"]*\"|'[^']*'|[^\s,;&}\]]+)"
_H4 = r"[0-9A-Fa-f]{1,4}"
_KEY = r"[A-Za-z0-9+/_]"
_IP6 = rf"{_H4}(?::{_H4}){{0,6}}"
_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"

PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.S), "<secret>"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]{1,20}://)[^\s/@]{1,300}@", re.I), r"\1<secret>@"),
    (re.compile(r"\b(bearer|basic|digest)\s+[A-Za-z0-9+/_.=~-]{6,}", re.I), r"\1 <secret>"),
    (re.compile(rf"(\b{_WORD}[\"']?\s*[=:]\s*){_VALUE}", re.I), r"\1<secret>"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"), "<secret>"),
    (re.compile(r"(?<![\w.+%'-])[\w.+%'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"), "<email>"),
    (re.compile(r"\b(lat(?:itude)?|lng|lon(?:gitude)?)([\"']?\s*[=:]\s*)-?\d+\.\d+", re.I), r"\1\2<place>"),
    (re.compile(r"\b[0-9A-Fa-f]{2}(?:([:-])[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2}){4,6}\b"), "<mac>"),
    (re.compile(rf"(?<![\w:.])(?:{_H4}:){{3,7}}{_H4}(?![\w:])"), "<ip>"),
    (re.compile(rf"(?<![\w:.])(?=[A-Fa-f:]*\d)(?:{_IP6})?::(?:{_IP6})?(?![\w:])"), "<ip>"),
    (re.compile(rf"(?<![\w.])(?:{_BYTE}\.){{3}}{_BYTE}(?!\.?\w)"), "<ip>"),
    (re.compile(r"\b[0-9A-Fa-f]{32,}\b"), "<secret>"),
    (re.compile(r"\b(?:sk|pk|gh[opsu]|xox[abp]|AKIA)[A-Za-z0-9_-]{16,}"), "<secret>"),
    (re.compile(rf"(?<![\w/+.-])(?={_KEY}*\d)(?={_KEY}*[A-Z])(?={_KEY}*[a-z]){_KEY}{{32,}}=*(?![\w/.-])"), "<secret>"),
    (re.compile(r"(?<![\w.+-])\+[1-9][\d ().-]{6,18}\d(?!\w)"), "<phone>"),
    (re.compile(r"(?<![\w.:/-])\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}(?![\w.:/-])"), "<phone>"),
    (re.compile(r"(?<![\w.:-])1[3-9]\d{9}(?![\w.:])"), "<phone>"),  # mobile numbers of China
    (re.compile(r"(?<![\w.:-])0\d{2,4}[ /-]\d{5,9}(?![\w.:])"), "<phone>"),
)


def redact(text: str, extra: Sequence[re.Pattern[str]] = ()) -> str:
    """The text without personal data and secrets; doing it twice changes nothing more."""
    for pattern, kind in PATTERNS:
        text = pattern.sub(kind, text)
    for pattern in extra:
        text = pattern.sub("<redacted>", text)
    return text
