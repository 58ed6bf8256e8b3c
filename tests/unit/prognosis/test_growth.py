from __future__ import annotations

import numpy as np

from gateway.prognosis.growth import shared_growth

MINUTES = np.arange(1.0, 301.0)


def bearing(*, seed):
    """Logarithms of eight quantities that stay as they are."""
    return np.random.default_rng(seed).normal(0.0, 0.1, (MINUTES.size, 8))


def told(value):
    return shared_growth(np.zeros(MINUTES.size, np.int64), MINUTES, value, horizon=60.0)


def test_growth_that_most_quantities_share_stands_out():
    value = bearing(seed=0)
    value[-20:] += np.linspace(0.0, 2.0, 20)[:, None]

    score = told(value)

    assert score[-5:].min() > 3.0 * score[:-20].max()


def test_growth_of_few_quantities_or_of_a_moment_does_not():
    few, moment = bearing(seed=1), bearing(seed=1)
    few[-20:, :3] += 2.0
    moment[-10:-8] += 5.0

    assert told(few).max() < 0.3
    assert told(moment).max() < 0.3


def test_a_young_unit_is_heard_less():
    young, old = bearing(seed=2), bearing(seed=2)
    young[20:] += 1.0
    old[250:] += 1.0

    assert told(young).max() < 0.5 * told(old).max()


def test_cutting_the_future_off_changes_nothing():
    value = bearing(seed=3)

    cut = shared_growth(np.zeros(100, np.int64), MINUTES[:100], value[:100], horizon=60.0)

    np.testing.assert_array_equal(cut, told(value)[:100])
