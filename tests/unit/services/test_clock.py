"""The fleet's time: the past at the pace of the slower, then the wall clock, never back."""

import numpy as np

from gateway.model import Block, Device, Roster
from gateway.services.clock import CAUGHT_UP_MS, FleetClock

HOUR, DAY = 3_600_000, 86_400_000
WALL = 1_785_000_000_000


def fleet(devices=10):
    roster = Roster()
    for number in range(devices):
        roster.put_device(Device(device_id=f"d{number}", number=number, type="router"))
        roster.series(number, roster.metric("heat"))
    return roster


def block(times, window=1):
    """One sample of each device, or none where its time is None."""
    held = [(device, t_ms) for device, t_ms in enumerate(times) if t_ms is not None]
    series, t_ms = (np.array([row[k] for row in held], np.int64) for k in (0, 1))
    return Block(
        window=window, received_ms=WALL, series=series, t_ms=t_ms, value=np.zeros(series.size),
        late=np.zeros(series.size, bool),
    )  # fmt: skip


def test_in_the_past_it_is_the_time_of_those_who_are_behind():
    clock = FleetClock(fleet())
    now_ms = clock.after(block([WALL - 20 * DAY] * 2 + [WALL - 3 * DAY] * 8), WALL)

    assert now_ms == WALL - 20 * DAY
    assert clock.tick(WALL + 1) is None


def test_one_device_that_died_in_the_past_does_not_hold_the_others_back():
    clock = FleetClock(fleet())
    clock.after(block([WALL - 20 * DAY] + [WALL - 3 * DAY] * 9), WALL)

    assert clock.after(block([None] + [WALL] * 9, window=2), WALL) == WALL
    assert clock.live


def test_what_is_fresh_when_it_comes_makes_the_fleet_live_and_it_stays_so():
    clock = FleetClock(fleet())
    clock.after(block([WALL - 1_000] * 10), WALL)

    assert clock.live
    assert clock.tick(WALL + DAY) == WALL + DAY
    assert clock.after(block([WALL - DAY] * 10, window=2), WALL + DAY + 1) == WALL + DAY + 1


def test_a_fleet_that_reports_once_an_hour_is_live():
    """Most devices were last heard half an hour ago: that is their rhythm, no backlog."""
    clock = FleetClock(fleet())
    for device in range(10):
        at_ms = WALL + device * HOUR // 10
        clock.after(block([at_ms - 5_000 if n == device else None for n in range(10)], window=device + 1), at_ms)

    assert clock.live
    assert clock.now_ms == at_ms


def test_a_gateway_that_starts_while_every_device_is_silent_goes_live_after_a_while():
    clock = FleetClock(fleet())
    early = clock.tick(WALL)

    assert early is None
    assert clock.tick(WALL + CAUGHT_UP_MS - 1) is None
    assert clock.tick(WALL + CAUGHT_UP_MS) == WALL + CAUGHT_UP_MS


def test_devices_that_fell_silent_in_the_middle_of_their_backlog_are_not_waited_for():
    clock = FleetClock(fleet())
    clock.after(block([WALL - 9 * DAY] * 6 + [WALL - HOUR] * 4), WALL)
    later = WALL + CAUGHT_UP_MS
    clock.after(block([None] * 6 + [later] * 4, window=2), later)

    assert clock.live


def test_time_never_goes_back():
    clock = FleetClock(fleet(2), now_ms=WALL - HOUR)

    assert clock.after(block([WALL - DAY, WALL - DAY]), WALL) == WALL - HOUR


def test_a_device_ahead_of_the_wall_clock_does_not_take_the_fleet_along():
    clock = FleetClock(fleet(1))

    assert clock.after(block([WALL + DAY]), WALL) == WALL


def test_devices_provisioned_while_it_runs_are_heard():
    roster = fleet(1)
    clock = FleetClock(roster)
    clock.after(block([WALL - 5 * DAY]), WALL)
    roster.put_device(Device(device_id="new", number=1, type="router"))
    roster.series(1, roster.metric("heat"))

    assert clock.after(block([WALL - 4 * DAY, WALL - 4 * DAY], window=2), WALL) == WALL - 4 * DAY
