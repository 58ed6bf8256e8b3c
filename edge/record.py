"""The form of the disk buffer's files: records that say where they end and whether they are whole.

    offset  bytes  field
    0       2      magic B5 1E
    2       4      length of the body, little-endian
    6       4      CRC-32 of the four length bytes and the body
    10      1      kind: ROUTINE, LOGS, ALARM or CRASH
    11      4      boot
    15      4      seq
    19      8      newest time in the batch, Unix ms, signed
    27      ...    the batch's payload

A reader that meets bytes which are no whole record looks for the next magic at which one starts, so damage costs the
records it touches and no others. A write torn by a power cut or `kill -9` is such damage at the end of a file.

Beside a segment `N.seg` there may be `N.gone`: entries of boot, first seq, last seq (4 bytes each) and the CRC-32 of
these 12 bytes, one for each range of its batches that are stored.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

ROUTINE, LOGS, ALARM, CRASH = range(4)  # in the order in which a full buffer gives them up

MAGIC = b"\xb5\x1e"
HEAD = struct.Struct("<2sII")
BODY = struct.Struct("<BIIq")
GONE = struct.Struct("<IIII")
OVERHEAD = HEAD.size + BODY.size
MAX_BODY = BODY.size + 512 * 1024  # twice the largest payload: a longer length is damage


class Record(NamedTuple):
    """One batch as the buffer holds it."""

    kind: int
    boot: int
    seq: int
    t_ms: int
    payload: bytes

    @property
    def key(self) -> int:
        """(boot, seq) as one number that sorts like the pair."""
        return self.boot << 32 | self.seq


def pack(record: Record) -> bytes:
    """The bytes of a record."""
    body = BODY.pack(*record[:4]) + record.payload
    length = struct.pack("<I", len(body))
    return HEAD.pack(MAGIC, len(body), zlib.crc32(body, zlib.crc32(length))) + body


def unpack(data: bytes, offset: int) -> tuple[Record, int] | None:
    """The whole record that starts at `offset`, with the offset of its end; None where there is none."""
    start = offset + HEAD.size
    if len(data) < start + BODY.size:
        return None
    magic, length, crc = HEAD.unpack_from(data, offset)
    end = start + length
    if magic != MAGIC or not BODY.size <= length <= MAX_BODY or end > len(data):
        return None
    body = data[start:end]
    if zlib.crc32(body, zlib.crc32(data[offset + 2 : offset + 6])) != crc:
        return None
    kind, boot, seq, t_ms = BODY.unpack_from(body)
    return Record(kind, boot, seq, t_ms, body[BODY.size :]), end


def scan(data: bytes) -> Iterator[tuple[int, Record | None]]:
    """(offset, record) of every whole record in order; (offset, None) for each run of damaged bytes between them."""
    offset = 0
    while offset < len(data):
        found = unpack(data, offset)
        if found is None:
            yield offset, None
            offset = _next_whole(data, offset + 1)
        else:
            yield offset, found[0]
            offset = found[1]


def _next_whole(data: bytes, offset: int) -> int:
    while (offset := data.find(MAGIC, offset)) >= 0:
        if unpack(data, offset) is not None:
            return offset
        offset += 1
    return len(data)


def pack_gone(ranges: list[tuple[int, int, int]]) -> bytes:
    """Entries of a `.gone` file."""
    return b"".join(GONE.pack(*one, zlib.crc32(struct.pack("<III", *one))) for one in ranges)


def unpack_gone(data: bytes) -> list[tuple[int, int, int]]:
    """The ranges in a `.gone` file, up to the first that is not whole."""
    ranges = []
    for at in range(0, len(data) - GONE.size + 1, GONE.size):
        boot, first, last, crc = GONE.unpack_from(data, at)
        if crc != zlib.crc32(data[at : at + 12]):
            break
        ranges.append((boot, first, last))
    return ranges
