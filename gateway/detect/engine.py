"""The engine: all detectors over the whole fleet, one block after another, and what they find.

It holds nothing but arrays (see `Engine.snapshot`), grows with the roster, and takes time as an argument, so that live
running, replay and benchmark are the same calls. Tables named `series.*` have a row per series, `device.*` per device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gateway.detect import episodes
from gateway.detect.detector import Detector, Samples, State, grown, pace, pace_init
from gateway.detect.drift import DRIFT, per_day
from gateway.detect.explain import sentence
from gateway.detect.level import LEVEL
from gateway.detect.silence import SILENCE, overdue
from gateway.detect.stuck import STUCK
from gateway.detect.variance import VARIANCE
from gateway.model import Block, Episode, Floats, Integers, Roster

SERIES_DETECTORS: tuple[Detector, ...] = (LEVEL, DRIFT, VARIANCE, STUCK, SILENCE)
DEVICE_SILENCE = "device.silence"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How the engine runs."""

    detectors: tuple[Detector, ...] = SERIES_DETECTORS


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one advance found. Scores: 1.0 is the threshold."""

    opened: tuple[Episode, ...]
    changed: tuple[Episode, ...]  # grown since they were last told
    closed: tuple[Episode, ...]
    score: Floats  # (samples of the block,) the highest of all series detectors; 0 where late
    device_score: Floats  # (devices,) now


class Engine:
    """Detection over one fleet. One thread at a time."""

    def __init__(self, roster: Roster, settings: EngineSettings | None = None) -> None:
        self.roster = roster
        self.settings = settings or EngineSettings()
        self.now_ms = 0
        self._rooms = {"series": 0, "device": 0}
        self._tables: dict[str, State] = {name: init(0) for name, init in self._inits().items()}

    def advance(self, block: Block, now_ms: int) -> Findings:
        """Pass one block through every detector, then ask what is overdue at `now_ms`.

        Samples marked late teach the baselines where they are newer than all their series had, and raise no episode.
        """
        self._make_room()
        self.now_ms = now_ms
        samples, fresh = pace(self._tables["series.pace"], block.series, block.t_ms, block.value)
        late = block.late[fresh]
        highest = np.zeros(len(samples))
        turns: list[tuple[str, episodes.Turns]] = []
        for detector in self.settings.detectors:
            score = detector.step(self._tables[f"series.{detector.name}"], samples)
            if detector is not SILENCE:
                score[late] = 0.0
                np.maximum(highest, score, out=highest)
                table = f"series.{detector.name}.episodes"
                turns.append((table, episodes.fold(self._tables[table], samples, score)))
        self._keep_latest(samples, highest)
        turns += self._fold_silence(now_ms)
        for table, turned in turns:
            self._remember_expected(table, turned)
        told = [self._episode(table, turned, k) for table, turned in turns for k in range(turned.row.size)]
        scores = np.zeros(len(block))
        scores[fresh] = highest
        return Findings(
            opened=tuple(episode for episode in told if episode.end_ms is None),
            changed=self._changed(),
            closed=tuple(episode for episode in told if episode.end_ms is not None),
            score=scores,
            device_score=self.column("score.device"),
        )

    def column(self, name: str) -> Floats:
        """A fact of every device, (devices,); NaN where it is not known.

        Names: `score.<metric>`, `episode.<metric>_s` (0: none), `trend.<metric>_per_day`, `score.device`, `silent_s`.
        A name that is none of these is NaN everywhere.
        """
        self._make_room()
        if name == "silent_s":
            return self._silent_s()
        if name == "score.device":
            return self._by_device(np.arange(self.roster.series_count), self._tables["series.latest"]["score"])
        if name.startswith("score."):
            return self._of_metric(name[6:], self._tables["series.latest"]["score"])
        if name.startswith("episode.") and name.endswith("_s"):
            return self._of_metric(name[8:-2], self._episode_s())
        if name.startswith("trend.") and name.endswith("_per_day") and DRIFT in self.settings.detectors:
            return self._of_metric(name[6:-8], per_day(self._tables["series.drift"]))
        return np.full(len(self.roster.devices), np.nan)

    def snapshot(self) -> dict[str, np.ndarray]:
        """All that the engine remembers, as named arrays that are copies."""
        tables = self._tables.items()
        held = {f"{table}/{name}": array.copy() for table, state in tables for name, array in state.items()}
        return held | {"now_ms": np.array([self.now_ms]), "rooms": np.array(list(self._rooms.values()))}

    @staticmethod
    def restore(roster: Roster, held: dict[str, np.ndarray], settings: EngineSettings | None = None) -> Engine:
        """An engine that goes on where `snapshot` was taken. A detector that is new since then starts afresh."""
        engine = Engine(roster, settings)
        engine.now_ms = int(held["now_ms"][0])
        engine._rooms = dict(zip(engine._rooms, held["rooms"].tolist(), strict=True))
        for table, init in engine._inits().items():
            fresh = init(engine._rooms[table.split(".")[0]])
            engine._tables[table] = {name: held.get(f"{table}/{name}", array).copy() for name, array in fresh.items()}
        return engine

    def _inits(self) -> dict[str, Callable[[int], State]]:
        inits: dict[str, Callable[[int], State]] = {"series.pace": pace_init, "series.latest": _latest_init}
        for detector in self.settings.detectors:
            inits[f"series.{detector.name}"] = detector.init
            inits[f"series.{detector.name}.episodes"] = episodes.init
        return inits | {f"{DEVICE_SILENCE}.episodes": episodes.init}

    def _make_room(self) -> None:
        for axis, needed in (("series", self.roster.series_count), ("device", len(self.roster.devices))):
            held = self._rooms[axis]
            if needed > held:
                self._rooms[axis] = max(needed, held + held // 2)
                for table, init in self._inits().items():
                    if table.startswith(axis):
                        self._tables[table] = grown(self._tables[table], init(self._rooms[axis] - held))

    def _keep_latest(self, samples: Samples, score: Floats) -> None:
        last = np.flatnonzero(np.diff(samples.series, append=-1) != 0)
        series = samples.series[last]
        latest = self._tables["series.latest"]
        latest["score"][series] = score[last]
        latest["value"][series] = samples.value[last]

    def _fold_silence(self, now_ms: int) -> list[tuple[str, episodes.Turns]]:
        if SILENCE not in self.settings.detectors:
            return []
        state, device = self._tables["series.silence"], self.roster.series_device
        by_series, by_device, heard_ms = overdue(state, device, len(self.roster.devices), now_ms)
        onset_ms = state["silence"]["last_ms"]
        scored = (("series.silence", by_series, onset_ms), (DEVICE_SILENCE, by_device, heard_ms))
        return [
            (f"{table}.episodes", episodes.fold_levels(self._tables[f"{table}.episodes"], score, onset, now_ms=now_ms))
            for table, score, onset in scored
        ]

    def _remember_expected(self, table: str, turned: episodes.Turns) -> None:
        if table.startswith("series.") and LEVEL in self.settings.detectors:
            new = turned.row[turned.opened]
            self._tables[table]["episodes"]["expected"][new] = self._tables["series.level"]["level"]["mean"][new]

    def _changed(self) -> tuple[Episode, ...]:
        tables = [table for table in self._tables if table.endswith(".episodes")]
        found = [(table, episodes.grown(self._tables[table])) for table in tables]
        return tuple(self._episode(table, turned, k) for table, turned in found for k in range(turned.row.size))

    def _episode(self, table: str, turned: episodes.Turns, k: int) -> Episode:
        axis, detector = table.split(".")[:2]
        row, onset_ms = int(turned.row[k]), int(turned.onset_ms[k])
        end_ms = None if turned.opened[k] else int(turned.at_ms[k])
        device, metric = row, ""
        observed = expected = float("nan")
        if axis == "series":
            device = int(self.roster.series_device[row])
            metric = self.roster.metrics[int(self.roster.series_metric[row])]
            observed = float(self._tables["series.latest"]["value"][row])
            expected = float(self._tables[table]["episodes"]["expected"][row])
        lasted_s = ((self.now_ms if end_ms is None else end_ms) - onset_ms) / 1000.0
        return Episode(
            device_id=self.roster.devices[device].device_id,
            metric=metric,
            detector=detector,
            onset_ms=onset_ms,
            end_ms=end_ms,
            peak=float(turned.peak[k]),
            expected=None if np.isnan(expected) else expected,
            observed=None if np.isnan(observed) else observed,
            reason=sentence(detector, metric, observed=observed, expected=expected, lasted_s=lasted_s),
        )

    def _silent_s(self) -> Floats:
        last_ms = self._tables["series.pace"]["pace"]["last_ms"][: self.roster.series_count]
        heard = np.full(len(self.roster.devices), -1, np.int64)
        np.maximum.at(heard, self.roster.series_device, last_ms)
        return np.where(heard >= 0, np.maximum(self.now_ms - heard, 0) / 1000.0, np.nan)

    def _episode_s(self) -> Floats:
        longest = np.zeros(self._rooms["series"])
        for detector in self.settings.detectors:
            state = self._tables[f"series.{detector.name}.episodes"]["episodes"]
            lasted = np.where(state["open"], (self.now_ms - state["since_ms"]) / 1000.0, 0.0)
            np.maximum(longest, lasted, out=longest)
        return longest

    def _of_metric(self, metric: str, fact: Floats) -> Floats:
        number = self.roster.metric_number(metric)
        if number is None:
            return np.full(len(self.roster.devices), np.nan)
        return self._by_device(np.flatnonzero(self.roster.series_metric == number), fact)

    def _by_device(self, series: Integers, fact: Floats) -> Floats:
        """(devices,) the highest fact of the given series of each device."""
        found = np.full(len(self.roster.devices), np.nan)
        np.fmax.at(found, self.roster.series_device[series], fact[series])
        return found


def _latest_init(count: int) -> State:
    return {"score": np.zeros(count), "value": np.full(count, np.nan)}
