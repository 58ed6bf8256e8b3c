from __future__ import annotations

import numpy as np
import pytest

from gateway.prognosis import parts
from gateway.prognosis.calibration import deciles

PARTS = ("fan", "pump", "valve")
NAMES = (
    *(f"code:{c}.{of}" for c in "abcd" for of in ("rise_short", "rise", "since_change")),
    *(f"shift:{g}.up" for g in "xyz"),
    *(f"service:{part}.age_doublings" for part in PARTS),
    "age",
)
COMES_BEFORE = {0: 1, 1: 3, 2: 0}  # part to code; the gauge has the part's number


def fleet(devices, *, seed, gauges=0.3, looks=40):
    """Devices that fail at random: a third of a horizon ahead comes the part's code, a half ahead its gauge shifts.

    Both come without a failure as well; three in ten devices have gauges.
    """
    rng = np.random.default_rng(seed)
    count, step = devices * looks, 1.0 / 12.0
    device = np.repeat(np.arange(devices), looks)
    left = np.full((count, 3), np.inf)
    since, shift = np.full((count, 4), np.nan), np.full((count, 3), np.nan)
    for d in range(devices):
        mine = slice(d * looks, (d + 1) * looks)
        at = np.arange(looks) * step
        seen = rng.random() < gauges
        if seen:
            shift[mine] = 0.02
        part, fails = rng.integers(3), rng.random() < 0.5
        due = rng.uniform(1.0, looks * step)
        if fails:
            left[mine, part] = np.where(at < due, due - at, np.inf)
        told, began = due - 1.0 / 3.0, due - 0.5
        if fails or rng.random() < 0.4:
            since[mine, COMES_BEFORE[int(part)]] = np.where(at >= told, at - told, np.nan)
        if seen and (fails or rng.random() < 0.4):
            shift[mine, part] = np.where((at >= began) & (at < due), 0.97, 0.02)
        other = rng.integers(4)
        came = rng.uniform(0.0, looks * step)
        since[mine, other] = np.fmin(since[mine, other], np.where(at >= came, at - came, np.nan))
    fresh = np.where(np.isnan(since), np.nan, 0.5 ** (np.nan_to_num(since) / 0.25))
    codes = np.stack([fresh, fresh, since], 2).reshape(count, 12)
    about = np.column_stack([np.full((count, 3), 3.0), np.full(count, 7.0)])
    return np.column_stack([codes, shift, about]).astype(np.float32), device, left


@pytest.fixture(scope="module")
def model():
    rows, device, left = fleet(400, seed=0)
    return parts.train(rows, NAMES, device, left, parts=PARTS)


def test_fifty_failures_are_asked_for():
    rows, device, left = fleet(80, seed=1)

    assert parts.train(rows, NAMES, device, left, parts=PARTS) is None


def test_three_devices_are_asked_for():
    rows, _, left = fleet(400, seed=0)

    assert parts.train(rows, NAMES, np.repeat([0, 1], 8000), left, parts=PARTS) is None


def test_the_right_part_is_named(model):
    rows, _, left = fleet(200, seed=2)

    p = model.probability(rows, NAMES)

    soon = left.min(axis=1) <= 0.3
    assert (p[soon].argmax(1) == left[soon].argmin(1)).mean() > 0.9


def test_a_code_means_more_with_its_gauge_shifted_and_less_without(model):
    rows = np.full((4, len(NAMES)), np.nan, np.float32)
    rows[:, -4:] = 3.0, 3.0, 3.0, 7.0
    rows[:, 3:6] = 0.9, 0.9, 0.05  # code b, of the fan
    rows[1:, 12:15] = 0.02
    rows[2, 12] = 0.97  # the fan's gauge
    rows[3, 13] = 0.97  # the pump's

    fan = model.probability(rows, NAMES)[:, 0]

    assert fan[1] < 0.5 * fan[0]
    assert fan[2] > fan[0]
    assert fan[3] < fan[0]


def test_probabilities_hold_on_devices_never_seen(model):
    rows, _, left = fleet(1000, seed=3)

    bins = deciles(model.probability(rows, NAMES).ravel(), (left <= 1.0).ravel(), bins=4)

    ratio = bins[:, 1] / bins[:, 0]
    assert ratio.min() > 0.7
    assert ratio.max() < 1.4


def test_a_row_is_judged_by_itself(model):
    rows, _, _ = fleet(3, seed=4)

    alone = np.concatenate([model.probability(rows[i : i + 1], NAMES) for i in range(len(rows))])

    np.testing.assert_array_equal(alone, model.probability(rows, NAMES))


def test_more_time_since_service_never_lowers_the_risk_of_that_part(model):
    rows = np.repeat(fleet(1, seed=5)[0][-1:], 6, axis=0)
    rows[:, NAMES.index("service:pump.age_doublings")] = np.arange(-1, 5)

    assert (np.diff(model.probability(rows, NAMES)[:, 1]) >= -1e-12).all()


def test_one_part_without_codes_or_gauges_is_enough():
    rng = np.random.default_rng(6)
    device, age = np.repeat(np.arange(300), 10), rng.integers(-1, 5, 3000).astype(np.float32)
    left = np.where(rng.random(3000) < 0.01 * 2.0**age, rng.random(3000), np.inf)[:, None]

    model = parts.train(age[:, None], ("service:fan.age_doublings",), device, left, parts=("fan",))

    p = model.probability(np.array([[0.0], [4.0]], np.float32), ("service:fan.age_doublings",))
    assert p[1, 0] > 3.0 * p[0, 0]
