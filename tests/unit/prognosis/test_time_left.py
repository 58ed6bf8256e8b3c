from __future__ import annotations

import numpy as np
import pytest

from gateway.prognosis import time_left


def engines(count, *, seed, cap=60.0):
    """Units that wear ever faster under two changing conditions; sensors show the condition and, late, the wear."""
    rng = np.random.default_rng(seed)
    parts = []
    for unit in range(count):
        life = int(rng.integers(80, 160))
        left = np.arange(life - 1, -1, -1.0)
        load = rng.integers(0, 2, life)
        wear = np.exp(-left / 20.0) * rng.uniform(0.9, 1.1)
        value = np.stack([100.0 * load + 5.0 * wear, 30.0 - 8.0 * load - 4.0 * wear, np.full(life, 7.0)], 1)
        value[:, :2] += rng.normal(0.0, 0.3, (life, 2))
        parts.append((np.full(life, unit), np.arange(life) + 1.0, value, load[:, None] * 1.0, left))
    unit, age, value, load, left = (np.concatenate(column) for column in zip(*parts, strict=True))
    return time_left.Lives(unit, age, value, load), left


@pytest.fixture(scope="module")
def model():
    return time_left.train(*engines(16, seed=0), cap=60.0)


def test_time_left_is_told_for_units_never_seen_within_an_interval_that_holds(model):
    lives, left = engines(30, seed=1)

    answer = model.predict(lives)

    late = left < 40.0
    assert np.abs(answer.median - left)[late].mean() < 6.0
    assert 0.85 <= ((answer.low <= left) & (left <= answer.high)).mean() <= 0.99


def test_a_healthy_unit_gets_no_upper_end(model):
    lives, left = engines(10, seed=2)

    answer = model.predict(lives)

    assert np.isinf(answer.high[left > 70.0]).mean() > 0.9
    assert np.isfinite(answer.high[left < 20.0]).all()


def test_cutting_the_future_off_changes_nothing(model):
    lives, _ = engines(1, seed=3)
    half = time_left.Lives(lives.unit[:50], lives.age[:50], lives.value[:50], lives.condition[:50])

    whole, cut = model.predict(lives), model.predict(half)

    np.testing.assert_array_equal(cut.median, whole.median[:50])


def test_a_unit_like_none_before_gets_no_answer(model):
    lives, _ = engines(1, seed=4)
    strange = time_left.Lives(lives.unit, lives.age, lives.value + 1000.0, lives.condition)

    assert np.isnan(model.predict(strange).median[-1])


def test_too_few_failed_units_give_no_model():
    assert time_left.train(*engines(3, seed=5), cap=60.0) is None


def test_values_over_their_own_start_use_only_what_was_known():
    unit, value = np.array([0, 0, 0, 1, 1]), np.array([[1.0], [3.0], [8.0], [5.0], [5.0]])

    out = time_left.over_own_start(unit, value, rows=2)

    np.testing.assert_allclose(out[:, 0], np.log([1.0, 3.0 / 2.0, 8.0 / 2.0, 1.0, 1.0]))
