"""The disk buffer keeps every whole record, whatever happens to the bytes of its files."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge import record
from edge.buffer import Buffer
from edge.record import ALARM, CRASH, LOGS, ROUTINE, Record
from edge.wire import Batch, LogLine, decode_batch, encode_batch

T0 = 1_700_000_000_000


def routine(seq: int, *, boot: int = 1, samples: int = 6) -> Record:
    times = tuple(T0 + seq * 60_000 + i * 10_000 for i in range(samples))
    columns = {f"metric_{n}": tuple(float(seq * 31 + i * 7 + n) for i in range(samples)) for n in range(8)}
    batch = Batch(boot=boot, seq=seq, sent_at_ms=times[-1], t_ms=times, columns=columns)
    return Record(ROUTINE, boot, seq, times[-1], encode_batch(batch))


def said(kind: int, seq: int) -> Record:
    batch = Batch(
        boot=1, seq=seq, sent_at_ms=T0, logs=(LogLine(T0, 3, "app", f"line {seq}" * 20),), alarm=kind >= ALARM
    )
    return Record(kind, 1, seq, T0, encode_batch(batch))


def contents(buffer: Buffer) -> dict[int, Record]:
    found, key = {}, -1
    while step := buffer.after(key):
        for key, kind in step:
            kept = buffer.read(key)
            assert kept is not None
            assert kept.kind == kind
            found[key] = kept
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The one file of a small buffer, and the records in it with the offsets of their ends."""
    folder = tmp_path_factory.mktemp("written")
    buffer = Buffer(folder, max_bytes=1 << 20, sync="never")
    records = [Record(ROUTINE, 1, seq, T0, bytes([seq]) * (20 + seq)) for seq in range(4)]
    for one in records:
        buffer.append(one, now_s=0)
    buffer.close()
    (path,) = folder.glob("*.seg")
    return path.read_bytes(), records


def reopened(folder: Path, data: bytes) -> Buffer:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "00000001.seg").write_bytes(data)
    return Buffer(folder, max_bytes=1 << 20, sync="never")


def test_a_file_cut_at_any_byte_gives_every_record_before_the_cut(tmp_path, written):
    data, _ = written
    whole = [(at, one) for at, one in record.scan(data) if one is not None]

    for cut in range(len(data) + 1):
        buffer = reopened(tmp_path / "b", data[:cut])

        expected = {one.key for at, one in whole if at + record.OVERHEAD + len(one.payload) <= cut}
        assert set(contents(buffer)) == expected
        buffer.append(routine(9), now_s=0)
        assert 1 << 32 | 9 in contents(buffer)
        buffer.close()


def test_one_wrong_byte_anywhere_costs_one_record_and_no_other(tmp_path, written):
    data, kept = written
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0x5A

        buffer = reopened(tmp_path / "b", bytes(damaged))

        found = contents(buffer)
        lost = [one for one in kept if found.get(one.key) != one]
        assert len(lost) <= 1
        assert buffer.drops["corrupt"] >= len(lost)
        buffer.close()


def test_a_note_of_what_is_stored_cut_or_damaged_anywhere_brings_back_batches_and_loses_none(tmp_path, written):
    data, records = written
    notes = record.pack_gone([(1, 0, 1), (1, 3, 3)])
    for at in range(len(notes) + 1):
        for damaged in (
            notes[:at],
            notes[:at] + bytes([notes[at] ^ 0x5A]) + notes[at + 1 :] if at < len(notes) else notes,
        ):
            shutil.rmtree(tmp_path / "b", ignore_errors=True)
            (tmp_path / "b").mkdir()
            (tmp_path / "b" / "00000001.gone").write_bytes(damaged)
            (tmp_path / "b" / "00000001.seg").write_bytes(data)

            buffer = Buffer(tmp_path / "b", max_bytes=1 << 20, sync="never")

            assert records[2].key in contents(buffer)
            assert len(buffer) == {0: 4, 1: 2, 2: 1}[len(record.unpack_gone(damaged))]
            buffer.close()


@given(data=st.binary(max_size=600))
def test_a_file_of_any_bytes_is_read_without_an_error(data):
    for offset, one in record.scan(data + record.pack(routine(1)) + data):
        assert offset >= 0
        assert one is None or record.pack(one)


Step = st.one_of(
    st.tuples(st.just("append"), st.sampled_from([ROUTINE, ROUTINE, ROUTINE, LOGS, ALARM, CRASH])),
    st.tuples(st.just("stored"), st.integers(0, 40), st.integers(0, 10)),
    st.tuples(st.just("reopen")),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(Step, max_size=60))
def test_after_any_history_what_is_kept_is_what_was_appended_and_not_stored(tmp_path, steps):
    folder = tmp_path / "b"
    shutil.rmtree(folder, ignore_errors=True)
    buffer = Buffer(folder, max_bytes=1 << 20, sync="never")
    expected: dict[int, Record] = {}
    for seq, step in enumerate(steps):
        match step:
            case ("append", kind):
                one = routine(seq) if kind == ROUTINE else said(kind, seq)
                buffer.append(one, now_s=seq)
                expected[one.key] = one
            case ("stored", first, count):
                gone = buffer.stored([(1, first, first + count)])
                assert set(gone) == {key for key in expected if first <= key & 0xFFFF <= first + count}
                expected = {key: one for key, one in expected.items() if key not in gone}
            case _:
                buffer.close()
                buffer = Buffer(folder, max_bytes=1 << 20, sync="never")

        assert contents(buffer) == expected
        assert len(buffer) == len(expected)
        assert buffer.used_bytes == sum(path.stat().st_size for path in folder.iterdir())
    buffer.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(st.sampled_from([ROUTINE] * 6 + [LOGS, ALARM, CRASH]), min_size=100, max_size=250),
    max_bytes=st.integers(12_000, 40_000),
)
def test_a_full_buffer_stays_in_its_bound_and_gives_up_the_least_first(tmp_path, kinds, max_bytes):
    folder = tmp_path / "b"
    shutil.rmtree(folder, ignore_errors=True)
    buffer = Buffer(folder, max_bytes=max_bytes, sync="never")
    for seq, kind in enumerate(kinds):
        buffer.append(routine(seq) if kind == ROUTINE else said(kind, seq), now_s=seq)

        assert buffer.used_bytes == sum(path.stat().st_size for path in folder.iterdir()) <= max_bytes

    kept = contents(buffer)
    values = sum(len(one.t_ms) * 8 for one in (decode_batch(r.payload) for r in kept.values()) if one.columns)
    routines = sum(r.kind == ROUTINE for r in kept.values())
    assert len(kept) + buffer.drops["full"] == len(kinds)
    assert values + buffer.drops["thinned"] + 48 * (kinds.count(ROUTINE) - routines) >= 48 * kinds.count(ROUTINE)
    closed = [kind for segment in buffer.segments[:-1] for kind in segment.kinds]
    for kind in (LOGS, ALARM, CRASH):
        if sum(r.kind == kind for r in kept.values()) < kinds.count(kind):
            assert min(closed, default=kind) >= kind
    buffer.close()
