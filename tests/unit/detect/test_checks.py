"""What every detector must do, whatever it finds."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.detect import DETECTORS, Detector, rhythm
from gateway.detect.detector import bytes_per_series, grown
from gateway.detect.engine import Engine
from tests.unit.detect.fleet import fleet, only, samples

EACH = pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: d.name)
LIMIT_BYTES = 1_024


def rough(series: int = 5, count: int = 900, seed: int = 0) -> np.ndarray:
    """Series that rise, spike, stick, pause and cycle."""
    rng = np.random.default_rng(seed)
    values = 20.0 + rng.normal(size=(series, count)) + 3.0 * np.sin(np.arange(count) / 46.0)
    values[0, 500:] += 8.0
    values[1, ::97] += 30.0
    values[2, 600:700] = values[2, 600]
    values[3, rng.random(count) < 0.3] = np.nan
    values[4] += np.linspace(0, 6, count)
    return values


@EACH
def test_scores_are_numbers_at_or_over_zero(detector: Detector) -> None:
    given = samples(rough())

    score = detector.step(detector.init(5), given)

    assert score.shape == given.value.shape
    assert np.isfinite(score).all()
    assert (score >= 0.0).all()


@EACH
def test_cutting_the_future_off_changes_no_score_of_the_past(detector: Detector) -> None:
    given = samples(rough())
    cut = given.t_ms <= np.quantile(given.t_ms, 0.6)

    whole = detector.step(detector.init(5), given)
    past = detector.step(detector.init(5), only(given, cut))

    np.testing.assert_array_equal(past, whole[cut])


@EACH
def test_going_on_from_a_copied_state_changes_nothing(detector: Detector) -> None:
    given = samples(rough())
    early = given.t_ms <= np.quantile(given.t_ms, 0.5)
    whole = detector.step(detector.init(5), given)

    state = detector.init(5)
    before = detector.step(state, only(given, early))
    restored = {name: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape).copy() for name, a in state.items()}
    after = detector.step(restored, only(given, ~early))

    np.testing.assert_array_equal(before, whole[early])
    np.testing.assert_array_equal(after, whole[~early])


@EACH
def test_a_series_scores_alone_as_it_does_in_the_fleet(detector: Detector) -> None:
    given = samples(rough())
    among = detector.step(detector.init(5), given)

    for number in range(5):
        own = given.series == number
        alone = detector.step(detector.init(1), only(given, own, renumber=True))
        np.testing.assert_array_equal(alone, among[own])


@EACH
def test_the_order_of_series_changes_nothing(detector: Detector) -> None:
    values = rough()
    score = detector.step(detector.init(5), samples(values))
    turned = detector.step(detector.init(5), samples(values[::-1]))

    counts = (~np.isnan(values)).sum(axis=1)
    pieces = np.split(turned, np.cumsum(counts[::-1])[:-1])
    np.testing.assert_array_equal(np.concatenate(pieces[::-1]), score)


@EACH
def test_a_grown_fleet_scores_as_one_that_was_large_from_the_start(detector: Detector) -> None:
    given = samples(rough())
    first = given.series < 2
    whole = detector.step(detector.init(5), given)

    state = detector.init(2)
    before = detector.step(state, only(given, first))
    after = detector.step(grown(state, detector.init(3)), only(given, ~first))

    np.testing.assert_array_equal(np.concatenate([before, after]), whole)


@EACH
def test_a_series_that_never_moves_is_no_anomaly(detector: Detector) -> None:
    score = detector.step(detector.init(2), samples(np.full((2, 700), 42.0)))

    assert score.max() < 1.0


@EACH
def test_noise_rarely_passes_the_threshold(detector: Detector) -> None:
    values = np.random.default_rng(3).normal(50.0, 2.0, size=(40, 4_032))

    score = detector.step(detector.init(40), samples(values))

    alarms = ((score[1:] >= 1.0) & (score[:-1] < 1.0)).sum()
    assert alarms <= 40  # 40 series for two weeks: 10 are promised


@EACH
@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_the_unit_of_a_metric_changes_nothing_of_note(detector: Detector, scale: float) -> None:
    values = rough()
    one = detector.step(detector.init(5), samples(values))
    other = detector.step(detector.init(5), samples(values * scale))

    assert np.quantile(np.abs(one - other), 0.99) < 0.2


def test_all_that_is_remembered_of_a_series_fits_one_kilobyte_with_the_habit_of_its_device() -> None:
    metrics = 20
    engine = Engine(fleet(10, tuple(f"m{k}" for k in range(metrics))))
    rows = np.random.default_rng(0).normal(size=(300, metrics))
    for device in range(10):
        engine.train(device, np.arange(metrics) + device * metrics, rows, np.zeros(300, np.bool_))

    held = engine.snapshot()

    of_series = sum(array.nbytes for name, array in held.items() if name.startswith(("series.", "habits/")))
    assert len(engine.habits.champion) == 10
    assert of_series / engine.roster.series_count <= LIMIT_BYTES
    assert sum(bytes_per_series(detector.init(10)) for detector in DETECTORS) <= LIMIT_BYTES


def test_a_rhythm_that_outgrows_its_young_spread_a_hundredfold_is_learned_as_well() -> None:
    minutes = np.arange(28 * 288) * 5
    day = np.sin(minutes / 1_440.0 * 2.0 * np.pi) + 0.05 * np.random.default_rng(0).normal(size=minutes.size)
    day[:24] *= 0.05
    day[20 * 288 : 21 * 288] = 1.0 + 0.05 * np.random.default_rng(1).normal(size=288)
    state = rhythm.RHYTHM.init(1)

    score = rhythm.RHYTHM.step(state, samples(day[None]))

    assert state["rhythm"]["doubled"][0] > 0
    assert score[14 * 288 : 20 * 288].max() < 1.0
    assert score[20 * 288 : 21 * 288].max() > 1.0
    mean = rhythm.profiles(state["rhythm"])[0] / rhythm.STEPS * state["rhythm"]["unit"] + state["rhythm"]["origin"]
    np.testing.assert_allclose(mean, np.sin((np.arange(168) + 0.46) / 24.0 * 2.0 * np.pi), atol=0.4)
