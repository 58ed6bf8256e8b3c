"""Firmware versions against each other, on hand-made marks and through the engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import hypergeom

from gateway.detect import firmware
from gateway.detect.engine import Engine
from gateway.model import Device, DeviceId, Roster
from tests.unit.detect.fleet import START_MS, block

DAY = 48  # half hours
HALF_HOUR_MS = 1_800_000
METRICS = ("memory", "load", "uptime_s", "boots_total")


def mixed(devices: int = 60) -> Roster:
    """One type in four cohorts of two versions each, as many small cohorts as a real roll-out meets."""
    roster = Roster()
    for number in range(devices):
        roster.put_device(
            Device(
                device_id=DeviceId(f"d{number}"), number=number, type="router", model=f"R{number % 2}",
                hardware=f"A{number // 2 % 2}", firmware=("1.0", "1.1")[number // 4 % 2],
            )
        )  # fmt: skip
        for name in METRICS:
            roster.series(number, roster.metric(name))
    return roster


def updated(roster: Roster, devices: range) -> None:
    for number in devices:
        roster.put_device(replace(roster.devices[number], firmware="2.0"))


def marked(roster: Roster, metric: str, devices: list[int], way: int = -1) -> np.ndarray:
    moved = np.zeros(roster.series_count, np.int8)
    for number in devices:
        moved[roster.series_number(number, METRICS.index(metric))] = way
    return moved


def scores(roster: Roster, moved: np.ndarray) -> np.ndarray:
    return firmware.standing(roster, moved, np.ones(roster.series_count, np.bool_))


def test_a_version_that_moves_a_few_devices_of_each_cohort_is_told_apart() -> None:
    roster = mixed()
    updated(roster, range(8))

    score = scores(roster, marked(roster, "memory", [*range(8), 30]))

    assert (score[:8] >= 1.0).all()
    assert (score[8:] < 0.5).all()


def test_what_befalls_all_versions_alike_is_nobody_of_theirs() -> None:
    roster = mixed()
    updated(roster, range(8))

    assert (scores(roster, marked(roster, "memory", list(range(60)))) == 0.0).all()


def test_a_model_that_alone_runs_a_version_is_not_blamed_for_it() -> None:
    roster = mixed()
    odd = [n for n in range(60) if n % 2]
    for number in odd:
        roster.put_device(replace(roster.devices[number], firmware="2.0"))

    assert np.nanmax(scores(roster, marked(roster, "memory", odd))) < 0.1


def test_the_restart_of_an_update_is_no_fault() -> None:
    roster = mixed()
    updated(roster, range(8))

    moved = marked(roster, "uptime_s", list(range(8))) + marked(roster, "boots_total", list(range(8)), 1)

    assert np.nanmax(scores(roster, moved)) == 0.0


def test_unsettled_series_and_nameless_versions_are_not_compared() -> None:
    roster = mixed()
    updated(roster, range(8))
    moved = marked(roster, "memory", list(range(8)))
    for number in range(8, 60):
        roster.put_device(replace(roster.devices[number], firmware=""))

    assert np.isnan(scores(roster, moved)).all()
    assert np.isnan(firmware.standing(mixed(), moved, np.zeros(moved.size, np.bool_))).all()


def test_the_chance_is_the_hypergeometric_tail_and_near_it_in_large_fleets() -> None:
    rng = np.random.default_rng(0)
    own, sick = rng.random(80) < 0.3, rng.random(80) < 0.2
    hit = int((own & sick).sum())
    one = np.zeros(80, np.int64)

    exact = firmware.chance(own, sick | own, one)
    assert exact == pytest.approx(hypergeom.sf(own.sum() - 1, 80, own.sum(), (sick | own).sum()))
    assert hit < own.sum()

    many = np.arange(12_000)
    own, sick = many % 2 == 0, (many % 5 == 0) | (many % 97 == 0)
    sick |= own & (many % 61 == 0)
    near = firmware.chance(own, sick, many % 3)
    tail = hypergeom.sf((own & sick).sum() - 1, own.size, own.sum(), sick.sum())
    assert np.log(near) == pytest.approx(np.log(tail), rel=0.05)


def test_chance_alone_is_rarely_told() -> None:
    rng = np.random.default_rng(1)
    roster = mixed()
    told = 0
    for _ in range(300):
        moved = np.where(rng.random(roster.series_count) < 0.1, rng.choice([-1, 1], roster.series_count), 0)
        told += bool((scores(roster, moved.astype(np.int8)) >= 0.4).any())  # 0.4: one in a hundred

    assert told <= 6


def test_a_bad_roll_out_is_told_within_hours_and_a_harmless_one_never() -> None:
    roster = mixed(40)
    rng = np.random.default_rng(2)
    given = np.stack(
        [
            [50.0, 20.0, 0.0, 7.0][k % 4] + (rng.normal(size=8 * DAY) if k % 4 < 2 else np.zeros(8 * DAY))
            for k in range(roster.series_count)
        ]
    )
    given[2::4] = 1e6 + np.arange(8 * DAY) * 1_800.0
    out = 6 * DAY
    for number in range(6):
        given[4 * number + 2, out + number :] -= given[4 * number + 2, out + number]
        given[4 * number + 3, out + number :] += 1.0
    bad = given.copy()
    bad[0:24:4, out + 3 :] -= 12.0

    def found(values: np.ndarray) -> list[float]:
        again, told = mixed(40), []
        engine = Engine(again)
        for k in range(0, values.shape[1], 4):
            if k == out:
                updated(again, range(6))
            start_ms = START_MS + k * HALF_HOUR_MS
            engine.advance(
                block(values[:, k : k + 4], start_ms=start_ms, interval_ms=HALF_HOUR_MS), start_ms + 7_200_000
            )
            told.append(float(np.nanmax(np.append(engine.column("cohort.firmware_score"), 0.0))))
        return told

    sick, well = found(bad), found(given)

    assert max(well) < 1.0
    assert max(sick[: out // 4]) < 1.0
    assert max(sick[out // 4 : out // 4 + 4]) >= 1.0
