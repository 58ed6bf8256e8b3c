"""A kept batch as it is sent: today's time of sending, its times corrected for a clock that was set, and its age."""

from __future__ import annotations

from dataclasses import replace

from edge.record import Record
from edge.wire import WireError, decode_batch, encode_batch

WAITED_MS = 15_000  # half of what the gateway takes for the way: a later batch says anew when it is sent


def as_sent(record: Record, *, now_ms: int, fresh_ms: int, moved_ms: int) -> bytes:
    """The payload of a batch sent now.

    Args:
        record: the batch as it was closed.
        now_ms: the device's clock.
        fresh_ms: a batch whose newest time is older is historical. One that did not wait goes byte for byte as it was
            closed; of one that did, the gateway would take the wait for an error of the clock.
        moved_ms: by how much the clock was set since it was closed; its times move with it.
    """
    age_ms = now_ms - record.t_ms - moved_ms
    historical = age_ms > fresh_ms
    if not moved_ms and not historical and age_ms <= WAITED_MS:
        return record.payload
    try:
        batch = decode_batch(record.payload)
    except WireError:
        return record.payload
    times = tuple(max(0, t_ms + moved_ms) for t_ms in batch.t_ms)
    logs = tuple(line._replace(t_ms=max(0, line.t_ms + moved_ms)) for line in batch.logs)
    return encode_batch(replace(batch, t_ms=times, logs=logs, sent_at_ms=now_ms, historical=historical))
