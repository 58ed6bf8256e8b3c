"""Explanations: one plain sentence on what an episode is, in the metric's own numbers."""

from __future__ import annotations

import math


def number(x: float) -> str:
    """A number as people write it: three or four significant digits, no exponent where it can be helped."""
    if x != 0 and not 1e-3 <= abs(x) < 1e7:
        return f"{x:.3g}"
    digits = 0 if x == 0 else max(0, 2 - math.floor(math.log10(abs(x))))
    return f"{x:,.{digits}f}".rstrip("0").rstrip(".") if digits else f"{x:,.0f}"


def duration(seconds: float) -> str:
    """A duration as people say it: the largest unit that gives at least two of it, or one."""
    for unit, size in (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0)):
        if seconds >= 2.0 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def share(observed: float, expected: float) -> str:
    """By how much one number exceeds another, in per cent where that says something."""
    change = observed - expected
    if abs(expected) > 1e-9 and 0.005 <= abs(change / expected) < 10:
        return f"{abs(change / expected):.0%}".replace("%", " %")
    return number(abs(change))


def sentence(detector: str, metric: str, *, observed: float, expected: float, lasted_s: float) -> str:
    """What an episode of that detector means. `observed` and `expected` in the metric's unit; NaN where unknown."""
    way = "above" if observed >= expected else "below"
    match detector:
        case "silence":
            return f"{metric or 'The device'} has sent nothing for {duration(lasted_s)}."
        case "stuck":
            return f"{metric} has repeated {number(observed)} for {duration(lasted_s)}, longer than it ever did."
        case "variance":
            return (
                f"{metric} varies differently than usual since {duration(lasted_s)}; its level is {number(observed)}."
            )
        case "drift":
            verb = "climbed" if observed >= expected else "sunk"
            return f"{metric} has {verb} {share(observed, expected)} against its level of the last two weeks."
        case "rhythm":
            return f"{metric} is {number(observed)}; at this hour of the week it is usually near {number(expected)}."
        case _:
            return f"{metric} is {number(observed)}, {share(observed, expected)} {way} its usual {number(expected)}."
