"""Log files as a source of lines for an agent: follows them, and remembers on disk how far they were read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edge.config import LogFile
from edge.logs import severity_of
from edge.state import State
from edge.tail import Place, Tail


class Tailing:
    """Reads all followed files at each poll. Places go to disk once the lines before them are in the buffer."""

    def __init__(
        self,
        files: Sequence[LogFile],
        *,
        state: State,
        say: Callable[[int, str, str], None],
        batches: Callable[[], int],
    ) -> None:
        self._state = state
        self._say = say
        self._batches = batches
        kept = state.load("tails")
        self._tails = [(one.source or one.path.stem, Tail(one.path, place=_place(kept, one.path))) for one in files]
        self._saved: dict[str, object] = {}
        self._read: dict[str, object] = {}
        self._read_in = 0  # the number of batches there were when `_read` was noted

    def poll(self) -> None:
        """Say every new line."""
        if self._batches() > self._read_in and self._read != self._saved:
            self.keep()
        for source, tail in self._tails:
            for line in tail.read():
                self._say(severity_of(line), source, line)
        self._read = {str(tail.path): list(tail.place) for _, tail in self._tails}
        self._read_in = self._batches()

    def keep(self) -> None:
        """Note the places on disk; a disk that refuses costs repeated lines after a restart, nothing else."""
        try:
            self._state.save("tails", self._read)
        except OSError:
            return
        self._saved = self._read

    def close(self) -> None:
        """Let go of the files; to be called when all lines are in the buffer."""
        self.keep()
        for _, tail in self._tails:
            tail.close()


def _place(kept: dict[str, object], path: Path) -> Place | None:
    match kept.get(str(path)):
        case [int() as inode, int() as offset]:
            return Place(inode, offset)
        case _:
            return None
