"""Any text can be mined: nothing raises, nothing grows without bound, equal lines get equal templates."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detect.logs import LogState, Miner
from gateway.detect.logs.miner import MAX_CHARS
from gateway.model import Device, DeviceId, LogLines, Roster

ALPHABET = st.one_of(
    st.characters(),  # surrogates, controls and all
    st.sampled_from(list(" =:/.,-_[](){}<>*\"'|0123456789abcdefxABCDEF@#%+\\\t\n\x00")),
)
LINES = st.lists(st.text(ALPHABET, max_size=200), max_size=30)


@given(LINES)
@settings(max_examples=200, deadline=None)
def test_any_text_is_mined(lines):
    miner = Miner()

    slots = miner.mine(lines)

    assert len(slots) == len(lines)
    assert all(isinstance(miner.text(s), str) for s in slots)
    assert sum(t is not None for t in miner.templates) <= 2 * len(lines) + 1


@given(LINES)
@settings(max_examples=100, deadline=None)
def test_equal_lines_have_equal_templates_and_a_restored_miner_agrees(lines):
    miner = Miner()
    first = [miner.root(s) for s in miner.mine(lines)]
    other = Miner.restore(miner.snapshot())

    again = other.mine(lines)

    assert [other.root(s) for s in again] == [miner.root(s) for s in miner.mine(lines)]
    assert [other.text(s) for s in again] == [miner.text(s) for s in first]


@given(st.text(ALPHABET, min_size=1, max_size=20), st.integers(1, 200_000))
@settings(max_examples=40, deadline=2_000)
def test_huge_lines_cost_what_a_long_line_costs(piece, times):
    line = piece * (times // len(piece) + 1)
    miner = Miner()

    slot = miner.mine([line])[0]

    assert len(miner.text(slot)) <= 4 * MAX_CHARS


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 4 * 10**12), st.integers(0, 4), st.text(ALPHABET, max_size=40)),
        max_size=40,
    ),
    st.integers(0, 4 * 10**12),
)
@settings(max_examples=60, deadline=None)
def test_any_lines_at_any_time_leave_finite_facts(rows, now_ms):
    roster = Roster()
    for n in range(3):
        roster.put_device(Device(device_id=DeviceId(f"d{n}"), number=n, type="lock"))
    rows = sorted(rows)
    logs = LogLines(
        device=np.array([r[0] for r in rows], np.int64),
        t_ms=np.array([r[1] for r in rows], np.int64),
        severity=np.array([r[2] for r in rows], np.int8),
        source=("x",) * len(rows),
        text=tuple(r[3] for r in rows),
    )
    state = LogState(roster)

    state.advance(logs, now_ms)

    for name in ("log.error_rate_1h", "log.new_templates_1h", "log.burst_score", "log.novelty"):
        assert np.isfinite(state.column(name)).all()
