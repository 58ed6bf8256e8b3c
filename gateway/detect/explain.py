"""Explanations: one plain sentence on what an episode is, in the metric's own numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence


def number(x: float) -> str:
    """A number as people write it: three or four significant digits, no exponent where it can be helped."""
    if x != 0 and not 1e-3 <= abs(x) < 1e7:
        return f"{x:.3g}"
    digits = 0 if x == 0 else max(0, 2 - math.floor(math.log10(abs(x))))
    return f"{x:,.{digits}f}".rstrip("0").rstrip(".") if digits else f"{x:,.0f}"


def duration(seconds: float) -> str:
    """A duration as people say it: the largest unit that gives at least two of it; a moment for a single sample."""
    if seconds < 1.0:
        return "a moment"
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


def sentence(detector: str, metric: str, *, observed: float | None, expected: float | None, lasted_s: float) -> str:
    """What an episode of that detector means. `observed` and `expected` in the metric's unit; None where unknown."""
    if detector == "silence":
        return f"{metric or 'The device'} has sent nothing for {duration(lasted_s)}."
    if observed is None or expected is None:
        return f"{metric} has been unusual for {duration(lasted_s)}."
    more, moved = ("above", "climbed") if observed >= expected else ("below", "sunk")
    off = f"{number(observed)}, {share(observed, expected)} {more} its usual {number(expected)}"
    says = {
        "stuck": f"has repeated {number(observed)} for {duration(lasted_s)}, longer than it ever did",
        "variance": f"has varied unlike its habit for {duration(lasted_s)}, near {number(observed)}",
        "drift": f"has {moved} {share(observed, expected)} from its usual {number(expected)} and is "
        f"{number(observed)} on average over a day",
        "rhythm": f"is {number(observed)}, which is unusual for this hour of the week",
    }
    return f"{metric} {says.get(detector, f'is {off}')}."


def device_sentence(detector: str, strangest: Sequence[tuple[str, float | None, float | None]]) -> str:
    """What an episode of a whole device means.

    Args:
        detector: `habit` or `surprise`.
        strangest: (metric, value, usual value; of a habit the value that would fit it) of what stands out most.
    """
    opening, says, against = "Something new happened", "is", ", usually"
    if detector == "habit":
        opening, says, against = (
            "The device behaves unlike its own past",
            "has been",
            ", where its other metrics suggest",
        )
    parts = [
        f"{metric} {says} {number(value)}" + ("" if usual is None else f"{against} {number(usual)}")
        for metric, value, usual in strangest
        if value is not None
    ]
    return f"{opening}: {'; '.join(parts)}." if parts else f"{opening}."
