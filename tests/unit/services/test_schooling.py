"""Schooling: habits learned from the store while turns go on, and in replay from what has passed."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

import rules
from gateway.errors import TryLater
from gateway.ledger import registry
from gateway.model import Block, Device, DeviceId, Label, Roster
from gateway.services import schooling
from gateway.services.judgement import Judgement
from gateway.services.recording import open_recording
from gateway.services.replay import Replayed, replay
from gateway.services.schooling import Passed, Schooling
from tests.unit.services.house import DAY, HOUR, T0, House

RULES = """
rules:
  - alert: Odd
    expr: score.device >= 1
    for: 6h
    severity: warning
    cause: odd
    ticket: {priority: low, title: "Unlike itself"}
  - alert: TooHot
    expr: heat_celsius > 90
    severity: warning
    cause: heat
    ticket: {priority: low, title: "Too hot"}
"""
STEP = 30 * 60_000
DAYS = 20


def ruleset(folder: Path) -> rules.RuleSet:
    (folder / "rules.yaml").write_text(RULES)
    return rules.load([folder / "rules.yaml"])


def roster() -> Roster:
    found = Roster()
    for number in range(2):
        found.put_device(Device(device_id=DeviceId(f"d{number}"), number=number, type="pump"))
        for name in ("load_watts", "heat_celsius"):
            found.series(number, found.metric(name))
    return found


def values(count: int, *, broken: int | None = None) -> np.ndarray:
    """(4, count): heat follows load on both devices, but on device 0 no more from `broken` on."""
    rng = np.random.default_rng(5)
    load = 500.0 + 200.0 * np.sin(np.arange(count) / 7.6) + 20.0 * rng.normal(size=(2, count))
    heat = 20.0 + load / 25.0 + 0.3 * rng.normal(size=(2, count))
    if broken is not None:
        heat[0, broken:] = heat[0].mean() - (load[0, broken:] - 500.0) / 25.0
    return np.stack([load[0], heat[0], load[1], heat[1]])


def blocks(given: np.ndarray) -> list[Block]:
    """One block a day."""
    size = DAY // STEP
    found = []
    for day in range(given.shape[1] // size):
        t_ms = T0 + (np.arange(size) + day * size) * STEP
        found.append(
            Block(
                window=day + 1, received_ms=int(t_ms[-1]), series=np.repeat(np.arange(4), size), t_ms=np.tile(t_ms, 4),
                value=given[:, day * size : (day + 1) * size].ravel(), late=np.zeros(4 * size, np.bool_),
            )
        )  # fmt: skip
    return found


@pytest.fixture
def grown_up(tmp_path: Path) -> tuple[Judgement, Passed]:
    """A judgement and what has passed, after twenty days."""
    judgement, passed = Judgement(roster(), ruleset(tmp_path)), Passed(Schooling().past_ms)
    for block in blocks(values(DAYS * DAY // STEP)):
        judgement.advance(block, block.received_ms)
        passed.keep(block)
    passed.gather(np.arange(4))
    return judgement, passed


def run(judgement: Judgement, past: schooling.Past, **settings) -> str:
    return Schooling(**settings).run(judgement, past, turn=nullcontext(), stopping=lambda: False)


def test_those_that_are_due_are_taught_once_and_again_when_their_time_has_come(grown_up) -> None:
    judgement, passed = grown_up

    assert run(judgement, passed) == "2 first"
    assert run(judgement, passed) == "no habit is due"
    assert {n: h.version for n, h in judgement.engine.habits.champion.items()} == {0: 1, 1: 1}

    judgement.engine.now_ms += 8 * DAY
    assert run(judgement, passed) == "no habit is due"  # nobody was heard since


def test_a_run_ends_with_its_budget_and_the_next_goes_on(grown_up, monkeypatch: pytest.MonkeyPatch) -> None:
    judgement, passed = grown_up
    clock = iter(range(100))
    monkeypatch.setattr(schooling.time, "monotonic", lambda: float(next(clock)))

    assert run(judgement, passed, budget_s=1.5) == "1 first, 1 left for the next run"
    assert run(judgement, passed, budget_s=1.5) == "1 first"


def test_a_store_that_is_busy_ends_the_run_and_nothing_is_lost(grown_up) -> None:
    judgement, passed = grown_up

    class Busy:
        def range(self, series: int, start_ms: int, end_ms: int):
            raise TryLater("store_busy", "compacting")

    assert run(judgement, Busy()) == "1 store busy"
    assert run(judgement, passed) == "2 first"


def test_a_device_under_an_alarm_waits(grown_up) -> None:
    judgement, passed = grown_up
    last = judgement.engine.now_ms
    hot = Block(
        window=DAYS + 1, received_ms=last + STEP, series=np.array([1]), t_ms=np.array([last + STEP]),
        value=np.array([95.0]), late=np.zeros(1, np.bool_),
    )  # fmt: skip
    judgement.advance(hot, last + STEP)

    assert judgement.alarmed() == {0}
    assert run(judgement, passed) == "1 first"
    assert list(judgement.engine.habits.champion) == [1]


def label(device_id: str, outcome: str, opened_ms: int, at_ms: int, before_ms: int | None = None) -> Label:
    return Label(
        number=1, device_id=device_id, opened_ms=opened_ms, at_ms=at_ms, outcome=outcome, before_ms=before_ms
    )  # fmt: skip


def test_what_rules_episodes_and_people_suspect_is_not_learned_and_what_they_clear_is(grown_up) -> None:
    judgement, _ = grown_up
    now = judgement.engine.now_ms
    hours = np.arange(now - 12 * DAY, now, HOUR)

    def suspected() -> int:
        return int(judgement.engine.doubts(1).cover(hours).sum())

    before = suspected()
    judgement.told(label("d1", "confirmed", now - DAY, now))
    assert suspected() >= before + 6 * 24
    assert judgement.outlook._kept.failures.tolist() == [[1, now]]
    judgement.told(label("d1", "false_alarm", now - 20 * DAY, now))
    assert suspected() == 0
    judgement.told(label("gone", "confirmed", now - DAY, now))


def test_a_confirmation_that_is_corrected_is_no_failure_and_one_that_is_said_again_is_one(grown_up) -> None:
    judgement, _ = grown_up
    now = judgement.engine.now_ms
    judgement.told(label("d1", "confirmed", now - DAY, now))
    judgement.told(label("d1", "confirmed", now - DAY, now + HOUR, before_ms=now))
    assert judgement.outlook._kept.failures.tolist() == [[1, now + HOUR]]

    judgement.told(label("d1", "no_fault_found", now - DAY, now + DAY, before_ms=now + HOUR))

    assert judgement.outlook._kept.failures.size == 0
    assert judgement.outlook.lesson(now + 90 * DAY).examples.left.min() == np.inf
    assert judgement.engine.logs.ahead._failures == []
    hours = np.arange(now - 12 * DAY, now, HOUR)
    assert not judgement.engine.doubts(1).cover(hours).any()


def test_a_lesson_survives_a_restart_and_scores_go_on_the_same(grown_up, tmp_path: Path) -> None:
    judgement, passed = grown_up
    run(judgement, passed)
    restored = Judgement(roster(), ruleset(tmp_path), held=judgement.snapshot())
    more = blocks(values((DAYS + 4) * DAY // STEP, broken=(DAYS + 2) * DAY // STEP))[DAYS:]

    one = [judgement.advance(block, block.received_ms) for block in more]
    two = [restored.advance(block, block.received_ms) for block in more]

    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.findings.rows.state, b.findings.rows.state)
        assert a.alerts == b.alerts
    assert judgement.engine.column("score.device")[0] > 1.0 > judgement.engine.column("score.device")[1]
    assert judgement.engine.due(judgement.engine.now_ms, every_ms=7 * DAY, young_ms=0).size == 0


def test_the_past_of_a_replay_is_what_has_passed_and_no_more() -> None:
    passed = Passed(3 * DAY)
    for block in blocks(values(6 * DAY // STEP)):
        passed.keep(block)
    passed.gather(np.array([1, 3]))
    size = DAY // STEP

    t_ms, value = passed.range(3, 0, 1 << 60)
    some, _ = passed.range(1, T0 + 4 * DAY, T0 + 5 * DAY)

    assert t_ms.size == value.size == 4 * size  # three days and the one that reaches into them
    np.testing.assert_array_equal(value, values(6 * DAY // STEP)[3, 2 * size :])
    assert (some.min(), some.size) == (T0 + 4 * DAY, size)
    assert passed.range(2, 0, 1 << 60)[0].size == 0


def recorded(folder: Path) -> Path:
    given = values((DAYS + 10) * DAY // STEP, broken=(DAYS + 5) * DAY // STEP)
    folder.mkdir()
    (folder / "fleet.json").write_text(json.dumps({"name": "two pumps", "window_ms": 6 * HOUR}))
    (folder / "registry.csv").write_text("device,type\nd0,pump\nd1,pump\n")
    lines = [
        f"d{n},{T0 + k * STEP},{given[2 * n, k]:.3f},{given[2 * n + 1, k]:.3f}\n"
        for n in range(2)
        for k in range(given.shape[1])
    ]
    (folder / "telemetry.csv").write_text("device,t_ms,load_watts,heat_celsius\n" + "".join(lines))
    return folder


def test_a_replay_learns_habits_on_event_time_and_says_what_is_unlike_them(tmp_path: Path) -> None:
    folder, library = recorded(tmp_path / "fleet"), ruleset(tmp_path)
    broken_ms = T0 + (DAYS + 5) * DAY

    def played() -> Replayed:
        return replay(open_recording(folder), library)

    one, two = played(), played()

    assert json.dumps(one.as_json()) == json.dumps(two.as_json())
    late = [t for t in one.tickets if t.opened_ms >= broken_ms]
    assert [t.device_id for t in late] == ["d0"]
    assert late[0].opened_ms < broken_ms + DAY
    reasons = [e.reason for e in late[0].evidence.episodes if e.detector == "habit"]
    assert any("unlike its own past: heat_celsius has been" in reason for reason in reasons)
    assert not [t for t in one.tickets if t.opened_ms < broken_ms]


def test_the_job_learns_from_the_store_and_waits_while_the_past_is_played(house: House) -> None:
    given = values(DAYS * DAY // STEP)
    numbers = [house.roster.series(0, house.roster.metric(name)) for name in ("load_watts", "flow_ratio")]
    registry.save_new_series(house.engine, house.roster, from_series=0, from_metric=0)
    for block in blocks(given):
        mine = block.series < 2
        part = Block(
            window=block.window, received_ms=block.received_ms, series=np.array(numbers)[block.series[mine]],
            t_ms=block.t_ms[mine], value=block.value[mine], late=block.late[mine],
        )  # fmt: skip
        house.store.append(part, [])
        house.turn.advance(part, wall_ms=block.received_ms)
        if block.window == 1:
            house.turn.clock.live = False
            assert house.turn.learn_habits(Schooling()) == "the past is still being played"
            house.turn.clock.live = True

    assert house.turn.learn_habits(Schooling()) == "1 first"
