from __future__ import annotations

import numpy as np

from gateway.prognosis.features import Features

HOUR_MS = 3_600_000
HORIZON_MS = 72 * HOUR_MS


def told(value, *, silent_h=0):
    """(looks, 2) probabilities of a shift up and down, hour by hour."""
    features = Features(HORIZON_MS)
    course = features.courses("shift:pressure", np.zeros(value.size, np.int64))
    t_ms = np.arange(value.size) * HOUR_MS
    return features.walk(
        course, t_ms, value, device=np.zeros(value.size, np.int64), at_ms=t_ms + silent_h * HOUR_MS
    )  # fmt: skip


def test_a_shift_is_told_within_hours_and_forgotten_when_it_is_over():
    value = 100.0 + 10.0 * np.random.default_rng(0).normal(size=700)
    value[500:548] += 20.0

    up, down = told(value).T

    assert up[200:500].mean() < 0.03
    assert up[508:548].min() > 0.8
    assert up[556:].mean() < 0.05
    assert down[500:548].max() < 0.1


def test_a_level_that_wanders_by_nature_is_no_shift():
    rng = np.random.default_rng(1)
    value = np.zeros(2000)
    for i in range(1, value.size):
        value[i] = 0.95 * value[i - 1] + rng.normal()

    assert (told(value)[500:] > 0.9).mean() < 0.05


def test_of_a_gauge_that_has_fallen_silent_nothing_is_known():
    value = np.random.default_rng(2).normal(size=100)

    assert np.isfinite(told(value)).all()
    assert np.isnan(told(value, silent_h=24)[-1]).all()


def test_a_shift_goes_on_after_a_restart_as_if_there_was_none():
    value = np.random.default_rng(3).normal(size=300)
    value[250:] += 2.0
    device, t_ms = np.zeros(300, np.int64), np.arange(300) * HOUR_MS
    first = Features(HORIZON_MS)
    first.walk(first.courses("shift:x", device[:260]), t_ms[:260], value[:260], device=device[:0], at_ms=t_ms[:0])

    later = Features.restore(first.snapshot())
    rows = later.walk(
        later.courses("shift:x", device[260:]), t_ms[260:], value[260:], device=device[260:], at_ms=t_ms[260:]
    )  # fmt: skip

    np.testing.assert_array_equal(rows, told(value)[260:])
