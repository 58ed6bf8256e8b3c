"""From a committed block to what the rules say: facts, detectors, logs, forecasts and rules, advanced together.

No clock, no disk, no ledger: live running, replay and benchmarks call the same `advance`, and the same blocks at the
same times give the same transitions. Everything that must outlive a restart is in `snapshot`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gateway.detect.engine import SERIES_DETECTORS, Engine, EngineSettings, Findings
from gateway.detect.precedent import Precedents
from gateway.model import (
    Alert,
    Block,
    Device,
    DeviceId,
    Episode,
    Evidence,
    Floats,
    Forecast,
    Integers,
    Label,
    LogLines,
    Roster,
    Service,
)
from gateway.prognosis import HORIZON_MS, Forecaster, Outlook
from gateway.services.facts import STALE_MS, Column, Facts
from rules import RuleSet, RuleState, Transition, evaluate

Arrays = dict[str, NDArray[np.generic]]
FOREVER_MS = 1 << 52
CHANGE_DETECTORS = tuple(d for d in SERIES_DETECTORS if d.name not in ("stuck", "silence"))
CREEPS_MS = 7 * 86_400_000  # a fault may have been there so long before a person saw it
EPISODES_KEPT = 12  # of a device, newest first: what one ticket can show


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one advance came to."""

    alerts: tuple[Alert, ...]  # firing and resolved; pending ones are nobody's business yet
    findings: Findings


class Judgement:
    """All that is concluded about one fleet. One thread at a time."""

    def __init__(
        self,
        roster: Roster,
        rules: RuleSet,
        *,
        held: Mapping[str, Arrays] | None = None,
        change_rows: bool = False,
        false_alarms_per_week: float | None = None,
        log_session: str = "",
        risk_horizon_ms: int = HORIZON_MS,
    ) -> None:
        """Start, or go on from the parts of a snapshot.

        `change_rows` says that devices send only what changed: then no silence is judged, and values never grow stale.
        `false_alarms_per_week` is the budget of 1,000 devices; None: thresholds stay as they are.
        `log_session` finds what the lines of one session share; empty: there are no sessions.
        `risk_horizon_ms` is how far ahead the risk of failure looks; what was learned for another is learned anew.
        """
        self._ahead = roster  # grows while other threads decode
        self.roster = roster = Roster()
        roster.follow(self._ahead)
        self.rules = rules
        held = held or {}
        settings = EngineSettings(
            detectors=CHANGE_DETECTORS if change_rows else SERIES_DETECTORS,
            false_alarms_per_week=false_alarms_per_week,
            log_session=log_session,
        )
        self.engine = Engine.restore(roster, held["engine"], settings) if "engine" in held else Engine(roster, settings)
        self.forecaster = (
            Forecaster.restore(rules.forecasts, held["forecaster"], roster)
            if "forecaster" in held
            else Forecaster(rules.forecasts)
        )
        self.outlook = (
            Outlook.restore(held["outlook"], roster, horizon_ms=risk_horizon_ms)
            if "outlook" in held
            else Outlook(horizon_ms=risk_horizon_ms)
        )
        self.state = RuleState.restore(held["rules"]) if "rules" in held else RuleState()
        heads = ("score", "episode", "cohort", "log", *(() if change_rows else ("silent_s",)))
        known: dict[str, Column] = dict.fromkeys(heads, self.engine.column)
        known |= {"forecast": self.forecaster.column, "trend": self._trend, "risk": self.outlook.column}
        self.facts = Facts(
            roster,
            known,
            stale_ms=FOREVER_MS if change_rows else STALE_MS,
        )
        self.precedents = Precedents.restore(held["precedents"]) if "precedents" in held else Precedents()
        seen = held["labels"]["seen"] if "labels" in held else np.zeros(2, np.int64)
        self.labels_seen, self.service_seen = int(seen[0]), int(seen[1])  # numbers of the newest that were learned
        self._episodes: dict[str, list[Episode]] = {}
        if "facts" in held:
            self.facts.restore(held["facts"])
            self.facts.now_ms = self.engine.now_ms
            self._episodes = _read_episodes(held["episodes"]["json"])

    def advance(self, block: Block, now_ms: int) -> Verdict:
        """Take one block in and judge the whole fleet at `now_ms`."""
        self.roster.follow(self._ahead)
        self.facts.update(block, now_ms)
        findings = self.engine.advance(block, now_ms)
        self._keep((*findings.opened, *findings.changed, *findings.closed))
        self.precedents.note((*findings.opened, *findings.changed), now_ms, self.roster)
        self.forecaster.advance(block, self.roster, now_ms)
        self.outlook.advance(block, self.roster, now_ms, codes=self.engine.logs.warnings)
        types = [None if device.revoked else device.type for device in self.roster.devices]
        self.state, transitions = evaluate(
            self.rules, self.state, column=self.facts.column, device_type=types, now_ms=now_ms
        )
        for t in transitions:
            if t.state != "pending":
                self.engine.suspect(t.device, t.since_ms, t.at_ms)
        return Verdict(tuple(self._alert(t) for t in transitions if t.state != "pending"), findings)

    def tick(self, now_ms: int) -> Verdict:
        """Judge again where nothing came: silence grows, and rules wait for time to pass."""
        return self.advance(_nothing(now_ms), now_ms)

    def told(self, label: Label) -> None:
        """Learn what a person found of an incident: a failure to foresee, or ordinary life after all.

        What was said of the same incident before is taken back.
        """
        device = self.roster.device(label.device_id)
        if device is None:
            return
        if label.before_ms is not None:
            self.outlook.taken_back(device.number, label.before_ms)
            self.engine.logs.ahead.taken_back(device.number, label.before_ms)
            self.precedents.taken_back(device.device_id, label.before_ms, self.roster)
        if label.outcome == "confirmed":
            self.failed(np.array([device.number]), np.array([label.at_ms]), (label.cause,))
            self.engine.suspect(device.number, label.opened_ms - CREEPS_MS, label.at_ms)
        elif label.outcome in {"false_alarm", "no_fault_found"}:
            since_ms = label.opened_ms if label.before_ms is None else label.opened_ms - CREEPS_MS
            self.engine.suspect(device.number, since_ms, label.at_ms, suspect=False)

    def failed(self, device: Integers, t_ms: Integers, causes: Sequence[str]) -> None:
        """Learn of failures that have come out: (failures,) device numbers, times and causes, "" where unknown."""
        self.outlook.failed(device, t_ms, causes)
        self.engine.logs.ahead.failed(device, t_ms)
        for number, at_ms, cause in zip(device.tolist(), t_ms.tolist(), causes, strict=True):
            self.engine.suspect(number, at_ms - CREEPS_MS, at_ms)
            self.precedents.failed(self.roster.devices[number].device_id, at_ms, cause, self.roster)

    def look_back(self, now_ms: int) -> None:
        """Learn from what has come of log lines and episodes by now. For a job, not for the hot path."""
        self.engine.logs.ahead.learn(now_ms)
        self.precedents.sweep(now_ms, self.roster)

    def served(self, device: Integers, t_ms: Integers, component: str) -> None:
        """Learn of service of one component: (records,) device numbers and times, by time."""
        self.outlook.served(device, t_ms, component)

    def noted(self, record: Service) -> None:
        """Learn of a service record; a part that had failed by then is a failure as well."""
        device = self.roster.device(record.device_id)
        if device is not None:
            at = np.array([device.number]), np.array([record.at_ms])
            self.served(*at, record.component)
            if record.failed:
                self.failed(*at, (record.component,))

    def gone(self, device: Integers, t_ms: Integers) -> None:
        """Learn which devices were taken out of service, as revoked ones are: (departures,) numbers and times."""
        self.outlook.gone(device, t_ms)

    def alarmed(self) -> set[int]:
        """Numbers of the devices on which any rule fires."""
        return {n for rule in self.rules.rules for n in self.state.firing(rule.alert).tolist()}

    def evidence(self, device: Device, rule_name: str, *, log_tail: tuple[tuple[int, str, str], ...] = ()) -> Evidence:
        """What a ticket of this device and rule shows."""
        rule = self.rules.rule(rule_name)
        value_of = self.value_of(device)
        episodes = self.episodes(device.device_id)
        forecasts = self.forecasts(device.device_id)
        charts = rule.charts if rule else ()
        why = [rule.explanation(value_of)] if rule else []
        why += [f.reason for f in forecasts if (f.metric in charts or not f.metric) and f.reason]
        why += [e.reason for e in episodes[:3] if e.reason and e.end_ms is None]
        why += self.engine.logs.outlook(device.number)
        return Evidence(
            facts=self.facts.newest(device.number),
            episodes=episodes,
            forecasts=forecasts,
            charts=tuple(charts),
            log_tail=log_tail,
            firmware=device.firmware,
            why=" ".join(dict.fromkeys(_sentence(w) for w in why)),
        )

    def _trend(self, name: str) -> Floats | None:
        """The slope of a metric: of its forecast's line where there is one, else as drift sees it."""
        known = self.forecaster.column(name)
        return self.engine.column(name) if known is None else known

    def value_of(self, device: Device) -> _Values:
        """The facts of one device, by name."""
        return _Values(self.facts, device.number)

    def episodes(self, device_id: str) -> tuple[Episode, ...]:
        """The newest episodes of a device, newest first, with what others of its model do and what came of the like."""
        held = self._episodes.get(device_id, ())
        return tuple(self.engine.as_of_now(episode, self.precedents.of(episode, self.roster)) for episode in held)

    def forecasts(self, device_id: str) -> tuple[Forecast, ...]:
        """What can be said of a device's future now."""
        device = self.roster.device(device_id)
        if device is None:
            return ()
        now_ms, only = self.facts.now_ms, device.number
        return (*self.forecaster.forecasts(now_ms, only=only), *self.outlook.forecasts(now_ms, only=only))

    def snapshot(self) -> dict[str, Arrays]:
        """Everything that must outlive a restart, as named arrays by part."""
        return {
            "engine": dict(self.engine.snapshot()),
            "forecaster": dict(self.forecaster.snapshot()),
            "outlook": dict(self.outlook.snapshot()),
            "rules": dict(self.state.snapshot()),
            "facts": dict(self.facts.snapshot()),
            "precedents": self.precedents.snapshot(),
            "labels": {"seen": np.array([self.labels_seen, self.service_seen])},
            "episodes": {"json": _write_episodes(self._episodes)},
        }

    def _keep(self, episodes: Iterable[Episode]) -> None:
        for episode in episodes:
            held = self._episodes.setdefault(episode.device_id, [])
            key = (episode.metric, episode.detector, episode.onset_ms)
            told = [e for e in held if (e.metric, e.detector, e.onset_ms) == key]
            usual = told[0].expected if told else episode.expected  # when it began
            held[:] = [e for e in held if e not in told]
            held.insert(0, replace(episode, expected=usual))
            held.sort(key=lambda e: (e.end_ms is not None, -e.onset_ms, e.metric, e.detector))
            del held[EPISODES_KEPT:]

    def _alert(self, transition: Transition) -> Alert:
        rule = self.rules.rule(transition.rule)
        return Alert(
            rule=transition.rule,
            device_id=self.roster.devices[transition.device].device_id,
            state=transition.state,
            at_ms=transition.at_ms,
            since_ms=transition.since_ms,
            severity=rule.severity if rule else "warning",
            value=None if np.isnan(transition.value) else transition.value,
            cause=rule.cause if rule else "",
        )


@dataclass(frozen=True, slots=True)
class _Values:
    facts: Facts
    device: int

    def __call__(self, name: str) -> float:
        return float(self.facts.column(name)[self.device])


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else text + "."


def _nothing(now_ms: int) -> Block:
    empty = np.empty(0, np.int64)
    return Block(
        window=0, received_ms=now_ms, series=empty, t_ms=empty, value=np.empty(0), late=np.empty(0, np.bool_),
        logs=LogLines.none(),
    )  # fmt: skip


def _write_episodes(held: Mapping[str, list[Episode]]) -> NDArray[np.generic]:
    rows = [{name: getattr(e, name) for name in Episode.__slots__} for es in held.values() for e in es]
    return np.frombuffer(json.dumps(rows).encode(), np.uint8)


def _read_episodes(array: NDArray[np.generic]) -> dict[str, list[Episode]]:
    held: dict[str, list[Episode]] = {}
    for row in json.loads(array.tobytes()):
        held.setdefault(DeviceId(row["device_id"]), []).append(Episode(**row))
    return held
