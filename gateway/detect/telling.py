"""Telling: what an episode is in words and numbers, when it turns, and as of now for who looks at it later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from gateway.detect import peers
from gateway.detect.detector import State
from gateway.detect.drift import DRIFT, means
from gateway.detect.episodes import Turns
from gateway.detect.explain import device_sentence, in_company, sentence
from gateway.detect.habits import Habits
from gateway.detect.precedent import Precedent
from gateway.detect.unlike import unlike
from gateway.model import Episode, Integers, Roster

HABIT, SURPRISE = "device.habit", "device.surprise"
DEVICE_SILENCE = "device.silence"
Described = tuple[str, float | None, float | None]  # metric, value and usual value; None where not known


@dataclass(frozen=True, slots=True)
class Teller:
    """Tells the episodes of one engine."""

    roster: Roster
    tables: Mapping[str, State]
    habits: Habits
    now_ms: int

    def episode(self, table: str, turned: Turns, k: int) -> Episode:
        """One that has opened, grown or ended."""
        axis, detector = table.split(".")[:2]
        row, onset_ms = int(turned.row[k]), int(turned.onset_ms[k])
        end_ms = None if turned.opened[k] else int(turned.at_ms[k])
        lasted_s = ((self.now_ms if end_ms is None else end_ms) - onset_ms) / 1000.0
        device, (metric, observed, expected) = row, ("", None, None)
        if axis == "series":
            device, (metric, observed, expected) = int(self.roster.series_device[row]), self._of(detector, row)
        reason = sentence(detector, metric, observed=observed, expected=expected, lasted_s=lasted_s)
        if table.startswith((HABIT, SURPRISE)):
            reason = device_sentence(detector, self._unlike(row) if table.startswith(HABIT) else self._strangest(row))
        return Episode(
            device_id=self.roster.devices[device].device_id, metric=metric, detector=detector, onset_ms=onset_ms,
            end_ms=end_ms, peak=float(turned.peak[k]), expected=expected, observed=observed, reason=reason,
        )  # fmt: skip

    def as_of_now(self, episode: Episode, precedent: Precedent | None, cohorts: Integers) -> Episode:
        """The same episode, if it goes on with its present value, beside what others do and what came of the like.

        What was usual stays what it was when the episode was told first: a mean of a fortnight follows what it shows.
        """
        device, metric = self.roster.device(episode.device_id), self.roster.metric_number(episode.metric)
        series = None if device is None or metric is None else self.roster.series_number(device.number, metric)
        if series is None or "series.level" not in self.tables or episode.end_ms is not None:
            return replace(episode, reason=in_company(episode, None, precedent))
        _, observed, _ = self._of(episode.detector, series)
        lasted_s = (self.now_ms - episode.onset_ms) / 1000.0
        reason = sentence(
            episode.detector, episode.metric, observed=observed, expected=episode.expected, lasted_s=lasted_s
        )
        now = replace(episode, observed=observed, reason=reason)
        others = peers.asked(episode.detector, series, roster=self.roster, tables=self.tables, cohorts=cohorts)
        return replace(now, reason=in_company(now, others, precedent))

    def _of(self, detector: str, series: int) -> Described:
        metric, observed, expected = self._described(series)
        return (metric, *means(self.tables["series.drift"], series)) if detector == DRIFT.name else (
            metric, observed, expected,
        )  # fmt: skip

    def _described(self, series: int) -> Described:
        """Value and usual value of a series."""
        value, usual = float(self.tables["series.pace"]["pace"]["value"][series]), float("nan")
        if "series.level" in self.tables:
            usual = float(self.tables["series.level"]["level"]["mean"][series])
        metric = self.roster.metrics[int(self.roster.series_metric[series])]
        return metric, None if np.isnan(value) else value, None if np.isnan(usual) else usual

    def _strangest(self, device: int) -> list[Described]:
        """Up to two series of a device that surprise most."""
        series = np.flatnonzero(self.roster.series_device == device)
        latest = self.tables["series.latest"]["latest"][series]
        order = np.argsort(-np.maximum(latest["evidence"], latest["score"]), kind="stable")
        return [self._described(int(s)) for s in series[order[:2]]]

    def _unlike(self, device: int) -> list[Described]:
        """The metrics that are most unlike the habit: value of late, and the value that it expects."""
        habit, motion = self.habits.champion.get(device), self.habits.motion.get(device)
        if habit is None or motion is None or np.isnan(motion[0]).any():
            return self._strangest(device)
        names = [self.roster.metrics[self.roster.series_metric[s]] for s in habit.series.tolist()]
        return [(names[column], value, expected) for column, value, expected in unlike(habit.vector, motion)]
