from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from gateway.prognosis.features import Features

HOUR_MS = 3_600_000
HORIZON_MS = 72 * HOUR_MS


def recording(seed=0, devices=3, samples=400):
    """(course kind, device, t_ms, value) of a metric and a log code, by time."""
    rng = np.random.default_rng(seed)
    device = rng.integers(0, devices, samples)
    t_ms = np.sort(rng.integers(0, 40 * 24, samples)) * HOUR_MS
    return device, t_ms, np.round(rng.normal(100.0, 5.0, samples)), rng.random(samples) < 0.2


def rows_of(data, *, device, at_ms, before=None, cuts=(), features=None):
    """Feature rows at the looks, the recording taken in one piece or cut at the given samples."""
    features = features or Features(HORIZON_MS)
    of, t_ms, value, logged = data
    if before is not None:
        keep = t_ms <= before
        of, t_ms, value, logged = of[keep], t_ms[keep], value[keep], logged[keep]
    edges = [0, *cuts, t_ms.size]
    out = []
    for first, end in pairwise(edges):
        s = slice(first, end)
        metric = features.courses("metric:amperes", of[s])
        code = features.courses("code:E1", of[s][logged[s]])
        counted = features.count("code:E1", of[s][logged[s]])
        last_ms = t_ms[end - 1] if end < t_ms.size else np.iinfo(np.int64).max
        first_ms = t_ms[first - 1] if first else -1
        mine = (at_ms > first_ms) & (at_ms <= last_ms)
        rows = features.walk(
            np.concatenate([metric, code]),
            np.concatenate([t_ms[s], t_ms[s][logged[s]]]),
            np.concatenate([value[s], counted]),
            device=device[mine],
            at_ms=at_ms[mine],
        )
        out.append(rows)
    return np.concatenate(out), features


def looks(devices=3):
    at_ms = np.arange(30, 40 * 24, 30) * HOUR_MS + 1
    return np.tile(np.arange(devices), at_ms.size), np.repeat(at_ms, devices)


def test_cutting_the_future_off_never_changes_the_past():
    data, (device, at_ms) = recording(), looks()
    past = at_ms <= 20 * 24 * HOUR_MS

    whole, _ = rows_of(data, device=device, at_ms=at_ms)
    cut, _ = rows_of(data, device=device[past], at_ms=at_ms[past], before=20 * 24 * HOUR_MS)

    np.testing.assert_array_equal(cut, whole[past])


def test_where_blocks_are_cut_changes_nothing():
    data, (device, at_ms) = recording(), looks()
    distinct = np.flatnonzero(np.diff(data[1])) + 1

    whole, _ = rows_of(data, device=device, at_ms=at_ms)
    pieces, _ = rows_of(data, device=device, at_ms=at_ms, cuts=[*distinct[[3, 40, 41, 200]].tolist()])

    np.testing.assert_allclose(pieces, whole, rtol=1e-6)


def test_a_device_alone_has_the_rows_it_has_in_the_fleet():
    data, (device, at_ms) = recording(), looks()
    mine = data[0] == 1

    whole, _ = rows_of(data, device=device, at_ms=at_ms)
    alone, _ = rows_of(tuple(column[mine] for column in data), device=device[device == 1], at_ms=at_ms[device == 1])

    np.testing.assert_array_equal(alone, whole[device == 1])


def test_a_restart_changes_nothing():
    data, (device, at_ms) = recording(), looks()
    half = int(np.flatnonzero(np.diff(data[1]))[150]) + 1
    early = tuple(column[:half] for column in data)
    late = tuple(column[half:] for column in data)
    after = at_ms > data[1][half - 1]

    whole, _ = rows_of(data, device=device, at_ms=at_ms)
    _, features = rows_of(early, device=device[:0], at_ms=at_ms[:0])
    again = Features.restore(features.snapshot())
    rest, _ = rows_of(late, device=device[after], at_ms=at_ms[after], features=again)

    np.testing.assert_allclose(rest, whole[after], rtol=1e-6)


def test_no_feature_moves_when_the_whole_recording_is_moved_in_the_calendar():
    data, (device, at_ms) = recording(), looks()
    shift = 11 * 24 * HOUR_MS + 5 * HOUR_MS
    moved = (data[0], data[1] + shift, data[2], data[3])

    here, _ = rows_of(data, device=device, at_ms=at_ms)
    there, _ = rows_of(moved, device=device, at_ms=at_ms + shift)

    np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("hours", "doublings"), [(10, -1), (36, -1), (37, 0), (72, 0), (73, 1), (144, 1), (145, 2)])
def test_time_since_service_is_told_in_doublings_of_the_horizon_only(hours, doublings):
    features = Features(HORIZON_MS)
    course = features.courses("service:pump", np.array([0]))
    value = features.count("service:pump", np.array([0]))

    rows = features.walk(course, np.array([0]), value, device=np.array([0]), at_ms=np.array([hours * HOUR_MS]))

    assert rows[0, features.names.index("service:pump.age_doublings")] == doublings


def test_a_rise_fades_by_half_in_each_half_life():
    features = Features(HORIZON_MS)
    course = features.courses("metric:errors_total", np.zeros(2, np.int64))
    at = np.array([1, 1 + 18]) * HOUR_MS

    rows = features.walk(course, np.array([0, HOUR_MS]), np.array([0.0, 8.0]), device=np.zeros(2, np.int64), at_ms=at)

    assert rows[:, features.names.index("metric:errors_total.rise")].tolist() == [8.0, 4.0]
