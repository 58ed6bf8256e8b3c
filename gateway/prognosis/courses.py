"""From a block to samples of courses: which course each series, gauge, log code and model of a fleet is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.model import Block, Flags, Floats, Integers, Roster
from gateway.prognosis.features import Features

HOUR_MS = 3_600_000
CODES = 32  # columns of log codes: the first that a fleet knows


class Samples(NamedTuple):
    """(samples,) what a block tells the courses, and of which device."""

    course: Integers
    t_ms: Integers
    value: Floats
    device: Integers


class Courses:
    """The numbers of courses and models, which grow with the roster."""

    def __init__(self, features: Features) -> None:
        self.features = features
        self.of_model = np.empty(0, np.float32)  # (devices,)
        self._models: dict[str, int] = {}  # numbers of devices' models
        self._course_of = np.empty(0, np.int64)  # (series,)
        self._shift_of = np.empty(0, np.int64)  # (series,) the course that tells whether a gauge has shifted, or -1

    def grow(self, roster: Roster, *, replaced: bool) -> None:
        """Begin courses for new series, and number the models of new devices; of all where some were `replaced`."""
        self.of_model = self.of_model[:0] if replaced else self.of_model
        fresh = [f"{d.type} {d.model}" for d in roster.devices[self.of_model.size :]]
        numbers = [self._models.setdefault(name, len(self._models)) for name in fresh]
        self.of_model = np.append(self.of_model, np.array(numbers, np.float32))
        self._course_of = self._begun("metric:", self._course_of, roster)
        self._shift_of = self._begun("shift:", self._shift_of, roster, only=self.features.columns)

    def read(self, block: Block, roster: Roster, codes: Sequence[str]) -> Samples:
        """What a block tells; late samples are left out, as what came after them has been judged.

        Args:
            block: of the fleet.
            roster: as of `grow`.
            codes: for each log line the code or template it is counted under; "" is not counted.
        """
        live = np.flatnonzero(~block.late & _last_of_hour(block))
        gauge = live[self._shift_of[block.series[live]] >= 0]
        both = np.append(live, gauge)
        course = [self._course_of[block.series[live]], self._shift_of[block.series[gauge]]]
        t_ms, value, owner = [block.t_ms[both]], [block.value[both]], [roster.series_device[block.series[both]]]
        for code in self._counted(codes):
            mine = np.array([c == code for c in codes])
            owner.append(block.logs.device[mine])
            course.append(self.features.courses(f"code:{code}", owner[-1]))
            t_ms.append(block.logs.t_ms[mine])
            value.append(self.features.count(f"code:{code}", owner[-1]))
        return Samples(np.concatenate(course), np.concatenate(t_ms), np.concatenate(value), np.concatenate(owner))

    def follow_shifts(self, metrics: Sequence[str]) -> None:
        """From now on follow whether the gauges of these metrics shift."""
        for name in metrics:
            self.features.courses(f"shift:{name}", np.empty(0, np.int64))
        self._shift_of = self._shift_of[:0]

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """What must outlive a restart beside the features."""
        return {"course_of": self._course_of, "models": np.array(list(self._models), np.str_)}

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> None:
        """Go on from a snapshot; one of an older version has no models."""
        self._course_of = np.array(snapshot["course_of"])
        self._models = {str(name): number for number, name in enumerate(snapshot.get("models", ()))}

    def _begun(self, kind: str, known: Integers, roster: Roster, *, only: Sequence[str] | None = None) -> Integers:
        """(series,) courses of one kind, those of new series begun; -1 where its column is not among `only`."""
        first, end = known.size, roster.series_count
        device, metric = roster.series_device[first:end], roster.series_metric[first:end]
        course = np.full(end - first, -1)
        for number in np.unique(metric).tolist():
            mine, column = metric == number, f"{kind}{roster.metrics[number]}"
            if only is None or column in only:
                course[mine] = self.features.courses(column, device[mine])
        return np.concatenate([known, course])

    def _counted(self, codes: Sequence[str]) -> list[str]:
        """Those of a block's codes that are followed."""
        known = [column for column in self.features.columns if column.startswith("code:")]
        found = sorted(set(codes) - {""})
        fresh = [code for code in found if f"code:{code}" not in known]
        return [code for code in found if code not in fresh[max(CODES - len(known), 0) :]]


def _last_of_hour(block: Block) -> Flags:
    """(samples,) the last sample of its series and hour: a value holds until the next, and trees see no finer."""
    new = (np.diff(block.series) != 0) | (np.diff(block.t_ms // HOUR_MS) != 0)
    return np.append(new, True)[: len(block)]
