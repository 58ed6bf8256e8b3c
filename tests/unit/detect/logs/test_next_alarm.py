"""Forecasts of alarm codes: they find what follows what, see nothing of what is to come, and go on after a restart."""

from collections import defaultdict

import numpy as np

from gateway.detect.logs.next_alarm import HORIZON_MS, NextAlarms, layout

HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000


def events(hours, seed=0):
    """(hour, code) of a machine: codes 1 and 2 by chance, and two hours after each 3, which is seldom, 7 sounds."""
    rng = np.random.default_rng(seed)
    found = [(h, c) for h in range(hours) for c in (1, 2) if rng.random() < 0.1]
    threes = [h for h in range(hours) if rng.random() < 0.03]
    return sorted([*found, *((h, 3) for h in threes), *((h + 2, 7) for h in threes)])


def play(alarms, heard, hours):
    """The chance of 7 and of 1 as asked at every second hour."""
    found, by_hour = [], defaultdict(list)
    for hour, code in heard:
        by_hour[hour].append(code)
    for h in hours:
        codes = by_hour[h - 1]
        alarms.hear(codes, np.full(len(codes), START_MS + (h - 1) * HOUR_MS + 60_000))
        if h % 2 == 0:
            chance = alarms.ask(START_MS + h * HOUR_MS)
            found.append([float(chance[alarms.codes == code].sum()) for code in (7, 1)])
    return np.array(found)


def test_a_code_that_follows_another_is_forecast():
    hours, heard = range(2_000), events(2_000)

    found = play(NextAlarms(pending=5), heard, hours)

    asked = np.arange(0, 2_000, 2)
    just = np.isin(asked - 1, [h for h, code in heard if code == 3]) & (asked > 1_400)
    idle = ~np.isin(asked, [h + d for h, code in heard if code in (3, 7) for d in range(10)]) & (asked > 1_400)
    assert np.median(found[just, 0]) > 0.55 > 0.3 > np.median(found[idle, 0])


def test_chances_are_as_often_right_as_they_say():
    hours, heard = range(3_000), events(3_000, seed=1)

    found = play(NextAlarms(pending=5), heard, hours)[700:1_490, 1]

    asked = np.arange(1_400, 2_980, 2)
    ones = np.array([h for h, code in heard if code == 1])
    came = [bool(((ones >= h) & (ones < h + 8)).any()) for h in asked]
    assert abs(found.mean() - np.mean(came)) < 0.06


def test_what_comes_later_changes_no_forecast():
    whole = play(NextAlarms(), events(600), range(600))

    part = play(NextAlarms(), [e for e in events(600) if e[0] < 400], range(400))

    np.testing.assert_array_equal(part, whole[:200])


def test_a_restart_changes_no_forecast():
    whole = play(NextAlarms(), events(400), range(400))
    alarms = NextAlarms()
    play(alarms, events(400), range(200))

    again = play(NextAlarms.of(alarms.held), events(400), range(200, 400))

    np.testing.assert_array_equal(again, whole[100:])


def test_without_a_past_nothing_is_forecast():
    assert (NextAlarms().ask(START_MS) == 0).all()


def test_more_codes_than_there_is_room_for_push_out_those_unheard_for_longest():
    alarms = NextAlarms(room=4)
    for k in range(9):
        alarms.hear([k], np.array([START_MS + k * HOUR_MS]))
        alarms.ask(START_MS + k * HOUR_MS + 1)

    assert sorted(alarms.codes.tolist()) == [5, 6, 7, 8]
    assert np.isfinite(alarms.ask(START_MS + 20 * HOUR_MS)).all()


def test_a_burst_of_strange_codes_in_one_call_is_survived():
    alarms = NextAlarms(room=4)

    alarms.hear(list(range(100)), START_MS + np.arange(100))

    assert sorted(alarms.codes.tolist()) == [96, 97, 98, 99]


def test_what_is_known_better_than_by_hearing_is_learned_instead():
    heard, told = NextAlarms(), NextAlarms()
    for alarms in (heard, told):
        alarms.hear([1, 2], np.array([START_MS, START_MS + 1]))
        alarms.ask(START_MS + HOUR_MS)
        alarms.hear([1], np.array([START_MS + 2 * HOUR_MS]))

    told.sounded(START_MS + HOUR_MS, [2])

    after = [a.ask(START_MS + HOUR_MS + HORIZON_MS) for a in (heard, told)]
    assert after[0][0] > after[1][0]
    assert after[0][1] < after[1][1]


def test_a_device_costs_no_more_than_was_said():
    assert layout(12, 3).itemsize < 12_000
