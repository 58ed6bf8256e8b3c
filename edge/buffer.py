"""The disk buffer: every batch rests here until the gateway says `stored`.

A folder of segment files (`edge.record` has their form), written one append at a time and never changed in place, so
`kill -9` at any byte costs at most the batch being written. What is stored is noted beside the segment without a sync:
a note that is lost costs a repeat, which the gateway drops. At `max_bytes` room is made by, in this order: leaving out
what is stored already, thinning routine batches from the oldest on, and dropping: routine batches, logs, alarms, crash
reports last. Everything given up is counted by reason in `drops`.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from edge.record import ALARM, CRASH, LOGS, OVERHEAD, ROUTINE, Record, pack
from edge.segment import Segment
from edge.thin import Thinned, thinned
from edge.wire import Ranges

Sync = Literal["always", "alarms", "never"]

SEGMENTS = 64  # the buffer's bytes in so many files, so that room is made in small steps
SMALLEST, LARGEST = 4096, 512 * 1024  # bytes of a segment
MAX_THINNED = 4  # times a segment is thinned: a sixteenth of the samples is left
IN_MEMORY = 64  # batches held in memory while the disk refuses to be written
RATE_SPAN_S = 3600.0  # the rate of appending is an average over about an hour


class Buffer:
    """The batches of one device that are not stored yet, on disk and bounded. One process, one thread."""

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        sync: Sync = "always",
        thin: Callable[[bytes], Thinned] = thinned,
    ) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.sync = sync
        self.thin = thin
        self.drops: Counter[str] = Counter()  # batches by reason: `full`, `corrupt`, `disk`; values `thinned`
        self.segments: list[Segment] = []
        self.used_bytes = 0
        self._memory: list[Record] = []
        self._file = -1
        self._next = 1
        self._rate: tuple[float, float] | None = None  # (bytes per second, monotonic s of the last append)
        self._recover()

    def _recover(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob("*.new"):  # of a rewriting that a crash ended
            left.unlink(missing_ok=True)
        for path in sorted(self.folder.glob("*.seg")):
            self._next = int(path.stem) + 1
            try:
                segment, damaged = Segment.load(path)
            except OSError:
                self.drops["corrupt"] += 1
                continue
            self.drops["corrupt"] += damaged
            self.segments.append(segment)
            self.used_bytes += segment.size
        self._sweep()
        self._merge()

    # What is in it.

    def __len__(self) -> int:
        return sum(segment.live for segment in self.segments) + len(self._memory)

    @property
    def last_boot(self) -> int:
        """The highest boot a batch in the buffer has; 0 where it is empty."""
        return max((segment.keys[-1] >> 32 for segment in self.segments if segment.keys), default=0)

    def left_s(self) -> float | None:
        """For how many seconds the buffer lasts at the present rate without thinning; None where it is not known."""
        if self._rate is None or self._rate[0] <= 0:
            return None
        live = sum(size for segment in self.segments for size in _live_sizes(segment))
        return max(0, self.max_bytes - live) / self._rate[0]

    def read(self, key: int) -> Record | None:
        """The batch of that key, or None where it is not (or no longer whole) in the buffer."""
        for record in self._memory:
            if record.key == key:
                return record
        found = self._find(key)
        if found is None:
            return None
        segment, at = found
        try:
            record_or_none = segment.read(at)
        except OSError:
            return None
        if record_or_none is None:
            self.drops["corrupt"] += 1
            segment.remove(at)
            self._sweep()
        return record_or_none

    def after(self, key: int, *, limit: int = 64) -> list[tuple[int, int]]:
        """(key, kind) of the next batches with a greater key, oldest first; empty at the end."""
        found: list[tuple[int, int]] = []
        for segment in self.segments[self._segment_of(key + 1) :]:
            for at in range(bisect_left(segment.keys, key + 1), len(segment.keys)):
                if not segment.gone[at]:
                    found.append((segment.keys[at], segment.kinds[at]))
                    if len(found) == limit:
                        return found
        return found + [(record.key, record.kind) for record in self._memory if record.key > key]

    def urgent(self) -> list[int]:
        """Keys of the alarms and crash reports, oldest first."""
        found = [record.key for record in self._memory if record.kind >= ALARM]
        for segment in self.segments:
            if ALARM in segment.kinds or CRASH in segment.kinds:
                kept = zip(segment.keys, segment.kinds, segment.gone, strict=True)
                found += [key for key, kind, gone in kept if kind >= ALARM and not gone]
        return sorted(found)

    def _segment_of(self, key: int) -> int:
        for number, segment in enumerate(self.segments):
            if segment.keys and segment.keys[-1] >= key:
                return number
        return len(self.segments)

    def _find(self, key: int) -> tuple[Segment, int] | None:
        number = self._segment_of(key)
        if number == len(self.segments):
            return None
        at = self.segments[number].find(key)
        return (self.segments[number], at) if at >= 0 else None

    # What goes in.

    def append(self, record: Record, *, now_s: float) -> None:
        """Keep a batch; keys ascend. When this returns, the batch is on disk (synced, where `sync` says so).

        A disk that cannot be written costs nothing at first: up to IN_MEMORY batches wait in memory.
        """
        self._learn_rate(OVERHEAD + len(record.payload), now_s)
        self._memory.append(record)
        try:
            while self._memory:
                self._write(self._memory[0])
                self._memory.pop(0)
        except OSError:
            self._roll()
            while len(self._memory) > IN_MEMORY:
                self._memory.remove(min(self._memory, key=lambda kept: (kept.kind, kept.key)))
                self.drops["disk"] += 1

    def _write(self, record: Record) -> None:
        data = pack(record)
        self._make_room(len(data))
        if self._file < 0 or self.segments[-1].size + len(data) > self._segment_bytes:
            self._open()
        segment = self.segments[-1]
        written = os.write(self._file, data)
        self.used_bytes += written
        segment.end += written
        if written < len(data):
            raise OSError(f"{written} of {len(data)} bytes written")
        if self.sync == "always" or (self.sync == "alarms" and record.kind in {ALARM, CRASH}):
            os.fsync(self._file)
        segment.index(record, segment.end - len(data))

    @property
    def _segment_bytes(self) -> int:
        return min(LARGEST, max(SMALLEST, self.max_bytes // SEGMENTS))

    def _open(self) -> None:
        self._roll()
        path = self.folder / f"{self._next:08d}.seg"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._next += 1
        self.segments.append(Segment(path))
        if self.sync != "never":
            _sync_folder(self.folder)

    def _roll(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._sweep()

    def _learn_rate(self, size: int, now_s: float) -> None:
        if self._rate is None:
            self._rate = (0.0, now_s)
            return
        rate, before_s = self._rate
        step_s = max(1e-3, now_s - before_s)
        share = min(1.0, step_s / RATE_SPAN_S) if rate else 1.0
        self._rate = (rate + share * (size / step_s - rate), now_s)

    # What goes out.

    def stored(self, ranges: Ranges) -> list[int]:
        """Let go of the batches of a `stored` mark; the keys that were here."""
        keys = self._forget(ranges)
        held = [record.key for record in self._memory if _within(record.key, ranges)]
        self._memory = [record for record in self._memory if record.key not in held]
        self._sweep()
        return keys + held

    def _forget(self, ranges: Ranges) -> list[int]:
        wanted = [(boot << 32, first, last) for boot, first, last in ranges if boot < 1 << 32 and first < 1 << 32]
        forgotten = []
        for segment in self.segments:
            keys = []
            for base, first, last in wanted:
                for at in segment.between(base | first, base | min(last, 0xFFFFFFFF)):
                    segment.remove(at)
                    keys.append(segment.keys[at])
            if keys and segment.live:  # one without live batches goes as a whole
                before = segment.size
                with suppress(OSError):
                    segment.note(keys)
                self.used_bytes += segment.size - before
            forgotten += keys
        return forgotten

    def _sweep(self) -> None:
        """Remove files that hold nothing live, and empty the one being written, so that a kill brings nothing back."""
        for segment in [one for one in self.segments if not one.live]:
            if self._file < 0 or segment is not self.segments[-1]:
                self.used_bytes -= segment.size
                segment.delete()
                self.segments.remove(segment)
            elif segment.size:
                with suppress(OSError):
                    os.ftruncate(self._file, 0)
                    self.used_bytes -= segment.size
                    segment.clear()
                    segment.marks_path.unlink(missing_ok=True)

    # How room is made.

    def _make_room(self, size: int) -> None:
        if self.used_bytes + size <= self.max_bytes:
            return
        if self._file >= 0 and len(self.segments) == 1:
            self._roll()
        while self.used_bytes + size > self.max_bytes and self.segments:
            self._free_some()

    def _free_some(self) -> None:
        closed = self.segments[:-1] if self._file >= 0 else self.segments
        if not closed:
            self._roll()
            return
        wasteful = [one for one in closed if sum(_live_sizes(one)) < 0.75 * one.size]
        if wasteful:
            self._rewrite(wasteful[0], lambda record: record)
            return
        level = min((one.thinned for one in closed if ROUTINE in one.kinds), default=MAX_THINNED)
        if level < MAX_THINNED:
            segment = next(one for one in closed if ROUTINE in one.kinds and one.thinned == level)
            segment.thinned += 1
            self._rewrite(segment, self._thin)
            return
        lowest = min(kind for one in closed for kind in one.kinds)
        segment = next(one for one in closed if lowest in one.kinds)
        self._rewrite(segment, lambda record: self._drop(record, lowest))

    def _thin(self, record: Record) -> Record | None:
        if record.kind != ROUTINE:
            return record
        left = self.thin(record.payload)
        self.drops["thinned"] += left.left_out
        if left.payload is None:
            self.drops["full"] += 1
            return None
        return record._replace(payload=left.payload, kind=ROUTINE if left.samples else LOGS)

    def _drop(self, record: Record, kind: int) -> Record | None:
        if record.kind != kind:
            return record
        self.drops["full"] += 1
        return None

    def _rewrite(self, segment: Segment, change: Callable[[Record], Record | None]) -> None:
        kept: list[Record] = []
        for record in segment.records():
            changed = change(record) if record else None
            self.drops["corrupt"] += record is None
            if changed:
                kept.append(changed)
        before = segment.size
        if kept:
            segment.rewrite(kept, sync=self.sync != "never")
            self.used_bytes += segment.size - before
        else:
            segment.delete()
            self.segments.remove(segment)
            self.used_bytes -= before

    def _merge(self) -> None:
        """Join small neighbours, which a device that starts over and over leaves behind, until there are few files."""
        at = 0
        while len(self.segments) > SEGMENTS and at + 1 < len(self.segments):
            one, other = self.segments[at : at + 2]
            if one.size + other.size > self._segment_bytes:
                at += 1
                continue
            before = one.size + other.size
            try:
                one.rewrite([record for part in (one, other) for record in part.records() if record], sync=True)
            except OSError:
                return
            other.delete()
            self.segments.remove(other)
            self.used_bytes += one.size - before

    def close(self) -> None:
        """Close the file being written; the buffer may be opened again."""
        self._roll()


def _live_sizes(segment: Segment) -> Iterable[int]:
    return (size for size, gone in zip(segment.sizes, segment.gone, strict=True) if not gone)


def _within(key: int, ranges: Ranges) -> bool:
    boot, seq = key >> 32, key & 0xFFFFFFFF
    return any(boot == one and first <= seq <= last for one, first, last in ranges)


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
