"""What an episode is said to mean: beside others of the model, and beside what came before confirmed faults."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gateway.detect.engine import Engine
from gateway.detect.explain import in_company
from gateway.detect.peers import Peers
from gateway.detect.precedent import HORIZON_MS, Precedents
from gateway.model import DeviceId, Episode
from tests.unit.detect.fleet import START_MS, fleet
from tests.unit.detect.test_blind_spots import DAY, noise, play

HOUR_MS = 3_600_000
RISE = Episode(
    device_id=DeviceId("d0"), metric="current", detector="drift", onset_ms=START_MS, peak=2.0, expected=3.2,
    observed=3.8, reason="current has climbed 18 % in 9 days from its usual 3.2.",
)  # fmt: skip


def drifts(moved: int) -> tuple[Engine, Episode]:
    """The newest drift of d0 where that many of twenty devices climb as it does."""
    given = 50.0 + noise(20, 45)
    given[:moved, 21 * DAY :] += np.linspace(0.0, 9.0, 24 * DAY)
    engine = Engine(fleet(20, ("current",)))
    found = play(engine, given)
    return engine, [e for e in found if e.device_id == "d0" and e.detector == "drift"][-1]


@pytest.mark.parametrize(
    ("moved", "said"),
    [
        (1, ", while the 19 others of this model stayed level."),
        (3, ", and so have 2 of the 19 others of this model."),
    ],
)
def test_a_drift_is_told_beside_what_others_of_the_model_did(moved: int, said: str) -> None:
    engine, drift = drifts(moved)

    assert engine.as_of_now(drift, None).reason.endswith(said)


def test_where_most_others_do_the_same_it_is_said() -> None:
    assert in_company(RISE, Peers(17, 19), None) == (
        "current has climbed 18 % in 9 days from its usual 3.2, and so have most others of this model (17 of the 19)."
    )


def test_of_four_others_nothing_is_said() -> None:
    engine = Engine(fleet(5, ("current",)))
    play(engine, 50.0 + noise(5, 10))

    assert "others" not in engine.as_of_now(RISE, None).reason


def test_a_stuck_value_is_told_beside_how_many_others_are_stuck() -> None:
    given = 50.0 + noise(20, 10)
    given[:2, 9 * DAY :] = 50.0
    engine = Engine(fleet(20, ("current",)))
    play(engine, given)

    assert engine.as_of_now(replace(RISE, detector="stuck"), None).reason.endswith(
        ", and so has 1 of the 19 others of this model."
    )


def test_what_goes_on_is_told_as_it_is_now_against_what_was_usual_when_it_began() -> None:
    engine, drift = drifts(1)
    assert drift.expected is not None

    now = engine.as_of_now(replace(drift, onset_ms=START_MS + 22 * 24 * HOUR_MS, expected=50.0), None)

    assert now.observed == pytest.approx(58.8, abs=0.5)
    assert "has climbed 17 % in 23 days from its usual 50 and is 58." in now.reason
    assert engine.as_of_now(replace(drift, end_ms=START_MS), None).reason == drift.reason


def test_a_rise_is_told_with_how_many_faults_it_came_before_and_how_often_it_came_to_nothing() -> None:
    roster = fleet(12, ("current",))
    known = Precedents()
    for number in range(10):
        known.note([replace(RISE, device_id=DeviceId(f"d{number}"))], START_MS, roster)
    for number in range(7):
        known.failed(f"d{number}", START_MS + 5 * 24 * HOUR_MS, "compressor", roster)
    for number in (10, 11):  # which had shown nothing
        known.failed(f"d{number}", START_MS, "compressor", roster)
    known.sweep(START_MS + HORIZON_MS + 1, roster)
    known = Precedents.restore(known.snapshot())

    precedent = known.of(RISE, roster)

    assert in_company(RISE, Peers(0, 40), precedent) == (
        "current has climbed 18 % in 9 days from its usual 3.2, while the 40 others of this model stayed level. "
        "A similar rise came before 7 of the 9 confirmed compressor faults; 3 such came to nothing."
    )
    assert known.of(replace(RISE, observed=2.9), roster) is None  # a fall is another thing
    assert known.of(replace(RISE, peak=1.2), roster) is None  # and what is weak is nothing


def test_a_fault_that_is_taken_back_came_after_nothing() -> None:
    roster, known = fleet(6, ("current",)), Precedents()
    for number in range(4):
        known.note([replace(RISE, device_id=DeviceId(f"d{number}"))], START_MS, roster)
        known.failed(f"d{number}", START_MS + HOUR_MS, "pump", roster)
    known = Precedents.restore(known.snapshot())
    known.taken_back("d0", START_MS + HOUR_MS, roster)
    known.taken_back("d0", START_MS + HOUR_MS, roster)  # once is enough

    precedent = known.of(RISE, roster)

    assert precedent is not None
    assert (precedent.before, precedent.failures, precedent.idle) == (3, 3, 1)


def test_two_faults_are_no_precedent_and_what_lies_too_far_back_came_before_none() -> None:
    roster, known = fleet(4, ("current",)), Precedents()
    for number in range(2):
        known.note([replace(RISE, device_id=DeviceId(f"d{number}"))], START_MS, roster)
        known.failed(f"d{number}", START_MS + HOUR_MS, "pump", roster)
    assert known.of(RISE, roster) is None

    known.note([replace(RISE, device_id=DeviceId("d2"))], START_MS, roster)
    known.failed("d2", START_MS + HORIZON_MS + HOUR_MS, "pump", roster)

    precedent = known.of(RISE, roster)
    assert precedent is not None
    assert (precedent.before, precedent.failures, precedent.idle) == (2, 3, 1)
