from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from gateway.model import LogLines
from gateway.prognosis.outlook import Outlook
from tests.unit.prognosis.fleet import DAY_MS, START_MS, block_of, roster_of

DEVICES, DAYS = 200, 150


def fleet(seed=0):
    """(devices, days) error counts that climb for ten days before a failure, and the day of it (-1: none)."""
    rng = np.random.default_rng(seed)
    end = np.where(rng.random(DEVICES) < 0.45, rng.integers(30, DAYS, DEVICES), -1)
    day = np.arange(DAYS)
    near = (end[:, None] >= 0) & (day >= end[:, None] - 10) & (day < end[:, None])
    return np.cumsum(rng.poisson(0.02, (DEVICES, DAYS)) + near * rng.poisson(2.0, (DEVICES, DAYS)), axis=1), end


def lived(outlook, roster, errors, end, *, first=0, last=DAYS):
    for day in range(first, last):
        block = block_of(errors[:, day : day + 1].astype(float), step_ms=DAY_MS, first=day)
        outlook.advance(block, roster, START_MS + day * DAY_MS)
        gone = np.flatnonzero(end == day)
        outlook.failed(gone, np.full(gone.size, START_MS + day * DAY_MS))
    return outlook


@pytest.fixture(scope="module")
def story():
    errors, end = fleet()
    roster = roster_of(DEVICES, "errors_total")
    return lived(Outlook(horizon_ms=10 * DAY_MS), roster, errors, end, last=120), roster, errors, end


@pytest.fixture(scope="module")
def learned(story):
    outlook, _, _, end = story
    return outlook, outlook.train(START_MS + 120 * DAY_MS), end


def test_before_ten_failures_only_the_order_is_known(story):
    _, roster, errors, end = story
    young = lived(Outlook(horizon_ms=10 * DAY_MS), roster, errors, end, last=32)

    young.train(START_MS + 32 * DAY_MS)

    assert np.isnan(young.column("risk.failure_ratio")).all()
    score = young.column("risk.prior_score")
    soon = (end >= 33) & (end < 38)
    assert score[soon].mean() > 3.0 * score[end < 0].mean()


def test_risk_learned_from_the_fleets_failures_finds_those_to_come(learned):
    outlook, model, end = learned

    ratio = outlook.column("risk.failure_ratio")

    soon = (end >= 120) & (end < 128)
    assert model.failures >= 10
    assert ratio[soon].mean() > 5.0 * ratio[end < 0].mean()
    assert {f.name for f in outlook.forecasts(START_MS + 120 * DAY_MS)} == {"failure"}


def test_for_another_horizon_all_is_learned_anew_but_that_devices_failed(story):
    outlook, roster, errors, _end = story

    new = Outlook.restore(outlook.snapshot(), roster, horizon_ms=2 * DAY_MS)

    assert new.column("risk.failure_ratio") is None or np.isnan(new.column("risk.failure_ratio")).all()
    lived(new, roster, errors, np.full(DEVICES, -1), first=120, last=125)
    assert new._kept.failures.tolist() == outlook._kept.failures.tolist()
    assert new.train(START_MS + 125 * DAY_MS) is None  # of whose past before that nothing is known


def test_nothing_is_learned_from_what_has_not_happened_yet(story):
    _, roster, errors, end = story
    outlook = lived(Outlook(horizon_ms=10 * DAY_MS), roster, errors, end, last=60)

    model = outlook.train(START_MS + 60 * DAY_MS)

    assert model.failures <= ((end >= 0) & (end < 60)).sum()


def test_of_the_newest_rows_nothing_is_learned_not_even_failures():
    errors, end = fleet(seed=1)
    roster = roster_of(DEVICES, "errors_total", "hours_total")
    outlook = Outlook(horizon_ms=10 * DAY_MS)
    for day in range(60):
        values = np.stack([errors[:, day], np.full(DEVICES, 24.0 * day)], 1).reshape(-1, 1)
        outlook.advance(block_of(values, step_ms=DAY_MS, first=day), roster, START_MS + day * DAY_MS)
        gone = np.flatnonzero(end == day)
        outlook.failed(gone, np.full(gone.size, START_MS + day * DAY_MS))

    examples = outlook.lesson(START_MS + 59 * DAY_MS).examples

    hours = examples.rows[:, examples.names.index("metric:hours_total.last")]
    assert (examples.left <= 1.0).any()
    assert hours.max() == 24.0 * 49


def test_a_restart_changes_nothing(story):
    _, roster, errors, end = story
    straight = lived(Outlook(horizon_ms=10 * DAY_MS), roster, errors, end, last=50)
    restarted = Outlook.restore(straight.snapshot(), roster)
    for outlook in (straight, restarted):
        lived(outlook, roster, errors, end, first=50, last=70)
        outlook.train(START_MS + 70 * DAY_MS)

    np.testing.assert_array_equal(restarted.column("risk.failure_ratio"), straight.column("risk.failure_ratio"))


def test_a_restart_in_the_middle_forgets_nothing_that_was_learned(story, learned):
    _, roster, errors, end = story
    straight = copy.deepcopy(learned[0])

    restarted = Outlook.restore(straight.snapshot(), roster)

    facts = ["risk.failure_ratio", "risk.prior_score", "risk.days_left", "risk.days_low", "risk.days_high"]
    for first, last in ((120, 120), (120, 121), (121, 124)):
        for outlook in (straight, restarted):
            lived(outlook, roster, errors, end, first=first, last=last)
        told = [outlook.column(name) for outlook in (straight, restarted) for name in facts]
        assert np.isfinite(told[0]).any()
        assert np.isfinite(told[2]).any()
        np.testing.assert_array_equal(told[: len(facts)], told[len(facts) :])
    assert restarted.forecasts(START_MS + 123 * DAY_MS) == straight.forecasts(START_MS + 123 * DAY_MS)


def test_a_model_that_another_version_has_kept_waits_for_the_next_training(story):
    outlook, roster, _, _ = story
    held = outlook.snapshot()
    held["learned.outline"] = np.frombuffer(b'{"kind": "Oracle", "of": {}}', np.uint8)

    again = Outlook.restore(held, roster)

    assert again.model is None
    assert np.isnan(again.column("risk.failure_ratio")).all()


def test_log_codes_are_counted_and_service_wipes_fresh_traces():
    roster = roster_of(2, "volts")
    outlook = Outlook(horizon_ms=10 * DAY_MS)
    logs = LogLines(
        device=np.array([0, 0, 1]), t_ms=np.full(3, START_MS), severity=np.full(3, 3, np.int8), source=("", "", ""),
        text=("E7", "E7", "hello"),
    )  # fmt: skip
    block = block_of(np.ones((2, 1)), step_ms=DAY_MS)
    block = block.__class__(**{name: getattr(block, name) for name in block.__slots__ if name != "logs"}, logs=logs)

    outlook.advance(block, roster, START_MS, codes=("E7", "E7", ""))
    outlook.served(np.array([0]), np.array([START_MS + DAY_MS]), "pump")
    before, after = outlook._newest.copy(), Outlook.restore(outlook.snapshot(), roster)
    after.advance(block_of(np.ones((2, 1)), step_ms=DAY_MS, first=2), roster, START_MS + 2 * DAY_MS)

    rise = outlook.names.index("code:E7.rise")
    assert before[0, rise] == 2.0
    assert np.isnan(before[1, rise])
    assert after._newest[0, rise] == 0.0


def test_time_left_of_devices_likely_to_fail_is_learned_from_those_that_failed(learned):
    outlook, _, end = learned

    left, low, high = (outlook.column(f"risk.days_{part}") for part in ("left", "low", "high"))

    told = np.isfinite(left)
    soon = (end >= 120) & (end < 127)
    truth = end - 119.0
    assert told[soon].mean() > 0.6
    assert told[end < 0].mean() < 0.05
    assert np.abs(left - truth)[told & soon].mean() < 3.0
    assert (low <= left)[told].all()
    assert (left <= high)[told].all()
    assert "days left" in outlook.forecasts(START_MS + 120 * DAY_MS)[0].reason


def test_how_often_the_interval_held_is_counted_on_the_fleet_itself(story):
    _, roster, errors, end = story
    outlook = lived(Outlook(horizon_ms=10 * DAY_MS), roster, errors, end, last=100)
    outlook.train(START_MS + 100 * DAY_MS)

    lived(outlook, roster, errors, end, first=100, last=130)

    covered = outlook.coverage
    assert covered.known > 20
    assert 0.7 <= covered.ratio <= 1.0
    day = START_MS + 129 * DAY_MS
    assert any("days left" in f.reason for f in outlook.forecasts(day))
    assert np.isfinite(outlook.column("risk.days_left")).any()
    again = Outlook.restore(outlook.snapshot(), roster).coverage
    assert (again.held, again.below, again.above) == (covered.held, covered.below, covered.above)

    covered.above += covered.known  # as where half of them came later than they were told
    assert outlook.forecasts(day)
    assert not any("days left" in f.reason for f in outlook.forecasts(day))
    assert np.isnan(outlook.column("risk.days_left")).all()


def test_a_device_that_sends_nothing_is_looked_at_thrice_in_the_horizon_and_after_its_end_not_at_all():
    roster = roster_of(4, "errors_total")
    outlook = Outlook(horizon_ms=30 * DAY_MS)
    for day in range(31):
        told = [0] if day else [0, 1, 2, 3]
        values = np.full((len(told), 1), float(day))
        outlook.advance(block_of(values, step_ms=DAY_MS, first=day, series=told), roster, START_MS + day * DAY_MS)
        if day == 5:
            outlook.failed(np.array([2]), np.array([START_MS + day * DAY_MS]))
            roster.put_device(replace(roster.devices[3], revoked=True))

    assert np.bincount(outlook._kept.device).tolist() == [31, 4, 1, 1]
    assert outlook._kept.departures.tolist() == [[3, START_MS + 6 * DAY_MS]]
