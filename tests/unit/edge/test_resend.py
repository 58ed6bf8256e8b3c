"""A kept batch as it is sent."""

from __future__ import annotations

import pytest

from edge.record import ROUTINE, Record
from edge.resend import as_sent
from edge.wire import Batch, LogLine, decode_batch, encode_batch
from gateway.ingest.clock import Clocks

CLOSED_MS, SECOND, MINUTE, HOUR = 1_780_000_000_000, 1_000, 60_000, 3_600_000
BATCH = Batch(
    boot=3, seq=0, sent_at_ms=CLOSED_MS, t_ms=(CLOSED_MS - MINUTE, CLOSED_MS), columns={"battery_volts": (4.1, 4.0)},
    logs=(LogLine(CLOSED_MS - SECOND, 2, "kernel", "slow"),),
)  # fmt: skip
KEPT = Record(ROUTINE, 3, 0, CLOSED_MS, encode_batch(BATCH))


def sent_after(wait_ms: int, *, flush_ms: int = HOUR) -> Batch:
    return decode_batch(as_sent(KEPT, now_ms=CLOSED_MS + wait_ms, fresh_ms=2 * flush_ms, moved_ms=0))


@pytest.mark.parametrize("wait_ms", [0, 5 * SECOND, 20 * SECOND, 50 * MINUTE, 3 * HOUR])
def test_time_spent_in_the_buffer_is_no_error_of_the_clock(wait_ms):
    sent = sent_after(wait_ms)

    clock = Clocks().offset(1, sent.boot, sent_ms=sent.sent_at_ms, taken_ms=CLOSED_MS + wait_ms, trusted=True)
    assert clock == 0
    assert (sent.t_ms, sent.columns, sent.logs) == (BATCH.t_ms, BATCH.columns, BATCH.logs)
    assert sent.historical is (wait_ms > 2 * HOUR)


def test_what_goes_at_once_goes_as_it_was_closed():
    assert as_sent(KEPT, now_ms=CLOSED_MS + SECOND, fresh_ms=HOUR, moved_ms=0) is KEPT.payload
