"""Machines whose parts are told apart by the live outlook: which fails, said on the ticket, and kept over a restart."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from gateway.model import LogLines
from gateway.prognosis.outlook import Outlook
from tests.unit.prognosis.fleet import DAY_MS, START_MS, block_of, roster_of

MACHINES, DAYS, LEARNED = 40, 130, 120
PARTS = ("fan", "pump")


def story(seed=0):
    """(failures, 3) machine, day, part; (machines, days) volts, whose level rises before fans fail; (.., 2) codes."""
    rng = np.random.default_rng(seed)
    failures, near = [], np.zeros((MACHINES, DAYS, 2), bool)
    volts, coded = rng.normal(220.0, 1.0, (MACHINES, DAYS)), rng.random((MACHINES, DAYS, 2)) < 0.002
    for machine in range(MACHINES):
        day = rng.integers(5, 60)
        while day < DAYS:
            part = rng.integers(2)
            failures.append((machine, day, part))
            near[machine, max(day - 4, 0) : day, part] = True
            coded[machine, max(day - 2, 0), part] = True
            day += rng.integers(20, 60)
    return np.array(failures), volts + 4.0 * near[:, :, 0], coded


def lived(outlook, roster, told, *, first=0, last=LEARNED, named=True, served=True):
    failures, volts, coded = told
    for day in range(first, last):
        now_ms = START_MS + day * DAY_MS
        machine, part = np.nonzero(coded[:, day])
        codes = tuple(f"E{p}" for p in part.tolist())
        logs = LogLines(
            device=machine, t_ms=np.full(machine.size, now_ms), severity=np.full(machine.size, 3, np.int8),
            source=("",) * machine.size, text=codes,
        )  # fmt: skip
        block = block_of(volts[:, day : day + 1], step_ms=DAY_MS, first=day)
        outlook.advance(replace(block, logs=logs), roster, now_ms, codes=codes)
        for number, name in enumerate(PARTS):
            gone = failures[(failures[:, 1] == day) & (failures[:, 2] == number), 0]
            outlook.failed(gone, np.full(gone.size, now_ms), (name if named else "risk",) * gone.size)
            if gone.size and served:
                outlook.served(gone, np.full(gone.size, now_ms), name)
        if day == 40:
            outlook.train(now_ms)
    return outlook


@pytest.fixture(scope="module")
def told():
    return story()


@pytest.fixture(scope="module")
def roster():
    return roster_of(MACHINES, "volts", kind="machine")


@pytest.fixture(scope="module")
def learned(told, roster):
    outlook = lived(Outlook(horizon_ms=10 * DAY_MS), roster, told)
    outlook.train(START_MS + (LEARNED - 1) * DAY_MS)
    return outlook


def test_the_part_that_fails_is_named_with_its_probability(learned, told, roster):
    failures = told[0]
    due = failures[(failures[:, 1] >= LEARNED) & (failures[:, 1] <= LEARNED + 1)]

    said = {f.device_id: f.reason for f in learned.forecasts(START_MS + LEARNED * DAY_MS)}

    assert learned.parts.parts == PARTS
    assert len(due) >= 3
    for machine, _, part in due.tolist():
        assert f"most likely {PARTS[part]} (" in said[f"d{machine}"]


def test_the_risk_of_a_device_is_that_of_any_of_its_parts(learned, told):
    by_part = learned.parts.probability(learned._newest, learned.names)

    ratio = learned.column("risk.failure_ratio")

    heard = np.isfinite(ratio)
    np.testing.assert_allclose(ratio[heard], 1.0 - np.prod(1.0 - by_part[heard], axis=1))
    failures = told[0]
    due = failures[(failures[:, 1] >= LEARNED) & (failures[:, 1] <= LEARNED + 1), 0]
    assert np.nanmean(ratio[due]) > 2.0 * np.nanmedian(ratio)


def test_gauges_are_followed_for_the_model_of_parts_alone(learned):
    assert "shift:volts.up" in learned.parts.signs.gauges
    assert not [name for name in learned.model.names if name.startswith("shift:")]
    assert learned.parts.signs.share[0].max() > 2.0 * learned.parts.signs.share[1].max()


@pytest.mark.parametrize(("named", "served"), [(False, True), (True, False)])
def test_failures_that_name_no_part_that_is_serviced_are_those_of_the_device(told, roster, named, served):
    outlook = lived(Outlook(horizon_ms=10 * DAY_MS), roster, told, last=60, named=named, served=served)

    lesson = outlook.lesson(START_MS + 59 * DAY_MS)

    assert lesson.parts == ()
    assert lesson.left is None
    assert served or not [name for name in outlook.names if name.startswith("shift:")]


def test_a_restart_in_the_middle_changes_nothing_that_is_said_of_parts(learned, told, roster):
    straight = copy.deepcopy(learned)
    restarted = Outlook.restore(learned.snapshot(), roster)

    for outlook in (straight, restarted):
        lived(outlook, roster, told, first=LEARNED, last=DAYS)

    before, after = (outlook.column("risk.failure_ratio") for outlook in (straight, restarted))
    assert np.isfinite(before).any()
    np.testing.assert_array_equal(after, before)
    said = straight.forecasts(START_MS + DAYS * DAY_MS)
    assert "most likely" in said[0].reason
    assert restarted.forecasts(START_MS + DAYS * DAY_MS) == said
    lessons = [outlook.lesson(START_MS + DAYS * DAY_MS) for outlook in (straight, restarted)]
    np.testing.assert_array_equal(lessons[1].examples.rows, lessons[0].examples.rows)
    np.testing.assert_array_equal(lessons[1].left, lessons[0].left)
