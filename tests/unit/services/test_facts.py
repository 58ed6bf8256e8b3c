"""Facts: last values, staleness, births, growth and snapshots."""

import numpy as np

from gateway.model import Birth, Block, Device, Roster
from gateway.services.facts import STALE_MS, Facts

HOUR = 3_600_000


def block(series, t_ms, value, *, births=(), window=1):
    size = len(series)
    return Block(
        window=window,
        received_ms=max(t_ms, default=0),
        series=np.array(series, np.int64),
        t_ms=np.array(t_ms, np.int64),
        value=np.array(value, float),
        late=np.zeros(size, bool),
        births=births,
    )


def fleet():
    roster = Roster()
    for number in range(3):
        roster.put_device(Device(device_id=f"d{number}", number=number, type="router"))
    heat, fan = roster.metric("heat"), roster.metric("fan")
    roster.series(0, heat), roster.series(1, heat), roster.series(1, fan)
    return roster


def test_the_newest_sample_of_each_series_counts_even_when_an_older_one_comes_later():
    facts = Facts(fleet())
    facts.update(block([0, 0, 1], [HOUR, 2 * HOUR, HOUR], [1.0, 2.0, 7.0]), 2 * HOUR)
    facts.update(block([0], [HOUR + 1], [9.0]), 2 * HOUR)

    np.testing.assert_array_equal(facts.column("heat"), [2.0, 7.0, np.nan])


def test_an_old_value_is_unknown():
    facts = Facts(fleet())
    facts.update(block([0, 1], [HOUR, STALE_MS], [1.0, 2.0]), HOUR + STALE_MS)

    np.testing.assert_array_equal(facts.column("heat"), [np.nan, 2.0, np.nan])
    assert facts.newest(1) == (("heat", 2.0),)


def test_reboots_leave_out_the_first_birth():
    facts = Facts(fleet())
    births = tuple(Birth(device_id="d0", boot=n, t_ms=n * HOUR) for n in (1, 2, 3))
    facts.update(block([], [], [], births=births), 4 * HOUR)

    np.testing.assert_array_equal(facts.column("reboots_24h"), [2, 0, 0])
    facts.update(block([], [], []), 26 * HOUR + 1)
    np.testing.assert_array_equal(facts.column("reboots_24h"), [1, 0, 0])


def test_a_snapshot_restores_and_the_fleet_may_grow_after():
    roster = fleet()
    facts = Facts(roster)
    facts.update(block([0], [HOUR], [4.0], births=(Birth(device_id="d0", boot=1, t_ms=1),)), HOUR)
    again = Facts(roster)
    again.restore(facts.snapshot())
    roster.put_device(Device(device_id="d3", number=3, type="router"))
    series = roster.series(3, roster.metric("heat"))
    again.update(block([series], [HOUR], [5.0]), HOUR)

    np.testing.assert_array_equal(again.column("heat"), [4.0, np.nan, np.nan, 5.0])
    assert again.column("age_s")[0] == (HOUR - 1) / 1000


def test_an_unknown_name_is_unknown_everywhere():
    assert np.isnan(Facts(fleet()).column("nothing_like_it")).all()


def test_sources_are_asked_first_and_fitted_to_the_fleet():
    facts = Facts(fleet(), {"score": lambda name: np.array([1.5]) if name == "score.device" else None})

    np.testing.assert_array_equal(facts.column("score.device"), [1.5, np.nan, np.nan])
    assert np.isnan(facts.column("score.unheard_of")).all()
