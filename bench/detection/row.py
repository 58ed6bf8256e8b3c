"""One line of the tables: a figure of ours beside what others reach."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
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
    memory_mb: float  # peak of the process
    series: int = 0  # that were judged; 0 where nothing is kept of a series
    state_mb: float = 0.0  # kept of all of them

    @property
    def per_thousand(self) -> tuple[float, float] | None:
        """Processor seconds and MB of state for a thousand series; None where nothing is kept of a series."""
        return (1e3 * self.seconds / self.series, 1e3 * self.state_mb / self.series) if self.series else None

    @property
    def reached(self) -> bool | None:
        """Whether ours is as good as what was to be reached; None where there is nothing to compare."""
        if self.ours is None or self.reach is None:
            return None
        if self.key.endswith(".coverage"):
            return HELD[0] <= self.ours <= HELD[1]
        return self.ours <= self.reach if self.key.endswith(LOWER) else self.ours >= self.reach


def noting(part: str) -> Callable[[str, str, float, float | None, float | None], Row]:
    """Makes rows of a part, of key, figure, ours, baseline and reach, with the processor seconds since now."""
    begun = time.process_time()

    def note(key: str, figure: str, ours: float, baseline: float | None, reach: float | None) -> Row:
        return Row(f"{part}.{key}", figure, float(ours), baseline, None, reach, time.process_time() - begun, peak_mb())

    return note


def peak_mb() -> float:
    """Most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
