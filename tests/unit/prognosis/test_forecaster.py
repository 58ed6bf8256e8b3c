from __future__ import annotations

import itertools

import numpy as np
import pytest

from gateway.prognosis import Forecaster
from tests.unit.prognosis.fleet import DAY_MS, START_MS, Spec, block_of, roster_of

HOUR_MS = 3_600_000
SPEC = Spec("wear", (), "wear_ratio", 60.0, "rising")


def forecaster_after(values, *, days, spec=SPEC, step_ms=HOUR_MS):
    roster = roster_of(len(values), spec.metric)
    forecaster = Forecaster((spec,))
    forecaster.advance(
        block_of(values[:, : days * DAY_MS // step_ms], step_ms=step_ms), roster, START_MS + days * DAY_MS
    )
    return forecaster


def climbing(devices, *, days, noise, seed=0, rhythm=0.0, onset_days=0.0):
    """(true level, what is measured) by hour; slopes 0.5 to 2 a day."""
    rng = np.random.default_rng(seed)
    t = np.arange(days * 24) / 24.0
    level = rng.uniform(0.5, 2.0, devices)[:, None] * np.maximum(t - onset_days, 0.0)
    return level, level + noise * rng.normal(size=level.shape) + rhythm * np.sin(2.0 * np.pi * t)


def true_days(level, limit, at_days):
    return np.array([np.searchsorted(row, limit) / 24.0 for row in level]) - at_days


@pytest.mark.parametrize(
    ("noise", "rhythm", "onset_days"), [(1.0, 0.0, 0.0), (5.0, 0.0, 0.0), (1.0, 5.0, 0.0), (1.0, 0.0, 12.0)]
)
def test_nine_in_ten_limits_are_reached_within_the_interval(noise, rhythm, onset_days):
    level, measured = climbing(300, days=150, noise=noise, rhythm=rhythm, onset_days=onset_days)

    forecaster = forecaster_after(measured, days=30)
    low, high = (forecaster.column(f"forecast.wear_days_{end}") for end in ("low", "high"))

    truth = true_days(level, SPEC.limit, 30)
    known = np.isfinite(low) & (truth > 0.0)
    held = (low <= truth) & (truth <= high)
    assert known.mean() > 0.6
    assert 0.85 <= held[known].mean() <= 0.99


def test_a_series_without_a_trend_gets_no_forecast():
    _, measured = climbing(200, days=30, noise=1.0)
    flat = measured - climbing(200, days=30, noise=0.0)[0]

    forecaster = forecaster_after(flat, days=30)

    assert np.isfinite(forecaster.column("forecast.wear_days_left")).sum() <= 1


def test_a_daily_rhythm_is_no_trend():
    t = np.arange(30 * 24) / 24.0
    rhythm = np.random.default_rng(1).normal(size=(50, t.size)) + 20.0 * np.sin(2.0 * np.pi * t)

    known = [np.isfinite(forecaster_after(rhythm, days=d).column("forecast.wear_days_left")).sum() for d in (3, 9, 28)]

    assert known == [0, 0, 0]


def test_a_random_walk_is_rarely_taken_for_a_trend():
    walk = np.cumsum(np.random.default_rng(2).normal(size=(300, 30 * 24)), axis=1) / np.sqrt(24.0)

    forecaster = forecaster_after(walk, days=30, spec=Spec("wear", (), "wear_ratio", 20.0, "rising"))

    assert np.isfinite(forecaster.column("forecast.wear_days_left")).mean() < 0.06


def test_a_fast_fault_after_a_long_quiet_is_seen_within_days():
    hours = np.arange(200 * 24)
    level = np.maximum(hours - 196 * 24, 0.0)[None] * 0.3
    measured = level + np.random.default_rng(3).normal(size=level.shape)

    forecaster = forecaster_after(measured, days=199)

    assert forecaster.column("forecast.wear_days_left")[0] == pytest.approx((60.0 - 72 * 0.3) / 7.2, rel=0.25)


def test_a_limit_that_is_passed_is_no_days_away_and_certain():
    _, measured = climbing(5, days=130, noise=0.5)

    forecaster = forecaster_after(measured, days=125)

    assert forecaster.column("forecast.wear_days_left").tolist() == [0.0] * 5
    assert forecaster.column("forecast.wear_risk_ratio").tolist() == [1.0] * 5


def test_too_few_samples_give_no_forecast():
    forecaster = forecaster_after(climbing(3, days=30, noise=0.1)[1], days=30, step_ms=30 * DAY_MS // 6)

    assert np.isnan(forecaster.column("forecast.wear_days_left")).all()


def test_a_silent_series_loses_its_forecast():
    _, measured = climbing(3, days=30, noise=0.5)
    forecaster = forecaster_after(measured, days=30)

    soon, later = (forecaster.forecasts(START_MS + days * DAY_MS) for days in (31, 60))

    assert len(soon) == 3
    assert later == ()


def test_a_forecast_counts_down_as_time_passes():
    forecaster = forecaster_after(climbing(1, days=30, noise=0.2)[1], days=30)

    now, next_day = (forecaster.forecasts(START_MS + days * DAY_MS)[0] for days in (30, 31))

    assert abs(next_day.median_ms - now.median_ms) < 1000
    assert now.low_ms <= now.median_ms <= now.high_ms
    assert "climbs" in now.reason


def test_where_blocks_are_cut_changes_nothing():
    _, measured = climbing(4, days=40, noise=2.0)
    whole = forecaster_after(measured, days=40)

    roster, pieces = roster_of(4, "wear_ratio"), Forecaster((SPEC,))
    cuts = [0, 1, 7, 300, 301, 640, 960]
    for first, end in itertools.pairwise(cuts):
        pieces.advance(block_of(measured[:, first:end], step_ms=HOUR_MS, first=first), roster, START_MS + end * HOUR_MS)

    np.testing.assert_array_equal(pieces.column("forecast.wear_days_left"), whole.column("forecast.wear_days_left"))


def test_a_restart_changes_nothing():
    _, measured = climbing(4, days=40, noise=2.0)
    roster = roster_of(4, "wear_ratio")
    straight = Forecaster((SPEC,))
    straight.advance(block_of(measured[:, :500], step_ms=HOUR_MS), roster, START_MS + 500 * HOUR_MS)
    restarted = Forecaster.restore((SPEC,), straight.snapshot(), roster)

    for forecaster in (straight, restarted):
        rest = block_of(measured[:, 500:], step_ms=HOUR_MS, first=500)
        forecaster.advance(rest, roster, START_MS + 960 * HOUR_MS)

    assert restarted.forecasts(START_MS + 960 * HOUR_MS) == straight.forecasts(START_MS + 960 * HOUR_MS)
    assert straight.forecasts(START_MS + 960 * HOUR_MS)


def test_a_device_is_forecast_alone_as_in_the_fleet():
    _, measured = climbing(5, days=30, noise=2.0)

    together = forecaster_after(measured, days=30).column("forecast.wear_days_high")
    alone = forecaster_after(measured[3:4], days=30).column("forecast.wear_days_high")

    np.testing.assert_array_equal(alone, together[3:4])


def test_specs_of_one_name_share_a_column_by_product_type():
    roster = roster_of(2, "wear_ratio")
    roster.devices[1] = roster.devices[1].__class__(device_id=roster.devices[1].device_id, number=1, type="pump")
    specs = (
        Spec("wear", ("lamp",), "wear_ratio", 60.0, "rising"),
        Spec("wear", ("pump",), "wear_ratio", 90.0, "rising"),
    )
    forecaster = Forecaster(specs)
    measured = np.repeat(climbing(1, days=30, noise=0.1)[1], 2, axis=0)

    forecaster.advance(block_of(measured, step_ms=HOUR_MS), roster, START_MS + 30 * DAY_MS)
    lamp, pump = forecaster.column("forecast.wear_days_left")

    assert lamp < pump
    assert forecaster.column("forecast.other_days_left") is None
