"""One line of the tables: a figure of ours beside what others reach."""

from __future__ import annotations

from dataclasses import dataclass


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
