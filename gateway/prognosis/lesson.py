"""What a fleet's past teaches: a copy to learn from, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.model import Floats
from gateway.prognosis import prior, remaining
from gateway.prognosis.calibration import Calibration, Intervals
from gateway.prognosis.features import Rows
from gateway.prognosis.forest import Forest
from gateway.prognosis.parts import PartsModel, Signs
from gateway.prognosis.parts import train as train_parts
from gateway.prognosis.remaining import Past, Remaining
from gateway.prognosis.risk import Examples, RiskModel, train
from gateway.prognosis.smooth import Line, Smooth
from gateway.prognosis.time_left import TimeLeftModel
from gateway.prognosis.trees import Boosted

OF_PARTS = "shift:"
"""Columns that the model of parts alone reads: it learns what a gauge speaks of, the others only that it has moved."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What may be learned from by now: a copy, so that learning may take its time on another thread."""

    examples: Examples  # whose horizon is over
    rows: Rows  # drawn evenly from all looks, for what is usual
    past: Past  # the same, with what became of each
    now_ms: int
    horizon_ms: int
    parts: tuple[str, ...] = ()  # that fail; none where they are not told apart
    left: Floats | None = None  # (examples, parts) horizons to the next failure of each; inf where none is known

    def learn(self) -> Learned:
        """Seconds of work for tens of thousands of rows."""
        names = self.examples.names
        usual = prior.learn(*_plain(self.rows, names)) if len(self.rows) else None
        model = train(self._of_device()) if len(self.examples.rows) else None
        left = remaining.learn(self.past, names, now_ms=self.now_ms, horizon_ms=self.horizon_ms) if model else None
        return Learned(usual, model, left, self._of_parts())

    def _of_device(self) -> Examples:
        told = self.examples
        rows, names = _plain(told.rows, told.names)
        return Examples(rows, names, told.device, told.left, told.weight, told.stands)

    def _of_parts(self) -> PartsModel | None:
        if self.left is None:
            return None
        told, weight = self.examples, np.ones(len(self.left))
        for more in (told.weight, told.stands):
            weight = weight if more is None else weight * more
        return train_parts(told.rows, told.names, told.device, self.left, parts=self.parts, weight=weight)


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of a lesson; None where too little is known."""

    usual: prior.Prior | None
    model: RiskModel | None
    left: Remaining | None
    parts: PartsModel | None = None


KINDS = (
    Learned, prior.Prior, RiskModel, PartsModel, Signs, Boosted, Forest, Calibration, Remaining,
    TimeLeftModel, Smooth, Line, Intervals,
)  # fmt: skip
"""What a snapshot's model may be made of."""


def _plain(rows: Rows, names: tuple[str, ...]) -> tuple[Rows, tuple[str, ...]]:
    """Rows without the columns of parts; themselves where there are none."""
    mine = [i for i, name in enumerate(names) if not name.startswith(OF_PARTS)]
    return (rows, names) if len(mine) == len(names) else (rows[:, mine], tuple(names[i] for i in mine))
