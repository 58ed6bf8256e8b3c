from __future__ import annotations

import numpy as np
import pytest

from gateway.prognosis.growth import SCORE, Growth, shared_growth
from gateway.prognosis.outlook import Outlook
from tests.unit.prognosis.fleet import DAY_MS, START_MS, block_of, roster_of

BANDS = [f"vibration_{band}_meters_per_second_squared" for band in range(8)]
HORIZON_MS = 30 * DAY_MS
STEP_MS = HORIZON_MS // 360

MINUTES = np.arange(1.0, 301.0)


def bearing(*, seed):
    """Logarithms of eight quantities that stay as they are."""
    return np.random.default_rng(seed).normal(0.0, 0.1, (MINUTES.size, 8))


def told(value):
    return shared_growth(np.zeros(MINUTES.size, np.int64), MINUTES, np.exp(value), horizon=60.0)


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

    cut = shared_growth(np.zeros(100, np.int64), MINUTES[:100], np.exp(value[:100]), horizon=60.0)

    np.testing.assert_array_equal(cut, told(value)[:100])


def live(value, *, growth=None, first=0, cuts=()):
    """A growth that has seen (rows, metrics) logarithms of one device, a row for each step; and how it scores."""
    roster = roster_of(1, *BANDS, "celsius")
    growth = growth or Growth(HORIZON_MS)
    for begin, end in zip((first, *cuts), (*cuts, len(value)), strict=True):
        block = block_of(np.exp(value[begin:end].T), step_ms=STEP_MS, first=begin, series=list(range(8)))
        growth.advance(block, roster)
    return growth, growth.score(1, START_MS + len(value) * STEP_MS)


def test_live_it_is_what_it_is_of_a_recording():
    value = bearing(seed=4)
    value[-20:] += np.linspace(0.0, 2.0, 20)[:, None]
    steps = np.arange(MINUTES.size)

    # Live a step is told of when the next begins, and a device is as old as its first step is away.
    of_rows = shared_growth(np.zeros(steps.size, np.int64), steps.astype(float), np.exp(value), horizon=360.0)
    for end in (100, 200, 300):
        assert live(value[:end])[1][0] == pytest.approx(of_rows[end - 2] / SCORE, rel=1e-9)


def test_steps_are_means_and_neither_cuts_nor_a_restart_change_them():
    value = np.repeat(bearing(seed=5), 2, axis=0)
    _, whole = live(value)
    growth, _ = live(value[:333], cuts=(1, 100, 101))
    again = Growth(HORIZON_MS)
    again.restore({name: np.array(array) for name, array in growth.snapshot().items()})

    assert live(value, growth=again, first=333)[1] == whole


def test_a_device_of_few_amplitudes_or_one_that_is_silent_has_no_score():
    roster = roster_of(1, *BANDS[:3], "celsius", "volts")
    few = Growth(HORIZON_MS)
    few.advance(block_of(np.ones((5, 300)), step_ms=STEP_MS), roster)
    growth, score = live(bearing(seed=6))

    assert np.isnan(few.score(1, START_MS + 300 * STEP_MS)[0])
    assert np.isfinite(score[0])
    assert np.isnan(growth.score(1, START_MS + 400 * STEP_MS)[0])


def test_the_outlook_tells_it_and_keeps_it_through_a_restart():
    value, roster = bearing(seed=7), roster_of(2, *BANDS)
    value[-20:] += np.linspace(0.0, 2.0, 20)[:, None]
    outlook = Outlook(horizon_ms=HORIZON_MS)
    both = np.exp(np.concatenate([bearing(seed=8).T, value.T]))
    outlook.advance(block_of(both, step_ms=STEP_MS), roster, START_MS + 300 * STEP_MS)

    told = outlook.column("risk.growth_score")

    assert told[0] < 0.5
    assert told[1] > 1.0
    again = Outlook.restore(outlook.snapshot(), roster)
    np.testing.assert_array_equal(again.column("risk.growth_score"), told)
