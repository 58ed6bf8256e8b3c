from __future__ import annotations

import numpy as np
import pytest

from gateway.prognosis import passage


def courses(count, *, seed):
    """(age, share gone, end) of units whose wear is a power of age, each in its own time, with noise."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        end, bend = rng.uniform(40.0, 120.0), rng.uniform(0.7, 1.3)
        age = np.arange(1.0, end)
        made.append((age, (age / end) ** bend + rng.normal(0.0, 0.02, age.size), end))
    return made


@pytest.fixture(scope="module")
def model():
    return passage.train(
        [passage.passed(np.append(age, end), np.append(gone, 1.0)) for age, gone, end in courses(6, seed=0)]
    )


def test_the_way_to_the_limit_is_told_for_units_never_seen_within_an_interval_that_holds(model):
    off, held = [], []
    for age, gone, end in courses(20, seed=1):
        late = age > 0.3 * end
        answer, left = model.predict(age[late], gone[late], np.zeros(late.sum())), (end - age)[late]
        off.append(np.abs(np.log(answer.median / left)).mean())
        held.append(((answer.low <= left) & (left <= answer.high)).mean())

    assert np.mean(off) < 0.4
    assert 0.8 <= np.mean(held) <= 1.0


def test_a_unit_that_has_not_begun_its_way_or_goes_another_gets_no_answer(model):
    answer = model.predict(np.array([10.0, 30.0, 3000.0]), np.array([0.01, 0.3, 0.3]), np.zeros(3))

    assert np.isnan(answer.median[[0, 2]]).all()
    assert answer.low[1] < answer.median[1] < answer.high[1]


def test_too_few_units_give_no_model():
    way = passage.Passage(passage.SHARES * 10.0, 0.0, 10.0)

    assert passage.train([way, way]) is None


def test_a_share_is_reached_when_it_was_for_the_first_time_after_the_way_began():
    age, gone = np.array([0.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0]), np.array([0.0, 0.3, 0.0, 0.5, 0.2, 0.6, 1.0])

    way = passage.passed(age, gone)

    assert (way.begun, way.end) == (7.0, 15.0)
    for share, at in ((0.25, 8.0), (0.5, 9.0), (0.8, 14.0)):
        assert np.interp(share, passage.SHARES, way.age) == pytest.approx(at, abs=0.1)


def test_what_is_sound_for_long_before_it_breaks_is_timed_from_where_it_breaks():
    rng, ways = np.random.default_rng(3), []
    for sound in rng.uniform(10.0, 400.0, 8):
        age = np.arange(0.0, sound + 40.0)
        ways.append(passage.passed(age, np.clip((age - sound) / 39.0, 0.0, 1.0)))

    model = passage.train(ways)

    assert not model.from_birth
    assert model.predict(np.array([220.0]), np.array([0.5]), np.array([200.0])).median[0] == pytest.approx(
        20.0, rel=0.1
    )
