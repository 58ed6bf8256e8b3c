"""Durations as people write them: `90s`, `15m`, `6h`, `1d`, `1h30m`."""

from __future__ import annotations

import re
from typing import Final

from rules.errors import RuleError

_UNIT_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_FORM: Final = re.compile(r"(?:\d{1,6}[dhms]){1,4}\Z", re.ASCII)
_PART: Final = re.compile(r"(\d+)([dhms])", re.ASCII)


def duration_ms(text: str) -> int:
    """Milliseconds of a duration; `0` alone is allowed.

    Raises:
        RuleError: `bad_duration`.
    """
    if text == "0":
        return 0
    if not isinstance(text, str) or not _FORM.match(text):
        raise RuleError("bad_duration", f"{text!r} is no duration; write it as 90s, 15m, 6h, 1d or 1h30m")
    return sum(int(count) * _UNIT_MS[unit] for count, unit in _PART.findall(text))


def spoken(duration_s: float) -> str:
    """A duration for people, in its two largest units: `3 h 5 min`."""
    rest = round(abs(duration_s))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return ("-" if duration_s < 0 and parts else "") + (" ".join(parts[:2]) or "0 s")
