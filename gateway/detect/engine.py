"""The engine: all detectors over the whole fleet, one block after another, and what they find.

It grows with the roster, remembers arrays only (see `Engine.snapshot`), and takes time as an argument, so that live
running, replay and benchmark are the same calls. Tables named `series.*` have a row per series, `device.*` per device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.detect import budget, episodes, facts, prior, surprise, suspicion, tide
from gateway.detect.detector import Detector, Samples, State, grown, pace, pace_init
from gateway.detect.drift import DRIFT, per_day
from gateway.detect.habits import SETTLING, Habits, Verdict
from gateway.detect.lesson import Challenger
from gateway.detect.logs import COLUMNS, PRECURSOR, SESSION, LogState
from gateway.detect.precedent import Precedent
from gateway.detect.series import BROAD, DETECTORS, EVIDENCE_ONLY, PLACED, SUDDEN, climbing
from gateway.detect.shared import Shared
from gateway.detect.silence import SILENCE, overdue
from gateway.detect.surprise import DeviceScores
from gateway.detect.suspicion import Doubts
from gateway.detect.tail import threshold
from gateway.detect.telling import DEVICE_SILENCE, HABIT, SURPRISE, Teller
from gateway.model import Block, Episode, Flags, Floats, Integers, Roster

SERIES_DETECTORS = DETECTORS
OF_DEVICE = {"cohort.score": "standing", "cohort.firmware_score": "firmware"}
Turned = tuple[str, episodes.Turns]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How the engine runs."""

    detectors: tuple[Detector, ...] = DETECTORS
    false_alarms_per_week: float | None = None  # of 1,000 devices; see `budget`
    log_session: str = ""  # expression whose first group is the key of a line's session; see `logs.session`


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one advance found. Scores: 1.0 is the threshold."""

    opened: tuple[Episode, ...]
    changed: tuple[Episode, ...]  # grown since they were last told
    closed: tuple[Episode, ...]
    score: Floats  # (samples of the block,) the highest of all series detectors; 0 where late
    device_score: Floats  # (devices,) now
    rows: DeviceScores  # of every moment at which a device spoke


class Engine:
    """Detection over one fleet. One thread at a time."""

    def __init__(self, roster: Roster, settings: EngineSettings | None = None) -> None:
        self.roster = roster
        self.settings = settings or EngineSettings()
        self.now_ms = 0
        self.habits = Habits()
        self.logs = LogState(roster, session_key=self.settings.log_session)
        self.shared = Shared(self.settings.false_alarms_per_week)
        self._seen: tide.Tide | None = None
        self._rooms = {"series": 0, "device": 0}
        self._tables: dict[str, State] = {name: init(0) for name, init in self._inits().items()}

    def advance(self, block: Block, now_ms: int) -> Findings:
        """Pass one block through every detector, then ask what is overdue at `now_ms`.

        Samples marked late teach the baselines where they are newer than all their series had, and raise no episode.
        """
        self._make_room()
        self.now_ms, self._seen = now_ms, None
        unheard = prior.unheard(self._tables["series.pace"], block.series)
        prior.give(self.shared.priors, self._tables, self.roster, unheard, now_ms)
        samples, fresh = pace(self._tables["series.pace"], block.series, block.t_ms, block.value)
        late = block.late[fresh]
        climbs = climbing(self.roster)[self.roster.series_metric[samples.series]]
        highest, sudden, broad = np.zeros((3, len(samples)))
        turns: list[Turned] = []
        for detector in self.settings.detectors:
            score = detector.step(self._tables[f"series.{detector.name}"], samples)
            if detector.name in PLACED:
                score[climbs] = 0.0
            if detector.name in BROAD:
                sudden += SUDDEN.get(detector.name, 0.0) * score
                broad += BROAD[detector.name] * score
            if detector is SILENCE or detector.name in EVIDENCE_ONLY:
                continue
            score[late] = 0.0
            np.maximum(highest, score, out=highest)
            table = f"series.{detector.name}.episodes"
            turns.append((table, episodes.fold(self._tables[table], samples, score)))
        company = np.bincount(self.roster.series_device)[self.roster.series_device[samples.series]]
        evidence = sudden + (broad - sudden) / company  # alone on its device: broad; one of many: sudden
        self._keep_latest(samples, highest, evidence)
        rows = self._judge_devices(samples, evidence * threshold(samples.interval_s), late, turns)
        turns += self._fold_silence(now_ms)
        told = self._tell(turns)
        said = self.logs.advance(block.logs, now_ms)
        scores = np.zeros(len(block))
        scores[fresh] = highest
        self.shared.follow(self.roster, self._tables, now_ms)
        return Findings(
            opened=tuple(episode for episode in told if episode.end_ms is None) + said.opened,
            changed=self._changed() + said.changed,
            closed=tuple(episode for episode in told if episode.end_ms is not None) + said.closed,
            score=scores,
            device_score=self.column("score.device"),
            rows=rows,
        )

    def column(self, name: str) -> Floats:
        """A fact of every device, (devices,); NaN where it is not known.

        Names: `score.<metric>`, `episode.<metric>_s` (0: none), `trend.<metric>_per_day`, `score.device`, `silent_s`,
        `cohort.score`, `cohort.firmware_score`, those of `logs.COLUMNS`, `logs.PRECURSOR`, `logs.SESSION`. A name that
        is none of these is NaN everywhere.
        """
        self._make_room()
        roster, tables = self.roster, self._tables
        found = facts.unknown(roster)
        match name.split(".", 1):
            case ["log", _] if name in (*COLUMNS, PRECURSOR, SESSION):
                found = self.logs.column(name)
            case ["silent_s"]:
                found = facts.silent_s(roster, tables["series.pace"]["pace"]["last_ms"], self.now_ms)
            case ["score", "device"]:
                found = self._tide().device
            case ["cohort" as head, tail] if f"{head}.{tail}" in OF_DEVICE:
                found = self._device_latest(OF_DEVICE[f"{head}.{tail}"])
            case ["score", metric]:
                found = facts.of_metric(roster, metric, self._tide().series)
            case ["episode", metric] if metric.endswith("_s"):
                folds = [tables[t] for t in tables if t.startswith("series.") and t.endswith(".episodes")]
                lasted = facts.lasted_s(folds, self.now_ms, self._rooms["series"])
                found = facts.of_metric(roster, metric.removesuffix("_s"), lasted)
            case ["trend", metric] if metric.endswith("_per_day") and DRIFT in self.settings.detectors:
                found = facts.of_metric(roster, metric.removesuffix("_per_day"), per_day(tables["series.drift"]))
        return found

    def train(self, device: int, series: Integers, rows: Floats, suspect: Flags) -> Verdict:
        """Train the habit of a device from its past; see `Habits.train`. For a job, not for the hot path."""
        return self.habits.train(device, series, rows, suspect)

    def due(self, now_ms: int, *, every_ms: int, young_ms: int) -> Integers:
        """Numbers of the devices whose habit is to be learned; see `suspicion.due`."""
        heard_ms = self._tables["device.pace"]["pace"]["last_ms"][: len(self.roster.devices)]
        return suspicion.due(self._tables["device.past"], heard_ms, now_ms, every_ms=every_ms, young_ms=young_ms)

    def suspect(self, device: int, start_ms: int, end_ms: int, *, suspect: bool = True) -> None:
        """Put a stretch of a device's past under suspicion, so that no habit learns it; or free it of it."""
        self._make_room()
        suspicion.mark(self._tables["device.past"]["past"][device], start_ms, end_ms, suspect=suspect)
        if suspect:
            budget.doubt(self._tables["device.budget"], device, end_ms)

    def doubts(self, device: int) -> Doubts:
        """What is held against the past of a device."""
        mine = np.flatnonzero(self.roster.series_device == device)
        past: Any = self._tables["device.past"]["past"][[device]][0]
        for table in (name for name in self._tables if name.endswith(".episodes") and not name.startswith(HABIT)):
            held = self._tables[table]["episodes"][mine if table.startswith("series.") else [device]]
            for since_ms, peak in held[["since_ms", "peak"]][held["open"]].tolist():
                suspicion.mark_episode(past, since_ms, self.now_ms, peak)
        return Doubts(int(past["last_h"]), past["bits"])

    def as_of_now(self, episode: Episode, precedent: Precedent | None) -> Episode:
        """What is to be said of an episode now; see `Teller.as_of_now`."""
        return self._teller().as_of_now(episode, precedent, self.shared.cohorts(self.roster))

    def interval_ms(self, device: int) -> float:
        """The usual time between the moments at which a device speaks; a minute while it is unknown."""
        usual_s = float(self._tables["device.pace"]["pace"]["interval_s"][device])
        return 60_000.0 if np.isnan(usual_s) else 1000.0 * usual_s

    def adopt(self, device: int, told: Challenger, newest: Floats, now_ms: int) -> Verdict:
        """Put what came of a lesson to work; the device is due again when its time has come, whatever came of it."""
        self._tables["device.past"]["past"]["tried_ms"][device] = now_ms
        return self.habits.adopt(device, told, newest[-SETTLING:])

    def train_cohorts(self) -> None:
        """Take new baselines of all cohorts, with fleet models. For a job, not for the hot path."""
        self.shared.take(self.roster, self._tables, self.now_ms, with_model=True)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All that the engine remembers, as named arrays that are copies. Baselines of cohorts are taken anew."""
        tables = self._tables.items()
        held = {f"{table}/{name}": array.copy() for table, state in tables for name, array in state.items()}
        held |= {f"habits/{name}": array for name, array in self.habits.snapshot().items()}
        held |= {f"logs/{name}": array for name, array in self.logs.snapshot().items()}
        held |= {f"shared/{name}": array for name, array in self.shared.snapshot().items()}
        return held | {"now_ms": np.array([self.now_ms]), "rooms": np.array(list(self._rooms.values()))}

    @staticmethod
    def restore(roster: Roster, held: dict[str, NDArray[Any]], settings: EngineSettings | None = None) -> Engine:
        """An engine that goes on where `snapshot` was taken. A detector that is new or changed since starts afresh."""
        engine = Engine(roster, settings)
        engine.now_ms = int(held["now_ms"][0])
        engine._rooms = dict(zip(engine._rooms, held["rooms"].tolist(), strict=True))
        for table, init in engine._inits().items():
            fresh = init(engine._rooms[table.split(".")[0]])
            past = {name: held.get(f"{table}/{name}") for name in fresh}
            known = all(a is not None and a.dtype == fresh[name].dtype for name, a in past.items())
            engine._tables[table] = {n: a.copy() for n, a in past.items() if a is not None} if known else fresh
        habits = {k.removeprefix("habits/"): v for k, v in held.items() if k.startswith("habits/")}
        engine.habits = Habits.restore(habits) if habits else engine.habits
        shared = {k.removeprefix("shared/"): v for k, v in held.items() if k.startswith("shared/")}
        engine.shared = Shared.restore(shared, engine.settings.false_alarms_per_week)
        logs = {k.removeprefix("logs/"): v for k, v in held.items() if k.startswith("logs/")}
        if logs:
            engine.logs = LogState.restore(roster, logs, session_key=engine.settings.log_session)
        return engine

    def _inits(self) -> dict[str, Callable[[int], State]]:
        inits: dict[str, Callable[[int], State]] = {"series.pace": pace_init, "series.latest": _latest_init}
        for detector in self.settings.detectors:
            inits[f"series.{detector.name}"] = detector.init
            if detector.name not in EVIDENCE_ONLY:
                inits[f"series.{detector.name}.episodes"] = episodes.init
        inits |= {f"{name}.episodes": episodes.init for name in (HABIT, SURPRISE, DEVICE_SILENCE)}
        return (
            inits
            | {"device.pace": pace_init, "device.scores": surprise.init, "device.latest": _device_init}
            | {"device.past": suspicion.init, "device.budget": budget.init}
        )

    def _make_room(self) -> None:
        for axis, needed in (("series", self.roster.series_count), ("device", len(self.roster.devices))):
            held = self._rooms[axis]
            if needed > held:
                self._rooms[axis] = max(needed, held + held // 2)
                for table, init in self._inits().items():
                    if table.startswith(axis):
                        self._tables[table] = grown(self._tables[table], init(self._rooms[axis] - held))

    def _keep_latest(self, samples: Samples, score: Floats, evidence: Floats) -> None:
        last = np.flatnonzero(np.diff(samples.series, append=-1) != 0)
        series = samples.series[last]
        latest = self._tables["series.latest"]["latest"]
        latest["score"][series] = score[last]
        latest["evidence"][series] = evidence[last]

    def _judge_devices(self, samples: Samples, evidence: Floats, late: Flags, turns: list[Turned]) -> DeviceScores:
        """Rows of devices, their scores, and their episodes into `turns`."""
        roster, devices = self.roster, len(self.roster.devices)
        rows = surprise.rows_of(samples, roster.series_device)
        suspicion.hear(self._tables["device.past"], rows.device, rows.t_ms)
        moments, _ = pace(self._tables["device.pace"], rows.device, rows.t_ms, np.zeros(rows.device.size), keep=True)
        gathered = surprise.gathered(rows, evidence, np.bincount(roster.series_device, minlength=devices))
        members = self.habits.advance(rows, samples, devices, roster.series_count)
        found = surprise.combine(self._tables["device.scores"], rows, gathered, members, moments.interval_s)
        quiet = np.maximum.reduceat(late[rows.order], rows.first) if rows.first.size else np.zeros(0, np.bool_)
        state = np.where(np.isnan(members[:, 0]), 0.0, found.state)
        loud = np.where(quiet, 0.0, np.maximum(state, found.alarm))
        budget.note(self._tables["device.budget"], rows.device, rows.t_ms, loud)
        limit = self.shared.budget.threshold
        for table, score in ((HABIT, state), (SURPRISE, found.alarm)):
            live = np.where(quiet, 0.0, score / limit)
            turns.append((f"{table}.episodes", episodes.fold(self._tables[f"{table}.episodes"], moments, live)))
            hit = np.flatnonzero(live >= episodes.OPEN)
            self._tables["device.latest"]["latest"]["stirred_ms"][rows.device[hit]] = rows.t_ms[hit]
        last = np.flatnonzero(np.diff(rows.device, append=-1) != 0)
        now = np.where(quiet, 0.0, np.maximum(state, found.event)) / limit
        self._tables["device.latest"]["latest"]["score"][rows.device[last]] = now[last]
        return found

    def _fold_silence(self, now_ms: int) -> list[Turned]:
        if SILENCE not in self.settings.detectors:
            return []
        state, device = self._tables["series.silence"], self.roster.series_device
        pace = self._tables["series.pace"]["pace"]
        by_series, by_device, heard_ms = overdue(state, pace, device, now_ms, devices=len(self.roster.devices))
        onset_ms = pace["last_ms"]
        scored = (("series.silence", by_series, onset_ms), (DEVICE_SILENCE, by_device, heard_ms))
        return [
            (f"{table}.episodes", episodes.fold_levels(self._tables[f"{table}.episodes"], score, onset, now_ms=now_ms))
            for table, score, onset in scored
        ]

    def _tide(self) -> tide.Tide:
        """Where tides run, and scores as they stand out of them; of the present advance."""
        roster, seen = self.roster, self._seen
        if seen is None or (seen.series.size, seen.device.size) != (roster.series_count, len(roster.devices)):
            seen = self._seen = tide.run(roster, self._tables, self.shared.cohorts(roster), self.now_ms)
        return seen

    def _teller(self) -> Teller:
        return Teller(self.roster, self._tables, self.habits, self.now_ms)

    def _tell(self, turns: list[Turned]) -> list[Episode]:
        """Episodes that opened or ended; what opens with a tide is muted until it stands out of it."""
        told, now, teller = [], self._tide(), self._teller()
        for table, turned in turns:
            state = self._tables[table]
            for k, row in enumerate(turned.row.tolist()):
                if turned.opened[k] and now.hides(table, row):
                    episodes.mute(state, row)
                    if table in tide.OF_DEVICE:
                        budget.dismiss(self._tables["device.budget"], row)
                elif turned.opened[k] or not episodes.is_muted(state, row):
                    told.append(teller.episode(table, turned, k))
                    self._suspect_episode(table, turned, k)
            if (standing := now.standing_out(table)) is not None:
                surfaced = episodes.surface(state, standing)
                told += [teller.episode(table, surfaced, k) for k in range(surfaced.row.size)]
        return told

    def _suspect_episode(self, table: str, turned: episodes.Turns, k: int) -> None:
        """Hold an episode that ended against the past of its device; for what is open, see `doubts`."""
        if not turned.opened[k] and not table.startswith(HABIT):
            row = int(turned.row[k])
            device = int(self.roster.series_device[row]) if table.startswith("series.") else row
            past = self._tables["device.past"]["past"][device]
            suspicion.mark_episode(past, int(turned.onset_ms[k]), int(turned.at_ms[k]), float(turned.peak[k]))

    def _changed(self) -> tuple[Episode, ...]:
        tables = [table for table in self._tables if table.endswith(".episodes")]
        found = [(table, episodes.grown(self._tables[table])) for table in tables]
        teller = self._teller()
        return tuple(teller.episode(table, turned, k) for table, turned in found for k in range(turned.row.size))

    def _device_latest(self, name: str) -> Floats:
        found: Floats = self._tables["device.latest"]["latest"][name][: len(self.roster.devices)].astype(float)
        return found


def _latest_init(count: int) -> State:
    return {"latest": np.zeros(count, [("score", np.float32), ("evidence", np.float32)])}


def _device_init(count: int) -> State:
    numbers = [(name, np.float32) for name in ("score", "standing", "firmware")]
    latest = np.zeros(count, [*numbers, ("stirred_ms", np.int64)])
    for name in ("score", "standing", "firmware"):
        latest[name] = np.nan
    return {"latest": latest}


__all__ = ["SERIES_DETECTORS", "Engine", "EngineSettings", "Findings"]
