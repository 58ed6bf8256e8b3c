"""Sentences with facts filled in, as `Battery health is {battery_health_ratio:%}, silent for {silent_s:duration}.`.

A placeholder is a fact's name and, after a colon, how it is written: `.0` to `.9` decimals, `%` of a ratio, `bytes`,
`duration` of seconds, `days` of a number of days (`6.4 days`, `14 h`, `45 min`), or a sign first (`+.1`). An
unknown value reads "unknown".
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

from rules.duration import spoken
from rules.errors import RuleError
from rules.fact import check_name

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][\w.]*)(?::(%|bytes|duration|days|\+?\.\d))?\}", re.ASCII)


def names_in(template: str) -> tuple[str, ...]:
    """The facts a sentence needs.

    Raises:
        RuleError: `bad_template` for a brace that opens no placeholder, `unknown_fact`.
    """
    rest = _PLACEHOLDER.sub("", template)
    if "{" in rest or "}" in rest:
        raise RuleError(
            "bad_template", f"{template!r} has a brace that is no placeholder such as {{silent_s:duration}}"
        )
    names = tuple(match[1] for match in _PLACEHOLDER.finditer(template))
    for name in names:
        check_name(name)
    return names


def render(template: str, value_of: Callable[[str], float]) -> str:
    """The sentence with every placeholder filled in; NaN reads "unknown"."""
    return _PLACEHOLDER.sub(lambda match: written(value_of(match[1]), match[2] or ""), template)


def written(value: float, style: str = "") -> str:
    """One value as text in one of the styles above; without a style, three significant digits."""
    if math.isnan(value):
        return "an unknown time" if style == "days" else "unknown"
    if write := _STYLES.get(style):
        return write(value)
    return f"{value:{style}f}"


def _plain(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _duration(seconds: float) -> str:
    return spoken(seconds) if math.isfinite(seconds) else "for ever"


def _days(days: float) -> str:
    """In the unit that tells it apart: minutes to 90 of them, hours to 47, then days, to 10 with a tenth."""
    if math.isinf(days):
        return "a long time"
    if days < 1 / 16:
        return f"{max(days, 0.0) * 1440:.0f} min"
    if days < 47.5 / 24:
        return f"{days * 24:.0f} h"
    return f"{days:.1f} days".replace(".0 ", " ") if days < 9.95 else f"{days:.0f} days"


def _size(value: float) -> str:
    power = min(int(math.log(max(abs(value), 1.0), 1024)), 4) if math.isfinite(value) else 4
    return f"{value / 1024**power:.{min(power, 1)}f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


_STYLES: Final[dict[str, Callable[[float], str]]] = {
    "": _plain, "%": _share, "duration": _duration, "days": _days, "bytes": _size,
}  # fmt: skip
