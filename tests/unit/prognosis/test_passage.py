from __future__ import annotations

import numpy as np
import pytest

from gateway.prognosis import passage


def cells(count, *, seed):
    """Capacities that fade by a power of age, each in its own time, with noise and a missing reading."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        end, bend = rng.uniform(40.0, 120.0), rng.uniform(0.7, 1.3)
        age = np.arange(1.0, end)
        value = 2.0 - 0.4 * (age / end) ** bend + rng.normal(0.0, 0.008, age.size)
        value[7] = np.nan
        made.append(passage.Passage(age, passage.share_gone(value, 1.6), end))
    return made


@pytest.fixture(scope="module")
def model():
    return passage.train(tuple(cells(6, seed=0)))


def test_the_way_to_the_limit_is_told_for_cells_never_seen_within_an_interval_that_holds(model):
    off, held = [], []
    for cell in cells(20, seed=1):
        late = cell.age > 0.3 * cell.end
        answer, left = model.predict(cell.age[late], cell.gone[late]), (cell.end - cell.age)[late]
        off.append(np.abs(np.log(answer.median / left)).mean())
        held.append(((answer.low <= left) & (left <= answer.high)).mean())

    assert np.mean(off) < 0.4
    assert 0.8 <= np.mean(held) <= 1.0


def test_a_unit_that_has_not_begun_its_way_gets_no_answer(model):
    answer = model.predict(np.array([10.0, 10.0]), np.array([0.01, 0.3]))

    assert np.isnan(answer.median[0])
    assert answer.low[1] < answer.median[1] < answer.high[1]


def test_too_few_units_give_no_model():
    assert passage.train(tuple(cells(2, seed=2))) is None


def test_the_share_gone_uses_only_what_was_known_and_passes_over_missing_values():
    value = np.array([10.0, 10.0, np.nan, 9.0, 9.0, 9.0, 8.0, 8.0, 8.0, 8.0])

    whole, cut = passage.share_gone(value, 6.0), passage.share_gone(value[:6], 6.0)

    np.testing.assert_array_equal(cut, whole[:6])
    assert whole[-1] == pytest.approx((9.5 - 8.0) / (9.5 - 6.0))
