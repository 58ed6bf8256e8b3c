"""One line of the tables: a figure of ours beside what others reach."""

from __future__ import annotations

from dataclasses import dataclass

LOWER = ("false_alarms_day", ".calibration_high", ".rmse", ".nasa")
"""Ends of the keys of figures of which less is better."""
HELD = (0.85, 0.95)
"""Share of truths that a 90 % interval must hold: more is as wrong as less."""


@dataclass(frozen=True)
class Row:
    """A figure measured; None where nobody has published one, or none is set."""

    key: str  # stable, as `logs.templates.ga`
    figure: str  # for people
    ours: float | None
    baseline: float | None
    published: float | None
    reach: float | None
    seconds: float
    memory_mb: float

    @property
    def reached(self) -> bool | None:
        """Whether ours is as good as what was to be reached; None where there is nothing to compare."""
        if self.ours is None or self.reach is None:
            return None
        if self.key.endswith(".coverage"):
            return HELD[0] <= self.ours <= HELD[1]
        return self.ours <= self.reach if self.key.endswith(LOWER) else self.ours >= self.reach
