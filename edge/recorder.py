"""What was measured and said since the last batch, until it becomes the next one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge.wire import METRICS, Batch, LogLine

MOST_VALUES = 6_000  # a batch is closed at these: it stays well under MAX_PAYLOAD
MOST_CELLS = 4 * MOST_VALUES  # with those of metrics not read at a row's time
MOST_TEXT = 64_000  # characters

_RANK = {name: rank for rank, name in enumerate(METRICS)}  # the dictionary's order: names compress best in it


class Recorder:
    """Rows of readings by time, and log lines."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, float]] = {}
        self.lines: list[LogLine] = []
        self._names: set[str] = set()
        self._values = 0
        self._text = 0

    def add(self, t_ms: int, values: Mapping[str, float]) -> None:
        """Readings at a time; of one metric at one time the last value wins."""
        self.rows.setdefault(t_ms, {}).update(values)
        self._names.update(values)
        self._values += len(values)

    def say(self, lines: Sequence[LogLine]) -> None:
        """Log lines, redacted and bounded."""
        self.lines += lines
        self._text += sum(len(line.text) + 32 for line in lines)

    def __bool__(self) -> bool:
        return bool(self.rows or self.lines)

    @property
    def full(self) -> bool:
        """Whether it is time for a batch whatever the clock says."""
        cells = len(self.rows) * len(self._names)
        return self._values >= MOST_VALUES or cells >= MOST_CELLS or self._text >= MOST_TEXT

    @property
    def span_ms(self) -> int:
        """Time from the oldest to the newest row."""
        return max(self.rows) - min(self.rows) if self.rows else 0

    def shift(self, delta_ms: int) -> None:
        """The clock moved: what is not sent yet moves with it."""
        self.rows = {max(0, t_ms + delta_ms): values for t_ms, values in self.rows.items()}
        self.lines = [line._replace(t_ms=max(0, line.t_ms + delta_ms)) for line in self.lines]

    def take(self, *, boot: int, seq: int, sent_at_ms: int) -> Batch:
        """All of it as a batch; the recorder is empty then."""
        times = sorted(self.rows)
        rows = [self.rows[t_ms] for t_ms in times]
        ordered = sorted(self._names, key=lambda name: (_RANK.get(name, len(_RANK)), name))
        columns = {name: tuple(row.get(name) for row in rows) for name in ordered}
        logs = tuple(sorted(self.lines, key=lambda line: line.t_ms))
        self.__init__()  # type: ignore[misc]  # empty again, as at first
        return Batch(boot=boot, seq=seq, sent_at_ms=sent_at_ms, t_ms=tuple(times), columns=columns, logs=logs)
