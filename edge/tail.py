"""Following a log file that is rotated, truncated, missing for a while, or written without an end of line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

CHUNK = 64 * 1024  # bytes read at once
MOST = 1024 * 1024  # bytes read of one file in one step; the rest waits for the next
LONGEST = 16 * 1024  # bytes of a line; what is beyond becomes a line of its own


class Place(NamedTuple):
    """Where a tail is in its file; kept on disk, so that a restart neither repeats nor misses lines."""

    inode: int
    offset: int


class Tail:
    """New lines of one file. A file first seen at the start of the agent is read from its end, later ones whole."""

    def __init__(self, path: Path, *, place: Place | None = None) -> None:
        self.path = path
        self._file = -1
        self._place = Place(0, 0)
        self._part = b""
        self._open(place or self._end())

    def _end(self) -> Place | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return Place(found.st_ino, found.st_size)

    @property
    def place(self) -> Place:
        """Where the next unread line starts."""
        return Place(self._place.inode, self._place.offset - len(self._part))

    def read(self) -> list[str]:
        """Whole lines written since the last call, oldest first; never raises for what a file can do."""
        lines: list[str] = []
        try:
            if self._file >= 0:
                lines += self._rest()
            found = self.path.stat()
            if self._file < 0 or found.st_ino != self._place.inode:
                lines += self._flush()
                self._open(None)
                lines += self._rest()
        except OSError:  # missing: rotated away and not yet made anew
            pass
        return lines

    def _open(self, place: Place | None) -> None:
        self.close()
        try:
            self._file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return
        found = os.fstat(self._file)
        same = place is not None and place.inode == found.st_ino and place.offset <= found.st_size
        self._place = Place(found.st_ino, place.offset if same and place else 0)

    def _rest(self) -> list[str]:
        if os.fstat(self._file).st_size < self._place.offset:  # truncated
            self._place, self._part = Place(self._place.inode, 0), b""
        lines: list[str] = []
        start = self._place.offset
        while self._place.offset - start < MOST:
            data = os.pread(self._file, CHUNK, self._place.offset)
            if not data:
                break
            self._place = Place(self._place.inode, self._place.offset + len(data))
            *whole, self._part = (self._part + data).split(b"\n")
            lines += [_text(line) for line in whole]
            if len(self._part) > LONGEST:
                lines += self._flush()
        return [line for line in lines if line.strip()]

    def _flush(self) -> list[str]:
        part, self._part = self._part, b""
        return [_text(part)] if part.strip() else []

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").decode("utf-8", "replace")
