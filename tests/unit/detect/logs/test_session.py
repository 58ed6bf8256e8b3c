from __future__ import annotations

import numpy as np
import pytest

from gateway.config import DetectSettings
from gateway.detect.logs import SESSION, LogState
from gateway.model import Device, DeviceId, LogLines, Roster

START_MS, MINUTE_MS, HOUR_MS = 1_700_006_400_000, 60_000, 3_600_000
KEY = r"job=(\w+)"
DEVICES = 4
WHOLE = ("start job={} of 3 parts", "fetched job={}", "wrote job={} to disk", "end job={}")


def fleet():
    roster = Roster()
    for number in range(DEVICES):
        roster.put_device(Device(device_id=DeviceId(f"d{number}"), number=number, type="copier"))
    return roster


def lines(rows):
    """(device, t_ms, text) rows as a block's lines."""
    rows = sorted(rows, key=lambda row: row[:2])
    device, t_ms, text = zip(*rows, strict=True)
    severity = np.full(len(rows), 1, np.int8)
    return LogLines(
        device=np.array(device), t_ms=np.array(t_ms), severity=severity, source=("",) * len(rows), text=text
    )


def job(device, name, at_ms, texts=WHOLE):
    return [(device, at_ms + i * MINUTE_MS, text.format(name)) for i, text in enumerate(texts)]


def worked(state, *, first, last):
    """Jobs, one every half hour on each device, half an hour a block; those of one block end before the next."""
    for k in range(first, last):
        at_ms = START_MS + k * HOUR_MS // 2
        state.advance(
            lines([row for d in range(DEVICES) for row in job(d, f"n{k}x{d}", at_ms)]), at_ms + 29 * MINUTE_MS
        )
    return state


def after_a_broken_job(state, k=80):
    at_ms = START_MS + k * HOUR_MS // 2
    state.advance(lines(job(1, "broken", at_ms, (*WHOLE[:2], "disk full, job={} given up"))), at_ms + 29 * MINUTE_MS)
    return state.column(SESSION)


def test_a_session_that_is_put_together_as_no_other_is_told_of_its_device_alone():
    score = after_a_broken_job(worked(LogState(fleet(), session_key=KEY), first=0, last=80))

    assert score[1] > 1.0
    assert score[[0, 2, 3]].tolist() == [0.0, 0.0, 0.0]


def test_nothing_is_rare_before_enough_sessions_are_known_nor_where_no_expression_is_set():
    young = after_a_broken_job(worked(LogState(fleet(), session_key=KEY), first=0, last=20), k=20)
    unasked = after_a_broken_job(worked(LogState(fleet()), first=0, last=80))

    assert np.isnan(young).all()
    assert np.isnan(unasked).all()


def test_a_score_fades_after_an_hour():
    state = worked(LogState(fleet(), session_key=KEY), first=0, last=80)
    after_a_broken_job(state)

    worked(state, first=81, last=84)

    assert state.column(SESSION)[1] < 0.1


def test_a_restart_in_the_middle_of_a_session_changes_nothing():
    straight = worked(LogState(fleet(), session_key=KEY), first=0, last=80)
    at_ms = START_MS + 40 * HOUR_MS
    rows = job(1, "broken", at_ms, (*WHOLE[:2], "disk full, job={} given up"))
    straight.advance(lines(rows[:2]), at_ms + 2 * MINUTE_MS)
    again = LogState.restore(fleet(), straight.snapshot(), session_key=KEY)

    for state in (straight, again):
        state.advance(lines(rows[2:]), at_ms + 29 * MINUTE_MS)
    assert straight.column(SESSION)[1] > 1.0
    np.testing.assert_array_equal(again.column(SESSION), straight.column(SESSION))


def test_a_template_that_is_merged_makes_no_session_rare():
    state = worked(LogState(fleet(), session_key=KEY), first=0, last=80)
    seen = state.sessions._of["copier"].seen
    names = [name for name, _ in max(seen, key=seen.__getitem__)]

    state.sessions.merged(names[0], 7)
    at_ms = START_MS + 40 * HOUR_MS
    state.sessions.hear(2, "copier", [at_ms] * 4, [text.format("z") for text in WHOLE], [7, *names[1:]])
    state.sessions.look(at_ms + HOUR_MS // 2)

    assert state.sessions.scores(DEVICES, at_ms + HOUR_MS // 2)[2] < 0.1


@pytest.mark.parametrize(("wrong", "said"), [("job=(", "no regular expression"), (r"job=\w+", "has no group")])
def test_an_expression_that_finds_no_key_is_no_setting(wrong, said):
    with pytest.raises(ValueError, match=said):
        DetectSettings(log_session=wrong)
