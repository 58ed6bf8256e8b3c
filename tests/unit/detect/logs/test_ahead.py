"""What warnings say of a device's future: signs before confirmed failures, and codes that will come again."""

import numpy as np
import pytest

from gateway.detect.logs import PRECURSOR, LogState
from gateway.model import Device, DeviceId, LogLines, Roster

DAY_MS = 86_400_000
START_MS = 19_700 * DAY_MS
HOUR_MS = 3_600_000
DEVICES = 12
FAILING = (1, 4, 7, 10)  # fail on day 20, after three days of a sign; device 2 shows the sign on the last day


def roster(order) -> Roster:
    found = Roster()
    for number, k in enumerate(order):
        found.put_device(Device(device_id=DeviceId(f"d{k}"), number=number, type="router"))
    return found


def rows_of(step: int):
    """(device, t_ms, severity, text) of six hours: a daily warning of all, and what comes before failures."""
    day, part = divmod(step, 4)
    t_ms = START_MS + step * 6 * HOUR_MS
    for d in range(DEVICES):
        yield d, t_ms + 1, 1, f"uptime {step}"
        if part == d % 4:
            yield d, t_ms + 2, 2, f"lease of 10.0.0.{d} renewed late"
        if (d in FAILING and 17 <= day < 20 and part == 1) or (d == 2 and day == 39):
            yield d, t_ms + 3, 2, f"fan stalled at {step} rpm"
        if d == 3 and step % 2 == 0:
            yield d, t_ms + 4, 3, f"pump {step} pressure low"


def lines_of(rows) -> LogLines:
    device, t_ms, severity, text = zip(*sorted(rows), strict=True)
    return LogLines(
        device=np.array(device, np.int64),
        t_ms=np.array(t_ms, np.int64),
        severity=np.array(severity, np.int8),
        source=("app",) * len(text),
        text=text,
    )


def play(state, steps, number=lambda d: d, *, failures=True):
    """Facts of every device, (steps, devices), by the numbers of `rows_of`."""
    found = []
    for step in steps:
        logs = lines_of((number(d), *rest) for d, *rest in rows_of(step))
        now_ms = START_MS + (step + 1) * 6 * HOUR_MS - 1
        state.advance(logs, now_ms)
        if failures and step == 20 * 4:
            state.ahead.failed(np.array([number(d) for d in FAILING]), np.full(len(FAILING), now_ms))
        if step % 4 == 3:
            state.ahead.learn(now_ms)
        facts = state.column(PRECURSOR)
        found.append([facts[number(d)] for d in range(DEVICES)])
    return np.array(found)


@pytest.fixture(scope="module")
def whole():
    state = LogState(roster(range(DEVICES)))
    return state, play(state, range(40 * 4))


def test_a_line_that_came_before_confirmed_failures_is_told_on_another_device(whole):
    state, facts = whole

    told = state.outlook(2)

    assert facts[-1, 2] >= 1.0 > np.delete(facts[-1], 2).max()
    assert told[0] == '"fan stalled at <*> rpm" came before 4 of 4 confirmed failures'


def test_before_failures_are_known_the_fact_is_unknown(whole):
    assert np.isnan(whole[1][: 20 * 4]).all()
    assert np.isnan(play(LogState(roster(range(DEVICES))), range(8), failures=False)).all()


def test_a_code_that_will_come_again_is_told_with_its_chance(whole):
    state, _ = whole

    told = state.outlook(3)

    assert [t.split('"')[1] for t in told] == ["pump <*> pressure low"]
    assert state.outlook(0) == [] or "lease" in state.outlook(0)[0]


@pytest.mark.parametrize("cut", [50, 83, 158])
def test_a_restart_changes_nothing(whole, cut):
    state = LogState(roster(range(DEVICES)))
    play(state, range(cut))

    again = LogState.restore(roster(range(DEVICES)), state.snapshot())

    np.testing.assert_array_equal(play(again, range(cut, 160)), whole[1][cut:])
    assert [again.outlook(d) for d in range(DEVICES)] == [whole[0].outlook(d) for d in range(DEVICES)]


def test_the_order_of_devices_changes_nothing(whole):
    order = [7, 2, 11, 0, 5, 9, 1, 3, 10, 4, 8, 6]
    place = {d: n for n, d in enumerate(order)}
    state = LogState(roster(order))

    mixed = play(state, range(160), place.__getitem__)

    np.testing.assert_array_equal(mixed, whole[1])
    assert [state.outlook(place[d]) for d in range(DEVICES)] == [whole[0].outlook(d) for d in range(DEVICES)]


def test_next_codes_of_a_device_are_the_same_without_the_others(whole):
    state = LogState(roster(range(DEVICES)))
    for step in range(160):
        state.advance(lines_of(r for r in rows_of(step) if r[0] == 3), START_MS + (step + 1) * 6 * HOUR_MS - 1)

    assert state.outlook(3) == whole[0].outlook(3)


def test_what_is_kept_of_a_device_is_bounded():
    state = LogState(roster(range(1)))
    for day in range(40):
        rows = [
            (0, START_MS + day * DAY_MS + k, 3, f"{chr(97 + k % 26)}{chr(97 + k // 26)}x failed") for k in range(300)
        ]
        columns = list(zip(*rows, strict=True))
        logs = LogLines(
            device=np.array(columns[0], np.int64), t_ms=np.array(columns[1], np.int64),
            severity=np.array(columns[2], np.int8), source=("app",) * 300, text=tuple(columns[3]),
        )  # fmt: skip
        state.advance(logs, START_MS + day * DAY_MS + HOUR_MS)

    held = state.ahead.snapshot()
    assert held["alarms"].nbytes < 12_000
    assert held["words"].nbytes < 10 * 16 * 15 + 500
