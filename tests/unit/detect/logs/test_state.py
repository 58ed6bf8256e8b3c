"""The state of a fleet's logs: bursts, novelties, facts, episodes; causal, restartable, whatever the devices' order."""

import numpy as np
import pytest

from gateway.detect import Engine
from gateway.detect.logs import LogState
from gateway.model import Block, Device, DeviceId, LogLines, Roster

START_MS = 1_700_000_400_000
STEP_MS = 600_000
DAY = 144


def roster(count: int, order=None) -> Roster:
    found = Roster()
    for number, k in enumerate(order if order is not None else range(count)):
        found.put_device(Device(device_id=DeviceId(f"d{k}"), number=number, type="lock" if k % 2 else "router"))
    return found


def lines_of(rows) -> LogLines:
    rows = sorted(rows)
    return LogLines(
        device=np.array([r[0] for r in rows], np.int64),
        t_ms=np.array([r[1] for r in rows], np.int64),
        severity=np.array([r[2] for r in rows], np.int8),
        source=("app",) * len(rows),
        text=tuple(r[3] for r in rows),
    )


def quiet(step: int, devices: int, seed: int = 0):
    """The rows of an ordinary ten minutes: a heartbeat each, now and then a retry."""
    rng = np.random.default_rng((seed, step))
    t_ms = START_MS + step * STEP_MS
    rows = []
    for d in range(devices):
        rows += [(d, t_ms + 1000 * k, 1, f"heartbeat ok seq={rng.integers(10**6)}") for k in range(rng.poisson(2))]
        if rng.random() < 0.3:
            rows.append((d, t_ms + 5000, 2, f"wifi retry {rng.integers(9)} of ap 10.0.0.{rng.integers(99)}"))
    return rows


def play(state, steps, devices, extra=None, number=lambda d: d):
    found = []
    for step in steps:
        rows = [(number(d), t, s, x) for d, t, s, x in quiet(step, devices) + (extra or {}).get(step, [])]
        found.append(state.advance(lines_of(rows), START_MS + (step + 1) * STEP_MS))
    return found


def at(step: int) -> int:
    return START_MS + step * STEP_MS


def test_an_ordinary_week_raises_nothing():
    found = play(LogState(roster(30)), range(3 * DAY), 30)

    assert [f.opened for f in found if f.opened] == []


def test_a_flood_is_a_burst_once_and_ends():
    flood = [(3, at(2 * DAY) + k, 2, f"wifi retry {k} of ap 10.0.0.1") for k in range(60)]
    state = LogState(roster(10))

    found = play(state, range(2 * DAY + 20), 10, {2 * DAY: flood})

    opened = [e for f in found for e in f.opened]
    closed = [e for f in found for e in f.closed]
    assert [(e.device_id, e.detector) for e in opened] == [("d3", "log_burst")]
    assert [(e.device_id, e.onset_ms) for e in closed] == [("d3", opened[0].onset_ms)]
    assert "wifi retry <*> of ap <*>" in opened[0].reason
    assert opened[0].metric == closed[0].metric == f"log:{opened[0].metric[4:]}"
    assert state.text_of(opened[0].metric[4:]) == "wifi retry <*> of ap <*>"


def test_an_error_that_nobody_logged_before_is_a_novelty():
    error = [(5, at(2 * DAY) + k, 3, f"flash write error at block {k} code E12") for k in range(3)]
    state = LogState(roster(40))

    found = play(state, range(2 * DAY + 1), 40, {2 * DAY: error})

    assert [(e.device_id, e.detector) for f in found for e in f.opened] == [("d5", "log_new")]
    assert state.column("log.error_rate_1h")[5] == 3
    assert state.column("log.new_templates_1h").tolist() == [float(d == 5) for d in range(40)]
    assert state.column("log.novelty")[5] >= 1


def test_what_is_common_in_the_fleet_is_no_novelty_on_one_more_device():
    error = {step: [(d, at(step) + 1, 3, "flash write error code E12")] for d, step in enumerate(range(100, 130))}
    late = [(38, at(2 * DAY), 3, "flash write error code E12")]

    found = play(LogState(roster(40)), range(2 * DAY + 1), 40, {**error, 2 * DAY: late})

    assert found[-1].opened == ()


def test_a_new_fleet_is_silent_on_its_first_day():
    rows = {step: [(2, at(step), 4, f"{'abcdefgh'[step % 8]}{'ijklmnop'[step // 8]} broke down")] for step in range(20)}

    found = play(LogState(roster(5)), range(20), 5, rows)

    assert all(f.opened == () for f in found)


def test_lines_from_before_raise_nothing():
    old = [(3, at(5) + k, 2, f"wifi retry {k} of ap 10.0.0.1") for k in range(60)]

    found = play(LogState(roster(10)), range(2 * DAY + 1), 10, {2 * DAY: old})

    assert found[-1].opened == ()


def test_facts_of_the_last_hour_fade():
    errors = [(1, at(10) + k, 3, "valve stuck") for k in range(4)]
    state = LogState(roster(3))
    play(state, range(11), 3, {10: errors})
    assert state.column("log.error_rate_1h").tolist() == [0, 4, 0]

    state.advance(LogLines.none(), at(11) + 7 * STEP_MS)

    assert state.column("log.error_rate_1h").tolist() == [0, 0, 0]
    assert np.isnan(state.column("log.no_such")).all()


def flood_and_error():
    return {
        2 * DAY: [(3, at(2 * DAY) + k, 2, f"wifi retry {k} of ap 10.0.0.1") for k in range(60)],
        2 * DAY + 3: [(5, at(2 * DAY + 3) + k, 3, f"flash write error at block {k} code E12") for k in range(3)],
    }


def test_cutting_the_future_off_changes_no_finding_of_the_past():
    whole = play(LogState(roster(12)), range(2 * DAY + 12), 12, flood_and_error())

    part = play(LogState(roster(12)), range(2 * DAY + 4), 12, flood_and_error())

    assert part == whole[: 2 * DAY + 4]
    assert any(f.opened for f in part)


@pytest.mark.parametrize("cut", [DAY, 2 * DAY + 1])
def test_a_restart_in_the_middle_changes_nothing(cut):
    whole = play(LogState(roster(12)), range(2 * DAY + 12), 12, flood_and_error())
    state = LogState(roster(12))
    play(state, range(cut), 12, flood_and_error())

    again = play(LogState.restore(roster(12), state.snapshot()), range(cut, 2 * DAY + 12), 12, flood_and_error())

    assert again == whole[cut:]


def test_the_order_of_devices_changes_nothing():
    order = [7, 2, 11, 0, 5, 9, 1, 3, 10, 4, 8, 6]
    place = {d: n for n, d in enumerate(order)}

    straight = play(LogState(roster(12)), range(2 * DAY + 12), 12, flood_and_error())
    mixed = play(LogState(roster(12, order)), range(2 * DAY + 12), 12, flood_and_error(), number=place.__getitem__)

    def told(found):
        return [{*f.opened, *f.closed} for f in found]

    assert told(mixed) == told(straight)


def test_the_engine_passes_log_lines_on_and_keeps_them_over_a_restart():
    none = np.empty(0, np.int64)
    logs = lines_of([(1, at(0) + k, 3, "valve stuck") for k in range(4)])
    block = Block(
        window=1, received_ms=at(1), series=none, t_ms=none, value=np.empty(0), late=np.empty(0, np.bool_), logs=logs
    )
    engine = Engine(roster(3))

    engine.advance(block, at(1))
    again = Engine.restore(roster(3), engine.snapshot())

    assert engine.column("log.error_rate_1h").tolist() == again.column("log.error_rate_1h").tolist() == [0, 4, 0]


def test_a_snapshot_of_another_layout_is_begun_afresh():
    state = LogState(roster(3))
    state.advance(lines_of([(1, at(0), 3, "valve stuck")]), at(1))
    held = state.snapshot()
    held["table"] = np.zeros((3, 2))

    again = LogState.restore(roster(3), held)

    assert again.column("log.error_rate_1h").tolist() == [0, 0, 0]


def test_the_fleet_may_grow():
    growing = roster(2)
    state = LogState(growing)
    play(state, range(3), 2)
    for n in range(2, 50):
        growing.put_device(Device(device_id=DeviceId(f"d{n}"), number=n, type="lock"))

    play(state, range(3, 6), 50)

    assert state.column("log.error_rate_1h").shape == (50,)


def test_a_chatty_device_costs_no_more_memory():
    state = LogState(roster(1))
    rows = [(0, at(0) + k, 1, f"{chr(97 + k // 26)}{chr(97 + k % 26)} said something here") for k in range(300)]
    state.advance(lines_of(rows), at(1))
    held = {name: a.nbytes for name, a in state.snapshot().items() if name != "miner"}

    for step in range(1, 20):
        state.advance(lines_of([(0, at(step) + k, 1, f"{chr(97 + k)} x{step} y") for k in range(26)]), at(step + 1))

    assert {name: a.nbytes for name, a in state.snapshot().items() if name != "miner"} == held
