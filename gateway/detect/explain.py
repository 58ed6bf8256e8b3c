"""Explanations: one plain sentence on what an episode is, in the metric's own numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gateway.detect.peers import Peers
from gateway.detect.precedent import Precedent
from gateway.model import Episode

LASTED_S = 7_200.0  # from which it is told how long a climb has taken: what is shorter has hardly begun


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
    since = f" in {duration(lasted_s)}" if lasted_s >= LASTED_S else ""
    off = f"{number(observed)}, {share(observed, expected)} {more} its usual {number(expected)}"
    says = {
        "stuck": f"has repeated {number(observed)} for {duration(lasted_s)}, longer than it ever did",
        "variance": f"has varied unlike its habit for {duration(lasted_s)}, near {number(observed)}",
        "drift": f"has {moved} {share(observed, expected)}{since} from its usual {number(expected)} and is "
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


def in_company(episode: Episode, peers: Peers | None, precedent: Precedent | None) -> str:
    """The sentence of an episode, with what others of the model have done, and what came of the like before.

    "compressor_current_amperes has climbed 18 % in 9 days, while the 40 others of this model stayed level. A similar
    rise came before 7 of the 9 confirmed compressor faults; 3 such came to nothing."
    """
    said = episode.reason.rstrip(".") + ("" if peers is None else _others(episode.detector, peers))
    if precedent is None:
        return f"{said}."
    faults = f"confirmed {precedent.cause} faults" if precedent.cause else "confirmed faults"
    idle = f"; {precedent.idle} such came to nothing" if precedent.idle else ""
    return (
        f"{said}. A similar {precedent.way} came before {precedent.before} of the {precedent.failures} {faults}{idle}."
    )


def _others(detector: str, peers: Peers) -> str:
    alike = "are" if detector in ("level", "rhythm") else "have"
    if 2 * peers.alike >= peers.known:
        return f", and so {alike} most others of this model ({peers.alike} of the {peers.known})"
    if peers.alike:
        alike = {"are": "is", "have": "has"}[alike] if peers.alike == 1 else alike
        return f", and so {alike} {peers.alike} of the {peers.known} others of this model"
    stayed = {"drift": "stayed level", "level": "are as usual", "rhythm": "are as usual"}.get(detector, "have not")
    return f", while the {peers.known} others of this model {stayed}"
