"""One file of the disk buffer and the index of the batches in it, 18 bytes of memory each."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge.record import OVERHEAD, Record, pack, pack_gone, scan, unpack, unpack_gone
from edge.wire import ranges_of


class Segment:
    """A file of records whose keys ascend. Batches are only ever appended, or marked gone.

    `keys`, `offsets`, `sizes`, `kinds` and `gone` are columns over the batches of the file; `live` counts those not
    gone; `size` is the size of both files in bytes.
    """

    __slots__ = ("end", "gone", "keys", "kinds", "live", "marks", "offsets", "path", "sizes", "thinned")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.thinned = 0  # how often it was thinned since the start
        self.clear()

    def clear(self) -> None:
        """Hold nothing; the caller sees to the file."""
        self.keys = array("Q")
        self.offsets = array("I")
        self.sizes = array("I")
        self.kinds = bytearray()
        self.gone = bytearray()
        self.live = 0
        self.end = 0  # bytes of the records' file
        self.marks = 0  # bytes of the file of what is gone

    @property
    def size(self) -> int:
        """Bytes of both files."""
        return self.end + self.marks

    @property
    def marks_path(self) -> Path:
        """The file of what is gone."""
        return self.path.with_suffix(".gone")

    @staticmethod
    def load(path: Path) -> tuple[Segment, int]:
        """The segment of a file, and the number of damaged runs in it. Raises OSError."""
        segment, damaged = Segment(path), 0
        data = path.read_bytes()
        segment.end = len(data)
        for offset, record in scan(data):
            if record is None:
                damaged += 1
            elif not segment.keys or record.key > segment.keys[-1]:
                segment.index(record, offset)
        if segment.marks_path.exists():
            marks = segment.marks_path.read_bytes()
            segment.marks = len(marks)
            for boot, first, last in unpack_gone(marks):
                for at in segment.between(boot << 32 | first, boot << 32 | last):
                    segment.remove(at)
        return segment, damaged

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
        """Mark a batch gone, in memory."""
        self.gone[at] = 1
        self.live -= 1

    def note(self, keys: Sequence[int]) -> None:
        """Write down that these batches are gone, without a sync: what is lost costs a repeat. Raises OSError."""
        data = pack_gone(ranges_of((key >> 32, key & 0xFFFFFFFF) for key in keys))
        with self.marks_path.open("ab", buffering=0) as file:
            self.marks += file.write(data) or 0

    def read(self, at: int) -> Record | None:
        """The batch at a position; None where the disk no longer gives it whole. Raises OSError."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.offsets[at])
            found = unpack(file.read(self.sizes[at]), 0)
        return found[0] if found and found[0].key == self.keys[at] else None

    def records(self) -> Iterator[Record | None]:
        """All batches that are not gone; None for what the disk no longer gives whole. Raises OSError."""
        data = self.path.read_bytes()
        for at in range(len(self.keys)):
            if not self.gone[at]:
                found = unpack(data, self.offsets[at])
                yield found[0] if found else None

    def rewrite(self, records: list[Record], *, sync: bool) -> None:
        """Replace the content; atomic: a crash leaves the old file or the new. Raises OSError, then nothing changed."""
        other = self.path.with_suffix(".new")
        try:
            with other.open("wb") as file:
                file.writelines(pack(record) for record in records)
                file.flush()
                if sync:
                    os.fsync(file.fileno())
        except OSError:
            other.unlink(missing_ok=True)
            raise
        other.replace(self.path)
        self.marks_path.unlink(missing_ok=True)
        self.clear()
        for record in records:
            self.index(record, self.end)
            self.end += self.sizes[-1]

    def delete(self) -> None:
        """Remove the files; what cannot be removed is found again at the next start."""
        for path in (self.path, self.marks_path):
            try:
                path.unlink(missing_ok=True)
            except OSError:
                continue
