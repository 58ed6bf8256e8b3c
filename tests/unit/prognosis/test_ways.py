from __future__ import annotations

import numpy as np
import pytest

from gateway.prognosis.ways import Ways
from tests.unit.prognosis.fleet import DAY_MS, START_MS

KIND = "lamp L1"
STEP_MS = DAY_MS // 4


def life(rng, *, past=0):
    """Brightness that falls from 10 to 4 as a power of age, in 30 to 60 days, and `past` samples beyond; its end."""
    end, bend = rng.uniform(30.0, 60.0), rng.uniform(0.7, 1.4)
    day = np.arange(1, int(end * 4) + past + 1) / 4.0
    return 10.0 - 6.0 * (day / end) ** bend + rng.normal(0.0, 0.05, day.size), end


def times(value, first=1):
    return START_MS + (first + np.arange(value.size)) * STEP_MS


def walked(ways, row, value, *, first=1, kind=KIND):
    return ways.advance(np.full(value.size, row), times(value, first), value, [kind] * (row + 1))


def schooled(units=8, *, kind=KIND):
    ways, rng = Ways(4.0, "falling"), np.random.default_rng(0)
    ways.grow(units)
    ends = [walked(ways, row, life(rng, past=8)[0], kind=kind) for row in range(units)]
    assert all(len(end) == 1 for end in ends)
    ways.learn()
    return ways


def asked(ways, row, value, *, kind=KIND):
    return ways.left(np.array([row]), [kind], int(times(value)[-1]))


def test_units_that_reached_the_limit_teach_how_long_others_have():
    rng, held, off = np.random.default_rng(1), [], []
    ways = schooled()
    ways.grow(48)
    for row in range(8, 48):
        value, end = life(rng)
        some = value[: int(value.size * rng.uniform(0.4, 0.9))]
        walked(ways, row, some)
        told, left = asked(ways, row, some), end - some.size / 4.0
        held.append(told.low[0] <= left <= told.high[0])
        off.append(abs(np.log(told.median[0] / left)))

    assert np.mean(held) >= 0.8
    assert np.median(off) < 0.3


def test_nothing_is_learned_before_learn_is_called_nor_of_another_model():
    ways, rng = schooled(), np.random.default_rng(2)
    ways.grow(12)
    value = life(rng)[0][:80]
    walked(ways, 8, value)
    before = asked(ways, 8, value)
    for row in range(9, 12):
        walked(ways, row, life(rng, past=8)[0])

    assert asked(ways, 8, value).median == before.median
    assert np.isnan(asked(ways, 8, value, kind="lamp L2").median[0])
    ways.learn()
    assert asked(ways, 8, value).median != before.median


def test_a_series_that_only_trembles_is_on_no_way():
    ways = schooled()
    ways.grow(9)
    value = 10.0 + np.random.default_rng(3).normal(0.0, 0.5, 160)
    walked(ways, 8, value)

    assert np.isnan(asked(ways, 8, value).median[0])


def test_one_wild_value_ends_no_way():
    ways = Ways(4.0, "falling")
    ways.grow(1)
    value = life(np.random.default_rng(4))[0][:80]
    value[[30, 31]] = 0.0

    assert not len(walked(ways, 0, value))


def test_a_part_that_is_replaced_begins_anew_whether_it_reached_the_limit_or_not():
    ways, rng = schooled(), np.random.default_rng(5)
    ways.grow(10)
    worn, fresh = life(rng, past=8)[0], life(rng)[0]
    for row, first in ((8, worn), (9, worn[:100])):
        walked(ways, row, np.concatenate([first, fresh[:100]]))
    alone = schooled()
    alone.grow(9)
    walked(alone, 8, fresh[:100])

    told = [ways.left(np.array([row]), [KIND], START_MS + (n + 100) * STEP_MS) for row, n in ((8, worn.size), (9, 100))]
    for answer in told:
        assert answer.median[0] == pytest.approx(asked(alone, 8, fresh[:100]).median[0], rel=0.15)


@pytest.mark.parametrize("cut", [1, 37, 100])
def test_cuts_and_restarts_change_nothing(cut):
    value = life(np.random.default_rng(6))[0][:120]
    whole, parts = schooled(), schooled()
    for ways in (whole, parts):
        ways.grow(9)
    walked(whole, 8, value)
    walked(parts, 8, value[:cut])
    again = Ways(4.0, "falling")
    assert again.restore({name: np.array(array) for name, array in parts.snapshot().items()})
    walked(again, 8, value[cut:], first=1 + cut)

    assert asked(again, 8, value) == asked(whole, 8, value)
    for name, array in whole.snapshot().items():
        np.testing.assert_array_equal(again.snapshot()[name], array)


def test_a_snapshot_of_another_limit_is_not_gone_on_from():
    assert not Ways(3.0, "falling").restore(schooled().snapshot())


def test_late_samples_change_nothing():
    ways = schooled()
    ways.grow(9)
    value = life(np.random.default_rng(7))[0][:100]
    walked(ways, 8, value)
    before = asked(ways, 8, value)

    walked(ways, 8, np.zeros(50))

    assert asked(ways, 8, value) == before
