import errno
import os

import pytest

from edge.buffer import IN_MEMORY, Buffer
from edge.record import CRASH, ROUTINE, Record
from edge.thin import thinned
from edge.wire import Batch, LogLine, decode_batch, encode_batch

T0 = 1_700_000_000_000


def record(seq, kind=ROUTINE, size=100):
    return Record(kind, 1, seq, T0, os.urandom(size))


def test_it_says_how_long_it_will_last(tmp_path):
    buffer = Buffer(tmp_path, max_bytes=1 << 20, sync="never")
    assert buffer.left_s() is None

    for minute in range(10):
        buffer.append(record(minute, size=973), now_s=minute * 60.0)  # 1000 bytes a minute

    assert buffer.left_s() == pytest.approx(((1 << 20) - 10_000) / 1000 * 60, rel=0.01)


def test_a_disk_that_refuses_loses_nothing_at_first_and_recovers(tmp_path, monkeypatch):
    buffer = Buffer(tmp_path, max_bytes=1 << 20, sync="never")
    real = os.write
    buffer.append(record(0), now_s=0)

    def full(number, data):
        real(number, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    for seq in range(1, IN_MEMORY + 6):
        buffer.append(record(seq, CRASH if seq == 1 else ROUTINE), now_s=0)
    assert len(buffer) == IN_MEMORY + 1
    assert buffer.drops["disk"] == 5
    assert buffer.read(1 << 32 | 1) is not None

    monkeypatch.setattr(os, "write", real)
    buffer.append(record(900), now_s=0)
    buffer.close()
    again = Buffer(tmp_path, max_bytes=1 << 20, sync="never")

    kept = {key & 0xFFFFFFFF for key, _ in again.after(-1, limit=1000)}
    assert {0, 1, 900} <= kept
    assert len(kept) == IN_MEMORY + 2


def test_a_kill_brings_nothing_back_that_was_stored(tmp_path):
    buffer = Buffer(tmp_path, max_bytes=1 << 20, sync="always")
    for seq in range(50):
        buffer.append(record(seq), now_s=0)
        if seq != 7:
            buffer.stored([(1, seq, seq)])

    after_kill = Buffer(tmp_path, max_bytes=1 << 20, sync="always")  # nobody closed the first

    assert [key & 0xFFFFFFFF for key, _ in after_kill.after(-1)] == [7]


def test_many_short_runs_leave_few_files(tmp_path):
    for boot in range(1, 150):
        buffer = Buffer(tmp_path, max_bytes=1 << 20, sync="never")
        buffer.append(Record(ROUTINE, boot, 0, T0, b"x" * 50), now_s=0)
        buffer.close()

    again = Buffer(tmp_path, max_bytes=1 << 20, sync="never")

    assert len(again) == 149
    assert len(list(tmp_path.iterdir())) <= 70
    assert again.last_boot == 149


def test_a_batch_is_synced_before_append_returns(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)

    for sync, kind, expected in (("always", ROUTINE, True), ("alarms", ROUTINE, False), ("alarms", CRASH, True)):
        buffer = Buffer(tmp_path / f"{sync}{kind}", max_bytes=1 << 20, sync=sync)
        buffer.append(record(0), now_s=0)
        synced.clear()
        buffer.append(record(1, kind), now_s=0)
        assert bool(synced) is expected
        buffer.close()


def test_thinning_halves_the_samples_then_keeps_what_was_serious():
    logs = (LogLine(T0, 1, "app", "hello"), LogLine(T0, 3, "app", "broken"))
    batch = Batch(boot=1, seq=0, sent_at_ms=T0, t_ms=(T0, T0 + 1, T0 + 2), columns={"a": (1, 2, 3), "b": (None, 5, None)}, logs=logs)  # fmt: skip # noqa: E501

    once = thinned(encode_batch(batch))
    twice = thinned(once.payload)
    thrice = thinned(twice.payload)

    assert decode_batch(once.payload).t_ms == (T0, T0 + 2)
    assert decode_batch(once.payload).columns == {"a": (1, 3)}
    assert (once.samples, once.left_out) == (2, 2)
    assert decode_batch(twice.payload).columns == {"a": (3,)}
    assert decode_batch(thrice.payload).logs == logs[1:]
    assert thinned(thrice.payload).payload is not None
    assert thinned(encode_batch(Batch(boot=1, seq=0, sent_at_ms=T0))).payload is None
    assert thinned(b"?").payload is None
