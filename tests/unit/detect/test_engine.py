"""The engine over whole fleets: restarts, late samples, silence, facts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gateway.detect.engine import Engine, Findings
from gateway.model import Block, Episode
from tests.unit.detect.fleet import MINUTE_MS, START_MS, block, fleet

STEP_MS = 5 * MINUTE_MS
ROWS = 288


def values(series: int, rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(20.0, 1.0, size=(series, rows))


def play(engine: Engine, given: np.ndarray, *, size: int = ROWS, first: int = 0) -> list[Findings]:
    found = []
    for k in range(0, given.shape[1], size):
        start_ms = START_MS + (first + k) * STEP_MS
        part = block(given[:, k : k + size], window=k + 1, start_ms=start_ms)
        found.append(engine.advance(part, start_ms + part.t_ms.size // max(given.shape[0], 1) * STEP_MS - STEP_MS))
    return found


def opened(found: list[Findings]) -> list[Episode]:
    return [episode for findings in found for episode in findings.opened]


def test_a_restart_in_the_middle_changes_nothing() -> None:
    roster, given = fleet(10), values(20, 6 * ROWS)
    given[4, 1_200:] += 12.0
    rows = np.random.default_rng(1).normal(20.0, 1.0, size=(400, 2))
    engine = Engine(roster)
    engine.train(2, np.array([4, 5]), rows, np.zeros(400, np.bool_))
    play(engine, given[:, : 3 * ROWS])

    restored = Engine.restore(roster, engine.snapshot())
    one = play(engine, given[:, 3 * ROWS :], first=3 * ROWS)
    two = play(restored, given[:, 3 * ROWS :], first=3 * ROWS)

    assert opened(one)
    for a, b in zip(one, two, strict=True):
        assert (a.opened, a.changed, a.closed) == (b.opened, b.changed, b.closed)
        np.testing.assert_array_equal(a.rows.state, b.rows.state)
        np.testing.assert_array_equal(a.rows.alarm, b.rows.alarm)


def test_how_samples_are_cut_into_blocks_changes_no_score() -> None:
    given = values(4, 2 * ROWS)
    given[1, 400:] += 9.0
    large = play(Engine(fleet(2)), given)
    small = play(Engine(fleet(2)), given, size=ROWS // 4)

    for name in ("state", "event", "alarm"):
        one = np.concatenate([getattr(f.rows, name)[f.rows.device == 0] for f in large])
        two = np.concatenate([getattr(f.rows, name)[f.rows.device == 0] for f in small])
        np.testing.assert_array_equal(one, two)


def test_a_device_scores_alone_as_it_does_in_the_fleet() -> None:
    given = values(6, 2 * ROWS)
    given[2, 300:] += 15.0
    among = play(Engine(fleet(3)), given)
    alone = play(Engine(fleet(1)), given[2:4])

    one = np.concatenate([f.rows.event[f.rows.device == 1] for f in among])
    two = np.concatenate([f.rows.event for f in alone])
    np.testing.assert_array_equal(one, two)


def test_late_samples_raise_no_episode_and_repeats_change_nothing() -> None:
    roster, given = fleet(1, ("a",)), values(1, 3 * ROWS)
    engine = Engine(roster)
    play(engine, given)
    wild = block(np.full((1, 50), 500.0), window=9, start_ms=START_MS + 3 * ROWS * STEP_MS)
    late = engine.advance(replace(wild, late=np.ones(50, np.bool_)), int(wild.t_ms[-1]))
    held = engine.snapshot()

    again = engine.advance(wild, int(wild.t_ms[-1]))

    assert not late.opened
    assert not again.opened
    for name, array in engine.snapshot().items():
        assert array.tobytes() == held[name].tobytes(), name


def test_silence_is_told_as_the_clock_goes_on_and_ends_with_the_next_sample() -> None:
    roster, given = fleet(2), values(4, ROWS)
    engine = Engine(roster)
    play(engine, given)
    end_ms = START_MS + ROWS * STEP_MS
    nothing = block(given[:, :0].reshape(4, 0)) if False else _nothing(end_ms)

    quiet = engine.advance(nothing, end_ms + 2 * 3_600_000)
    back = engine.advance(block(values(2, 3), start_ms=end_ms + 3 * 3_600_000), end_ms + 3 * 3_600_000 + 2 * STEP_MS)

    assert [(e.device_id, e.metric, e.detector) for e in quiet.opened] == [("d0", "", "silence"), ("d1", "", "silence")]
    assert [e.device_id for e in back.closed if e.detector == "silence"] == ["d0"]
    assert engine.column("silent_s")[1] > 3 * 3_600


def test_a_metric_that_falls_silent_on_a_talking_device_is_told_by_its_name() -> None:
    roster, given = fleet(1), values(2, 2 * ROWS)
    given[1, ROWS:] = np.nan

    found = opened(play(Engine(roster), given, size=12))

    assert [(e.metric, e.detector) for e in found if e.detector == "silence"] == [("b", "silence")]


def test_facts_are_nan_where_nothing_is_known() -> None:
    engine = Engine(fleet(3))

    for name in ("score.a", "score.device", "silent_s", "trend.a_per_day", "cohort.score", "no.such", "score.none"):
        column = engine.column(name)
        assert column.shape == (3,)
        assert name in {"score.a"} or np.isnan(column).all()


def test_the_trend_of_a_ramp_is_its_slope() -> None:
    engine = Engine(fleet(1, ("a",)))
    days = np.arange(20 * ROWS) / ROWS
    play(engine, (10.0 + 0.5 * days)[None, :])

    assert engine.column("trend.a_per_day")[0] == pytest.approx(0.5, rel=0.15)


def test_the_facts_of_an_episode_say_since_when() -> None:
    given = values(1, 5 * ROWS)
    given[0, 4 * ROWS :] += 15.0
    engine = Engine(fleet(1, ("a",)))

    found = opened(play(engine, given, size=36))

    level = [e for e in found if e.detector == "level"]
    assert level
    assert level[0].onset_ms == START_MS + 4 * ROWS * STEP_MS
    assert level[0].expected == pytest.approx(20.0, abs=1.0)
    assert "usual" in level[0].reason
    assert engine.column("episode.a_s")[0] >= 3_600.0


def _nothing(now_ms: int) -> Block:
    empty = np.empty(0, np.int64)
    return Block(window=99, received_ms=now_ms, series=empty, t_ms=empty, value=np.empty(0), late=np.empty(0, np.bool_))
