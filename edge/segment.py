"""One file of the disk buffer and the index of the batches in it, 18 bytes of memory each."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

from edge.record import MARK, OVERHEAD, Record, pack, scan, unpack


class Segment:
    """A file of records whose keys ascend. Batches are only ever appended, or marked gone in the index.

    `keys`, `offsets`, `sizes`, `kinds` and `gone` are columns over the batches of the file; `live` counts those not
    gone; `size` is the file's size in bytes.
    """

    __slots__ = ("gone", "keys", "kinds", "live", "offsets", "path", "size", "sizes", "thinned")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys = array("Q")
        self.offsets = array("I")
        self.sizes = array("I")
        self.kinds = bytearray()
        self.gone = bytearray()
        self.live = 0
        self.size = 0
        self.thinned = 0  # how often it was thinned since the start

    @staticmethod
    def load(path: Path) -> tuple[Segment, list[bytes], int]:
        """The segment of a file, the payloads of its MARK records, and the number of damaged runs in it."""
        segment, marks, damaged = Segment(path), [], 0
        data = path.read_bytes()
        segment.size = len(data)
        for offset, record in scan(data):
            if record is None:
                damaged += 1
            elif record.kind == MARK:
                marks.append(record.payload)
            elif not segment.keys or record.key > segment.keys[-1]:
                segment.index(record, offset)
        return segment, marks, damaged

    def index(self, record: Record, offset: int) -> None:
        """Add a batch that stands at `offset`."""
        self.keys.append(record.key)
        self.offsets.append(offset)
        self.sizes.append(OVERHEAD + len(record.payload))
        self.kinds.append(record.kind)
        self.gone.append(0)
        self.live += 1

    def find(self, key: int) -> int:
        """The position of a batch that is not gone, or -1."""
        at = bisect_left(self.keys, key)
        return at if at < len(self.keys) and self.keys[at] == key and not self.gone[at] else -1

    def between(self, first: int, last: int) -> list[int]:
        """Positions of the batches with first <= key <= last that are not gone."""
        found = range(bisect_left(self.keys, first), bisect_left(self.keys, last + 1))
        return [at for at in found if not self.gone[at]]

    def remove(self, at: int) -> None:
        """Mark a batch gone; the file keeps its bytes."""
        self.gone[at] = 1
        self.live -= 1

    def read(self, at: int) -> Record | None:
        """The batch at a position; None where the disk no longer gives it whole."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.offsets[at])
            found = unpack(file.read(self.sizes[at]), 0)
        return found[0] if found and found[0].key == self.keys[at] else None

    def records(self) -> Iterator[tuple[int, Record | None]]:
        """(position, batch) of all that are not gone."""
        data = self.path.read_bytes()
        for at in range(len(self.keys)):
            if not self.gone[at]:
                found = unpack(data, self.offsets[at])
                yield at, found[0] if found else None

    def rewrite(self, records: list[Record], *, sync: bool) -> None:
        """Replace the file's content; atomic: a crash leaves the old file or the new."""
        fresh = Segment(self.path)
        other = self.path.with_suffix(".new")
        with other.open("wb") as file:
            for record in records:
                fresh.index(record, fresh.size)
                fresh.size += file.write(pack(record))
            file.flush()
            if sync:
                os.fsync(file.fileno())
        other.replace(self.path)
        for name in ("keys", "offsets", "sizes", "kinds", "gone", "live", "size"):
            setattr(self, name, getattr(fresh, name))
