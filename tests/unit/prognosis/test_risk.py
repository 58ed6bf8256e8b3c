from __future__ import annotations

import numpy as np
import pytest

from gateway.prognosis import prior, risk
from gateway.prognosis.calibration import Coverage, calibrate, conform, deciles

NAMES = ("metric:errors.rise", "metric:errors.rise_long", "metric:noise.last", "service:fan.age_doublings")


def examples_of(rows, device, failed):
    return risk.Examples(rows, NAMES, device, np.where(failed, 0.3, np.inf))


def failed_of(examples):
    return examples.left <= 1.0


def fleet(devices, *, seed=0, rate=0.04):
    """Devices whose errors rise before some of them fail; ten looks each, by device, then time."""
    rng = np.random.default_rng(seed)
    device = np.repeat(np.arange(devices), 10)
    sick = rng.random(devices) < 4 * rate
    rising = np.where(sick[device] & (np.arange(device.size) % 10 >= 6), rng.exponential(5.0, device.size), 0.0)
    chance = 1.0 / (1.0 + np.exp(4.0 - rising))
    failed = (rng.random(device.size) < chance) & (np.arange(device.size) % 10 >= 6)
    rows = np.stack([rising, rising, rng.exponential(1.0, device.size), rng.integers(-1, 5, device.size)], 1)
    return examples_of(rows.astype(np.float32), device, failed), chance


def test_without_ten_failures_there_is_no_probability():
    examples, _ = fleet(60)
    few = examples_of(examples.rows, examples.device, failed_of(examples) & (examples.device < 8))

    assert risk.train(few) is None


def test_with_a_dozen_failures_the_prior_ranks_and_says_how_likely():
    examples, _ = fleet(80, seed=3)
    model = risk.train(examples)
    other, _ = fleet(2000, seed=4)

    p = model.probability(other.rows, NAMES)

    assert model.failures < risk.ENOUGH_LABELS
    assert p[failed_of(other)].mean() > 3.0 * p[~failed_of(other)].mean()
    assert 0.5 < p.sum() / failed_of(other).sum() < 2.0


def test_few_devices_that_fail_often_are_judged_by_the_prior_alone():
    examples, _ = fleet(40, seed=9)
    often = examples_of(examples.rows, np.repeat([0, 1], 200), np.arange(400) % 7 == 0)

    model = risk.train(often)

    assert model.failures >= risk.ENOUGH_LABELS
    assert np.isfinite(model.probability(often.rows, NAMES)).all()


@pytest.fixture(scope="module")
def trained():
    return risk.train(fleet(1500, seed=1)[0])


def test_probabilities_hold_on_devices_never_seen(trained):
    other, _ = fleet(4000, seed=2)

    bins = deciles(trained.probability(other.rows, NAMES), failed_of(other), bins=5)

    ratio = bins[:, 1] / bins[:, 0]
    assert trained.failures >= risk.ENOUGH_LABELS
    assert ratio.min() > 0.75
    assert ratio.max() < 1.3


def test_a_row_is_judged_by_itself(trained):
    other, _ = fleet(2, seed=5)

    together = trained.probability(other.rows, NAMES)
    alone = np.concatenate([trained.probability(other.rows[i : i + 1], NAMES) for i in range(len(other.rows))])

    np.testing.assert_array_equal(alone, together)


def test_columns_may_come_in_another_order_and_new_ones_are_ignored(trained):
    other, _ = fleet(50, seed=6)
    shuffled = np.column_stack([other.rows[:, [3, 0, 1, 2]], other.rows[:, 0]])

    p = trained.probability(shuffled, (NAMES[3], *NAMES[:3], "metric:new.rise"))

    np.testing.assert_array_equal(p, trained.probability(other.rows, NAMES))


def test_the_prior_puts_what_the_fleet_never_shows_first():
    examples, _ = fleet(500, seed=7)
    known = prior.learn(examples.rows, NAMES)
    odd = np.zeros((3, 4), np.float32)
    odd[1, 0], odd[2, 0] = 3.0, 1e9

    scores = known.score(odd, NAMES)

    assert scores[0] == 0.0
    assert 0.0 < scores[1] < scores[2]


def test_more_time_since_service_never_lowers_the_risk():
    examples, _ = fleet(500, seed=8)
    age = examples.rows[:, 3]
    failed = failed_of(examples) | ((age == 1) & (np.random.default_rng(0).random(age.size) < 0.3))
    model = risk.train(examples_of(examples.rows, examples.device, failed))
    rows = np.repeat(examples.rows[:1], 6, axis=0)
    rows[:, 3] = np.arange(-1, 5)

    p = model.probability(rows, NAMES)

    assert (np.diff(p) >= -1e-12).all()


def test_calibration_mends_overconfidence_and_keeps_the_order():
    rng = np.random.default_rng(0)
    truth_p = rng.beta(1.0, 9.0, 20_000)
    truth = rng.random(truth_p.size) < truth_p
    wrong = truth_p**0.5

    mended = calibrate(wrong, truth, np.ones_like(wrong))(wrong)

    assert np.abs(mended - truth_p).mean() < 0.02
    assert (np.diff(mended[np.argsort(wrong)]) >= 0.0).all()


def test_conformal_intervals_hold_on_units_never_seen():
    rng = np.random.default_rng(1)

    def units(count):
        unit = np.repeat(np.arange(count), 20)
        truth = rng.uniform(0.0, 100.0, unit.size)
        own = rng.normal(0.0, 1.0, count)[unit] + rng.normal(0.0, 0.5, unit.size)
        return truth + own * (1.0 + truth / 10.0), truth, unit.astype(float)

    intervals = conform(*units(200))
    prediction, truth, _ = units(400)
    low, high = intervals(prediction)

    record = Coverage()
    record.note(low, high, truth)
    assert 0.87 < record.ratio < 0.94
