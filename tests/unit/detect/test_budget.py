"""The budget of false alarms: what was asked for is held, whatever the fleet shows."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.detect import budget
from gateway.detect.budget import DAY_MS, Budget
from gateway.detect.engine import Engine, EngineSettings
from gateway.detect.shared import EVERY_MS
from tests.unit.detect.fleet import START_MS, block, fleet

HOUR_MS = 3_600_000
DEVICES = 400


def run(allowed: float | None, *, rate: float, scale: float, weeks: int = 12, seed: int = 0) -> tuple[Budget, float]:
    """A fleet whose alarms have exponential heights over 0.5; the budget, and alarms a week of 1,000 at its end."""
    rng = np.random.default_rng(seed)
    held, state, told = Budget(allowed), budget.init(DEVICES), 0
    days = 7 * weeks
    for day in range(days):
        now_ms = START_MS + day * DAY_MS
        device = np.flatnonzero(rng.random(DEVICES) < rate / 7.0)
        height = 0.5 + rng.exponential(scale, device.size)
        budget.note(state, device, np.full(device.size, now_ms), height)
        held.renew(state, np.full(DEVICES, now_ms), now_ms - DAY_MS, now_ms)
        if day >= days - 28:
            told += int((height >= held.threshold).sum())
    return held, told / 4 / DEVICES * 1_000


@pytest.mark.parametrize(("rate", "scale"), [(1.0, 0.15), (3.0, 0.4), (0.5, 1.0)])
def test_a_budget_is_held_whatever_the_fleet_shows(rate: float, scale: float) -> None:
    held, told = run(50.0, rate=rate, scale=scale)

    assert told <= 75.0
    assert held.rate() == pytest.approx(told, rel=0.5, abs=15.0)


def test_what_the_budget_does_not_use_lowers_the_threshold() -> None:
    few, many = (run(allowed, rate=1.0, scale=0.3)[0].threshold for allowed in (20.0, 400.0))

    assert many < 1.0 < few


def test_without_a_budget_nothing_changes_and_the_rate_is_known_all_the_same() -> None:
    held, told = run(None, rate=2.0, scale=0.5)

    assert held.threshold == 1.0
    assert held.rate() == pytest.approx(told, rel=0.25)


def test_a_new_fleet_has_the_threshold_that_the_tails_promise() -> None:
    held = Budget(125.0)
    held.renew(budget.init(5), np.full(5, START_MS), 0, START_MS)

    assert held.threshold == pytest.approx(1.0, abs=0.03)


def test_alarms_of_a_device_that_a_rule_suspects_do_not_count_and_its_time_neither() -> None:
    state, held = budget.init(2), Budget(125.0)
    budget.note(state, np.array([0, 1]), np.full(2, START_MS), np.array([3.0, 3.0]))
    budget.doubt(state, 0, START_MS + HOUR_MS)

    held.renew(state, np.full(2, START_MS + DAY_MS), START_MS, START_MS + DAY_MS)

    assert held.over[0] == 1.0
    assert held.weeks == pytest.approx(1.0 / 7.0)
    assert not state["budget"]["height"].any()


def test_one_day_of_one_device_is_one_alarm_of_its_highest() -> None:
    state, held = budget.init(1), Budget()
    for hour, height in enumerate((0.7, 2.0, 1.4)):
        budget.note(state, np.array([0, 0]), np.full(2, START_MS + hour * HOUR_MS), np.array([0.6, height]))
        held.renew(state, np.array([START_MS]), START_MS, START_MS + hour * HOUR_MS)
    held.renew(state, np.array([START_MS]), START_MS, START_MS + DAY_MS)

    assert held.over[0] == 1.0
    assert held.over[budget.HEIGHTS <= 2.0].all()
    assert not held.over[budget.HEIGHTS > 2.0].any()


def test_scores_of_devices_are_told_in_units_of_a_threshold_frozen_for_the_hour_and_kept_over_a_restart() -> None:
    settings = EngineSettings(false_alarms_per_week=125.0)
    given = 20.0 + np.random.default_rng(3).normal(size=(6, 400))
    given[2, 399] += 9.0
    calm, strict = Engine(fleet(3)), Engine(fleet(3), settings)
    for engine in (calm, strict):
        engine.advance(block(given[:, :380]), START_MS + 379 * 300_000)
    strict.shared.budget.threshold = 2.0
    strict = Engine.restore(strict.roster, strict.snapshot(), settings)

    for engine in (calm, strict):
        engine.advance(block(given[:, 380:], start_ms=START_MS + 380 * 300_000), START_MS + 380 * 300_000)

    assert strict.now_ms - strict.shared.taken_ms < EVERY_MS
    assert calm.column("score.device")[1] > 0.0
    np.testing.assert_allclose(calm.column("score.device"), 2.0 * strict.column("score.device"), rtol=1e-5)
