"""A restart of the gateway in the middle of a fleet's life: every fact that was learned is as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rules
from gateway.services import snapshot
from gateway.services.judgement import Judgement
from tests.unit.prognosis.fleet import DAY_MS, START_MS, block_of, roster_of

DISKS, DAYS = 40, 130
ERRORS, HEALTH = "errors_total", "battery_health_ratio"
BANDS = [f"vibration_{band}_meters_per_second_squared" for band in range(4)]
FACTS = (
    "risk.failure_ratio", "risk.prior_score", "risk.days_left", "risk.days_low", "risk.days_high", "risk.growth_score",
    "forecast.battery_days_left", "forecast.battery_days_low", "forecast.battery_days_high",
    "forecast.battery_risk_ratio",
)  # fmt: skip


def story(seed=0):
    """(devices, days) of errors that climb before failures, and of health that falls; the day of each failure."""
    rng, day = np.random.default_rng(seed), np.arange(DAYS)
    end = np.where(np.arange(DISKS) % 2 == 0, rng.integers(40, DAYS + 10, DISKS), -1)
    near = (end[:, None] >= 0) & (day >= end[:, None] - 20) & (day < end[:, None])
    errors = np.cumsum(rng.poisson(0.02, near.shape) + near * rng.poisson(2.0, near.shape), axis=1)
    life = np.concatenate([rng.uniform(60.0, 90.0, DISKS // 2), rng.uniform(140.0, 200.0, DISKS - DISKS // 2)])
    health = 1.0 - 0.6 * (day / life[:, None]) ** 1.5 + rng.normal(0.0, 0.01, near.shape)
    return errors.astype(float), health.clip(0.3), end


def lived(judgement, told, *, first, last):
    errors, health, end = told
    bands = np.exp(np.random.default_rng(1).normal(0.0, 0.1, (len(BANDS), DISKS, DAYS)))
    values = np.stack([errors, health, *bands], 1).reshape(DISKS * (2 + len(BANDS)), DAYS)
    for day in range(first, last):
        judgement.advance(block_of(values[:, day : day + 1], step_ms=DAY_MS, first=day), START_MS + day * DAY_MS)
        gone = np.flatnonzero(end == day)
        judgement.failed(gone, np.full(gone.size, START_MS + day * DAY_MS), ("disk",) * gone.size)


@pytest.mark.timeout(60)
def test_a_restart_in_the_middle_changes_no_fact(tmp_path: Path) -> None:
    told, library = story(), rules.load()
    roster = roster_of(DISKS, ERRORS, HEALTH, *BANDS, kind="smart_lock")
    straight = Judgement(roster, library)
    lived(straight, told, first=0, last=110)
    straight.outlook.train(START_MS + 109 * DAY_MS)

    snapshot.save(tmp_path, 7, straight.snapshot())
    window, restarted = snapshot.restore(tmp_path, lambda held: Judgement(roster, library, held=held))

    assert window == 7
    for first, last in ((110, 110), (110, 112), (112, DAYS)):
        for judgement in (straight, restarted):
            lived(judgement, told, first=first, last=last)
        for fact in FACTS:
            before, after = (judgement.facts.column(fact) for judgement in (straight, restarted))
            assert np.isfinite(before).any(), fact
            np.testing.assert_array_equal(after, before, fact)
        device_id = roster.devices[DISKS - 1].device_id
        assert restarted.forecasts(device_id) == straight.forecasts(device_id)
