"""Habits of devices: what they see, how they are replaced, and that company changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.detect import habit, lesson, suspicion
from gateway.detect.cohort import learn
from gateway.detect.engine import Engine
from gateway.detect.habits import Habits
from gateway.detect.unlike import unlike
from tests.unit.detect.fleet import START_MS, block, fleet

STEP_MS = 300_000


def rows(count: int, seed: int = 0) -> np.ndarray:
    """Three metrics of one device, the third the sum of the others and some noise."""
    rng = np.random.default_rng(seed)
    load = np.cumsum(rng.normal(size=count)) * 0.1
    heat = 20.0 + rng.normal(size=count)
    return np.stack([load, heat, load + heat + 0.05 * rng.normal(size=count)], axis=1)


def clean(count: int) -> np.ndarray:
    return np.zeros(count, np.bool_)


def state_of(engine: Engine, given: np.ndarray) -> np.ndarray:
    return engine.advance(block(given.T), START_MS + given.shape[0] * STEP_MS).rows.state


def test_a_broken_relation_is_seen_though_every_metric_is_in_its_range() -> None:
    given = rows(2_000)
    engine = Engine(fleet(1, ("load", "heat", "sum")))
    engine.train(0, np.arange(3), given[:1_500], clean(1_500))
    given[1_800:, 2] = given[1_800:, 2].mean()

    state = state_of(engine, given[1_500:])

    assert state[:250].max() < 0.5
    assert np.median(state[350:]) > 2.0 * state[:250].max()


def test_too_few_rows_teach_nothing_and_a_device_without_habit_is_judged_by_its_series() -> None:
    engine = Engine(fleet(1, ("load", "heat", "sum")))

    verdict = engine.train(0, np.arange(3), rows(100), clean(100))

    assert (verdict.adopted, verdict.reason, verdict.version) == (False, "too_few_rows", 0)
    assert np.isfinite(state_of(engine, rows(50))).all()


def test_suspected_rows_are_not_learned() -> None:
    given = rows(2_000)
    sick = given.copy()
    sick[500:1_000] += 50.0
    suspect = np.zeros(2_000, np.bool_)
    suspect[500:1_000] = True

    one, two = habit.train(sick, suspect), habit.train(given[~suspect], clean(1_500))

    assert one is not None
    np.testing.assert_array_equal(one, two)


def test_a_challenger_that_has_learned_a_fault_is_refused_and_the_champion_stays() -> None:
    given, habits = rows(2_000), Habits()
    assert habits.train(0, np.arange(3), given, clean(2_000)).adopted
    blunt = rows(2_000, seed=0)
    blunt[:1_500:2] *= 40.0  # half of what it learns from is absurd; what it is tested on is not

    verdict = habits.train(0, np.arange(3), blunt, clean(2_000))

    assert (verdict.adopted, verdict.version) == (False, 1)
    assert verdict.reason == "blinder"


def test_a_better_habit_replaces_the_former_and_can_be_rolled_back() -> None:
    habits = Habits()
    habits.train(0, np.arange(3), rows(600), clean(600))
    first = habits.champion[0].vector.copy()

    assert habits.train(0, np.arange(3), rows(3_000), clean(3_000)).version == 2
    assert habits.roll_back(0) == 1

    np.testing.assert_array_equal(habits.champion[0].vector, first)
    assert habits.roll_back(0) == 0


def test_habits_of_others_change_no_score() -> None:
    given = rows(1_000)
    alone = Engine(fleet(1, ("load", "heat", "sum")))
    alone.train(0, np.arange(3), given, clean(1_000))
    among = Engine(fleet(2, ("load", "heat", "sum")))
    among.train(0, np.arange(3), given, clean(1_000))
    among.train(1, np.arange(3, 6), rows(1_000, seed=4), clean(1_000))
    both = np.concatenate([given, rows(1_000, seed=5)], axis=1)

    one = state_of(alone, given)
    found = among.advance(block(both.T), START_MS + 1_000 * STEP_MS).rows

    np.testing.assert_array_equal(found.state[found.device == 0], one)


def test_a_standing_does_not_depend_on_the_other_rows_of_the_call() -> None:
    level = np.random.default_rng(0).normal(50.0, 1.0, size=(60, 4))
    baseline = learn(level, np.arange(4))
    assert baseline is not None
    assert baseline.model is not None

    together = baseline.score(np.concatenate([level, np.full((30, 4), 500.0)]))[:60]
    one_by_one = np.concatenate([baseline.score(level[k : k + 1]) for k in range(60)])

    np.testing.assert_allclose(together, one_by_one, rtol=1e-12)


@pytest.mark.parametrize("metrics", [2, 5, 38])
def test_a_metric_that_is_missing_counts_as_usual(metrics: int) -> None:
    given = np.random.default_rng(1).normal(size=(800, metrics))
    vector = habit.train(given, clean(800))
    assert vector is not None
    motion, out = np.full((4, metrics), np.nan), np.zeros(habit.MEMBERS)

    habit.judge(np.full(metrics, np.nan), motion, vector, out)

    assert np.isfinite(out).all()
    assert out[habit.SLOW] < -np.log(habit.SHARES[-1])


def test_known_conditions_stay_where_they_were_learned_however_long_a_new_one_lasts() -> None:
    given = rows(2_000)
    vector = habit.train(given, clean(2_000))
    assert vector is not None
    motion, out = np.full((4, 3), np.nan), np.zeros((6_000, habit.MEMBERS))
    lasting = np.tile(given[1_000:], (6, 1))
    lasting[:, 2] += 2.0

    for i in range(6_000):
        habit.judge(lasting[i], motion, vector, out[i])

    early, late = np.median(out[100:1_000], axis=0), np.median(out[5_000:], axis=0)
    assert (late[: habit.FAST] > 0.9 * early[: habit.FAST]).all()
    assert late[habit.SLOW] < early[habit.SLOW]


def test_stored_samples_become_rows_with_each_metric_at_its_last_value() -> None:
    one = (np.array([10, 20, 30]), np.array([1.0, 2.0, 3.0]))
    two = (np.array([15, 30]), np.array([7.0, 8.0]))

    t_ms, found = habit.aligned([one, two])

    np.testing.assert_array_equal(t_ms, [10, 15, 20, 30])
    np.testing.assert_array_equal(found, [[1.0, np.nan], [1.0, 7.0], [2.0, 7.0], [3.0, 8.0]])
    assert habit.aligned([one, two], limit=2)[0].tolist() == [10, 30]


def test_between_two_steps_a_row_keeps_the_verdict_of_the_step() -> None:
    given, habits = rows(1_000), Habits()
    habits.train(0, np.arange(3), given, clean(1_000), step_ms=2 * STEP_MS)
    every = Habits()
    every.train(0, np.arange(3), given, clean(1_000))
    engine, sparse = Engine(fleet(1, ("load", "heat", "sum"))), Engine(fleet(1, ("load", "heat", "sum")))
    engine.habits, sparse.habits = habits, every

    found = state_of(engine, given)
    alone = sparse.advance(block(given[::2].T, interval_ms=2 * STEP_MS), START_MS + 1_000 * STEP_MS).rows.state

    np.testing.assert_allclose(found[2::2], found[3::2], rtol=1e-6)
    np.testing.assert_allclose(found[4::2], alone[2:], rtol=0.1)  # the longer interval has a lower limit


def test_what_only_rises_stands_still_or_wanders_off_has_no_habit() -> None:
    rng = np.random.default_rng(2)
    count = 2_000
    given = np.stack(
        [
            rng.normal(size=count),
            np.cumsum(rng.random(count) < 0.01),  # a counter
            np.full(count, 3.0),
            np.linspace(0.0, 12.0, count) + rng.normal(size=count),  # a level that leaves
            np.where(rng.random(count) < 0.8, np.nan, 1.0) * rng.normal(size=count),  # hardly ever known
            np.sin(np.arange(count) / 46.0),
        ],
        axis=1,
    )

    np.testing.assert_array_equal(lesson.settled(given), [True, False, False, False, False, True])


def test_a_first_habit_that_does_not_keep_its_promise_is_refused() -> None:
    given = rows(2_000)
    given[1_700:] += 30.0  # the newest rows, on which it is tried

    kept = lesson.challenge(None, np.arange(3), given, clean(2_000), prove=True)
    freed = lesson.challenge(None, np.arange(3), given, np.arange(2_000) >= 1_700, prove=True)

    assert (kept.reason, kept.habit) == ("noisier", None)
    assert freed.reason == "first"


def test_a_habit_is_tempered_by_what_it_has_not_seen() -> None:
    given = rows(2_000)
    given[1_600:, 2] += 0.25 * np.sin(np.arange(400) / 20.0)  # a relation that is looser than it was

    calm = lesson.challenge(None, np.arange(3), rows(2_000), clean(2_000), prove=True).habit
    loose = lesson.challenge(None, np.arange(3), given, clean(2_000), prove=True).habit

    assert calm is not None
    assert loose is not None
    assert loose.temper > 1.1 * calm.temper >= 1.1


def test_the_metric_that_broke_away_is_named_with_the_value_that_would_fit() -> None:
    given = rows(1_500)
    engine = Engine(fleet(1, ("load", "heat", "sum")))
    engine.train(0, np.arange(3), given, clean(1_500))
    given[-60:, 2] += 15.0

    state_of(engine, given[-200:])
    column, value, fits = unlike(engine.habits.champion[0].vector, engine.habits.motion[0])[0]

    assert column == 2
    assert value == pytest.approx(given[-20:, 2].mean(), abs=1.5)
    assert fits == pytest.approx(given[-20:, :2].sum(axis=1).mean(), abs=1.5)


def test_suspicion_remembers_four_weeks_and_forgets_what_is_older() -> None:
    past = suspicion.init(1)["past"][0]
    hour = suspicion.HOUR_MS
    suspicion.mark(past, 1_000 * hour, 1_010 * hour)
    suspicion.mark(past, 1_005 * hour, 1_006 * hour, suspect=False)
    suspicion.mark_episode(past, 1_100 * hour, 1_400 * hour, 2.0)
    suspicion.mark_episode(past, 1_450 * hour, 1_460 * hour, 1.1)

    def suspect() -> list[int]:
        doubts = suspicion.Doubts(int(past["last_h"]), past["bits"].copy())
        return np.flatnonzero(doubts.cover(np.arange(2_000) * hour)).tolist()

    assert suspect() == [*range(1_000, 1_005), *range(1_007, 1_011), *range(1_100, 1_173)]
    suspicion.mark(past, 1_700 * hour, 1_700 * hour)
    assert suspect() == [*range(1_100, 1_173), 1_700]
    suspicion.mark(past, 1_900 * hour, 1_900 * hour)
    assert suspect() == [1_700, 1_900]


def test_those_that_wait_longest_are_due_first() -> None:
    state, day = suspicion.init(4), 86_400_000
    suspicion.hear(state, np.array([0, 0, 1, 2]), np.array([5 * day, 6 * day, 1 * day, 2 * day]))
    state["past"]["tried_ms"][2] = 15 * day
    heard = np.array([20, 20, 20, -1]) * day

    def due(now: int) -> list[int]:
        return suspicion.due(state, heard, now * day, every_ms=7 * day, young_ms=14 * day).tolist()

    assert due(14) == []
    assert due(16) == [1]
    assert due(22) == [1, 0, 2]
    state["past"]["tried_ms"][:3] = 21 * day
    assert due(60) == []  # silent since
