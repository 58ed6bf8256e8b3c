from __future__ import annotations

import copy

import numpy as np
import pytest

from gateway.prognosis import Forecaster
from gateway.prognosis.others import Others
from tests.unit.prognosis.fleet import DAY_MS, START_MS, Spec, block_of, roster_of

SPEC = Spec("battery", (), "battery_health_ratio", 0.6, "falling")
STEPS = 4  # a day
DEVICES, DAYS = 24, 90
OLD = DEVICES // 2  # the first half are at their end by day 60, the others by day 90


def health(seed=0):
    """(devices, samples) that fall from 1 to .6 in small jumps that come ever sooner, and the day of the end."""
    rng = np.random.default_rng(seed)
    end = np.concatenate([rng.uniform(40.0, 58.0, OLD), rng.uniform(70.0, 85.0, DEVICES - OLD)])
    day = np.arange(DAYS * STEPS) / STEPS
    late = np.concatenate([np.zeros(OLD), rng.uniform(20.0, 30.0, DEVICES - OLD)])
    gone = np.clip((day - late[:, None]) / (end - late)[:, None], 0.0, 1.2) ** 2
    jumps = np.floor(gone * 12.0) / 12.0
    return 1.0 - 0.4 * jumps + rng.normal(0.0, 0.004, gone.shape), end


def lived(forecaster, roster, value, *, first, last):
    for day in range(first, last):
        some = value[:, day * STEPS : (day + 1) * STEPS]
        forecaster.advance(
            block_of(some, step_ms=DAY_MS // STEPS, first=day * STEPS), roster, START_MS + (day + 1) * DAY_MS
        )
    return forecaster


@pytest.fixture(scope="module")
def story():
    """A fleet on day 62, that has learned from those at their end; and what lines alone told of the others."""
    value, end = health()
    roster = roster_of(DEVICES, SPEC.metric)
    forecaster = lived(Forecaster((SPEC,)), roster, value, first=0, last=62)
    young = lived(
        Forecaster((SPEC,)), roster, np.where(np.arange(DEVICES)[:, None] < OLD, 1.0, value), first=0, last=62
    )
    return forecaster, roster, value, end, young.column("forecast.battery_days_left")


def left(forecaster):
    return np.stack([forecaster.column(f"forecast.battery_days_{part}") for part in ("left", "low", "high")])


def test_where_no_line_is_beyond_doubt_others_of_the_model_tell(story):
    forecaster, _, _, end, before = story

    days, truth, silent = left(forecaster)[:, OLD:], end[OLD:] - 62.0, np.isnan(before[OLD:])

    assert silent.sum() >= 3
    assert np.isfinite(days[0]).all()
    assert ((days[1] <= truth) & (truth <= days[2]))[silent].all()
    assert (left(forecaster)[:, :OLD] == 0.0).all()


def test_the_reason_names_what_others_took(story):
    forecaster, _, _, _, _ = story

    reasons = [f.reason for f in forecaster.forecasts(START_MS + 62 * DAY_MS)]

    assert any("twelve devices of this model took" in reason and "from here" in reason for reason in reasons)
    risk = forecaster.column("forecast.battery_risk_ratio")[OLD:]
    assert ((risk >= 0.0) & (risk <= 1.0)).all()


def test_a_restart_in_the_middle_changes_nothing(story):
    forecaster, roster, value, _, _ = story
    straight = copy.copy(forecaster)  # shares its record of the rules, by which all else is found
    for name in ("_kept", "_newest", "_dirty", "_line"):
        setattr(straight, name, copy.deepcopy(getattr(forecaster, name)))
    straight._asked, straight._others = {}, {key: copy.deepcopy(one) for key, one in forecaster._others.items()}

    again = Forecaster.restore((SPEC,), {name: np.array(held) for name, held in straight.snapshot().items()}, roster)

    for first, last in ((62, 62), (62, 64), (64, 88)):
        for one in (straight, again):
            lived(one, roster, value, first=first, last=last)
        np.testing.assert_array_equal(left(again), left(straight))
        now_ms = START_MS + last * DAY_MS
        assert again.forecasts(now_ms) == straight.forecasts(now_ms)
    assert again.coverage == straight.coverage
    assert again.coverage.known > 20
    assert again.coverage.ratio > 0.6


def test_a_device_is_compared_alone_as_in_the_fleet(story):
    forecaster, _, value, _, _ = story
    alone = Forecaster((SPEC,))
    young = roster_of(DEVICES, SPEC.metric)
    lived(alone, young, value[:OLD], first=0, last=62)
    for day in range(62):
        some = value[OLD : OLD + 1, day * STEPS : (day + 1) * STEPS]
        block = block_of(some, step_ms=DAY_MS // STEPS, first=day * STEPS, series=[OLD])
        alone.advance(block, young, START_MS + (day + 1) * DAY_MS)

    np.testing.assert_array_equal(left(alone)[:, OLD], left(forecaster)[:, OLD])


def test_a_forecast_that_only_a_new_rule_asks_for_begins_after_a_restart(story):
    forecaster, roster, value, _, _ = story
    other = Spec("dying", (), SPEC.metric, 0.3, "falling")

    again = Forecaster.restore((SPEC, other), forecaster.snapshot(), roster)
    lived(again, roster, value, first=62, last=64)

    assert np.isfinite(left(again)[0]).any()
    assert again.column("forecast.dying_days_left") is not None


def test_forecasts_are_held_against_what_comes_and_those_of_a_part_that_is_gone_are_dropped():
    others, rows, half = Others(SPEC), np.arange(12), np.arange(12) < 6
    others.grow(roster_of(12, SPEC.metric), rows)
    days = np.where(half, np.array([[7.5], [6.5], [8.5]]), np.array([[9.9], [9.2], [12.0]]))
    for step in range(120):
        t_ms = np.full(12, START_MS + step * DAY_MS // 4)
        value = np.where(rows < 10, max(1.0 - 0.0105 * step, 0.59), 1.0 if step > 25 else 1.0 - 0.0105 * step)
        others.advance(rows, t_ms, value)
        if step == 8:
            others.note(rows, days, int(t_ms[0]))
            assert len(others.told.waiting) == 12
    others.note(rows, np.full((3, 12), np.nan), START_MS + 30 * DAY_MS)

    told = others.coverage
    assert (told.held, told.below, told.above) == (6, 4, 0)
    assert not len(others.told.waiting)
