"""The live face of failure risk: features advanced block by block, examples kept, outcomes told, a model trained.

`risk.failure_ratio` is the probability of failure within the horizon; NaN before the fleet has shown ten failures, for
before that nothing honest can be said of probability. `risk.prior_score` ranks devices from the first day. Of devices
likely to fail, `risk.days_left`, `risk.days_low` and `risk.days_high` say when, where those that failed before tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.model import Block, Flags, Floats, Forecast, Integers, Roster
from gateway.prognosis import prior, remaining
from gateway.prognosis.calibration import Coverage
from gateway.prognosis.features import Features, Rows
from gateway.prognosis.remaining import Past, Remaining, Told
from gateway.prognosis.risk import Examples, RiskModel, train
from gateway.prognosis.time_left import TimeLeft

ROOM = 200_000  # rows kept to learn from, 80 MB with 100 features; the older half is thinned when they are full
LEARN_ROWS = 6_000  # healthy rows that a model learns from, evenly drawn and weighted back; trees see no more in more
LOOKS = 30  # in a horizon: daily for a month
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
LIKELY = 0.1  # probability of failure within the horizon from which people are told, and of when
NOTED = 5  # answers in a horizon that are held against the truth: those of near days are much the same
DAYS = ("risk.days_left", "risk.days_low", "risk.days_high")
ENOUGH = 10  # answers whose truth came out, from which it is said how often they held


@dataclass(frozen=True, slots=True)
class Lesson:
    """What may be learned from by now: a copy, so that learning may take its time on another thread."""

    examples: Examples  # whose horizon is over
    rows: Rows  # all that were kept, for what is usual
    past: Past  # the same, with what became of each
    now_ms: int
    horizon_ms: int

    def learn(self) -> Learned:
        """Seconds of work for tens of thousands of rows."""
        usual = prior.learn(self.rows, self.examples.names) if len(self.rows) else None
        model = train(self.examples) if len(self.examples.rows) else None
        names = self.examples.names
        left = remaining.learn(self.past, names, now_ms=self.now_ms, horizon_ms=self.horizon_ms) if model else None
        return Learned(usual, model, left)


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of a lesson; None where too little is known."""

    usual: prior.Prior | None
    model: RiskModel | None
    left: Remaining | None


class Outlook:
    """Failure risk of one fleet. `train` is called by a job; all else is cheap."""

    def __init__(self, *, horizon_ms: int = 30 * DAY_MS) -> None:
        self.horizon_ms = horizon_ms
        self.features = Features(horizon_ms)
        self.model: RiskModel | None = None
        self._prior: prior.Prior | None = None
        self._left: Remaining | None = None
        self._told = Told()
        self._roster = Roster()
        self._course_of = np.empty(0, np.int64)  # (series,)
        self._looked_ms = -1
        self._now: tuple[Integers, Rows] = (np.empty(0, np.int64), np.empty((0, 0), np.float32))
        self._rows: Rows = np.empty((0, 0), np.float32)
        self._of = np.empty((0, 2), np.int64)  # (rows, 2) device and time of the kept rows
        self._fresh: list[tuple[Rows, Integers]] = []  # looks not yet put with the rows
        self._failures = np.empty((0, 2), np.int64)  # device, time
        self._columns: dict[str, Floats] = {}  # since the last look and the last training

    def advance(self, block: Block, roster: Roster, now_ms: int, *, codes: Sequence[str] = ()) -> None:
        """Take one block in; where a look is due, look at all devices.

        Args:
            block: samples and log lines; late ones are left out, as what came after them has been judged.
            roster: numbers of devices and series.
            now_ms: event time.
            codes: for each log line the code or template it is counted under; "" is not counted.
        """
        self._roster = roster
        self._grow(roster)
        live = ~block.late & _last_of_hour(block)
        course, t_ms, value = [self._course_of[block.series[live]]], [block.t_ms[live]], [block.value[live]]
        for code in sorted(set(codes) - {""}):
            mine = np.array([c == code for c in codes])
            course.append(self.features.courses(f"code:{code}", block.logs.device[mine]))
            t_ms.append(block.logs.t_ms[mine])
            value.append(self.features.count(f"code:{code}", block.logs.device[mine]))
        due = now_ms - self._looked_ms >= self.horizon_ms // LOOKS
        device = np.unique(roster.series_device) if due else np.empty(0, np.int64)
        rows = self.features.walk(
            np.concatenate(course), np.concatenate(t_ms), np.concatenate(value),
            device=device, at_ms=np.full(device.size, now_ms),
        )  # fmt: skip
        if due:
            noted = now_ms * NOTED // self.horizon_ms != self._looked_ms * NOTED // self.horizon_ms
            self._looked_ms, self._now = now_ms, (device, rows)
            self._columns.clear()
            self._keep(device, rows, now_ms)
            if self._left is not None and noted:
                days = TimeLeft(*(self._column(name)[device] for name in DAYS))
                self._told.tell(device, now_ms, days)

    @property
    def coverage(self) -> Coverage:
        """How often the interval of time left held what came to be, on this fleet."""
        return self._told.coverage

    def served(self, device: Integers, t_ms: Integers, component: str) -> None:
        """Take in service of one component of some devices."""
        course = self.features.courses(f"service:{component}", device)
        none = np.empty(0, np.int64)
        self.features.walk(
            course, t_ms, self.features.count(f"service:{component}", device), device=none, at_ms=none
        )  # fmt: skip

    def failed(self, device: Integers, t_ms: Integers) -> None:
        """Take in failures that have come out: from outcome codes of tickets, service records, a recording's truth."""
        self._failures = np.concatenate([self._failures, np.stack([device, t_ms], 1).astype(np.int64)])
        self._told.failed(device, t_ms)

    def lesson(self, now_ms: int) -> Lesson:
        """The rows whose horizon is over, by device, then time.

        A row of yesterday whose device failed today is left out as well: among the newest rows only failures would be
        known, and whatever grows with time, such as hours in service, would seem to foretell them.
        """
        self._gather()
        left = self._left_ms() / self.horizon_ms
        failed = left <= 1.0
        over = self._of[:, 1] + self.horizon_ms <= now_ms
        healthy = np.flatnonzero(over & ~failed)
        every = max(1, -(-healthy.size // LEARN_ROWS))
        chosen = np.concatenate([np.flatnonzero(over & failed), healthy[::every]])
        order = chosen[np.lexsort((self._of[chosen, 1], self._of[chosen, 0]))]
        weight = np.where(failed[order], 1.0, float(every))
        names = self.features.names[: self._rows.shape[1]]
        examples = Examples(self._rows[order], names, self._of[order, 0], left[order], weight)
        return Lesson(examples, self._rows, self._past(), now_ms, self.horizon_ms)

    def adopt(self, learned: Learned) -> None:
        """Put to work what was learned."""
        self._prior, self.model, self._left = learned.usual, learned.model, learned.left
        self._columns.clear()

    def train(self, now_ms: int) -> RiskModel | None:
        """Learn from what is known by now, and put it to work at once."""
        self.adopt(self.lesson(now_ms).learn())
        return self.model

    def column(self, name: str) -> Floats | None:
        """(devices,) one fact of `risk` as of the newest look; None for other names."""
        if name not in {"risk.failure_ratio", "risk.prior_score", *DAYS}:
            return None
        held, devices = self._column(name), len(self._roster.devices)
        return np.append(held, np.full(max(devices - held.size, 0), np.nan))

    def _column(self, name: str) -> Floats:
        """(devices,) made once for each look and each model."""
        if name in DAYS and name not in self._columns:
            self._columns.update(zip(DAYS, self._days(), strict=True))
        elif name not in self._columns:
            self._columns[name] = self._risk(name)
        return self._columns[name]

    def _risk(self, name: str) -> Floats:
        out = np.full(len(self._roster.devices), np.nan)
        device, rows = self._now
        names = self.features.names[: rows.shape[1]]
        if name == "risk.prior_score" and self._prior is not None:
            out[device] = self._prior.score(rows, names)
        if name == "risk.failure_ratio" and self.model is not None and device.size:
            out[device] = self.model.probability(rows, names)
        return out

    def _days(self) -> tuple[Floats, ...]:
        """(devices,) days left, low and high, of devices likely to fail."""
        out = tuple(np.full(len(self._roster.devices), np.nan) for _ in DAYS)
        likely = np.flatnonzero(self._column("risk.failure_ratio") >= LIKELY)
        if self._left is not None and likely.size:
            self._gather()
            answer = self._left.days(self._past(), likely)
            for into, days in zip(out, (answer.median, answer.low, answer.high), strict=True):
                into[likely] = days
        return out

    def _past(self) -> Past:
        return Past(self._of[:, 0], self._of[:, 1], self._left_ms(), self._rows)

    def forecasts(self, now_ms: int, *, least: float = LIKELY, only: int | None = None) -> tuple[Forecast, ...]:
        """Devices that fail within the horizon with probability `least` or more, by number; `only` one where given."""
        ratio = self.column("risk.failure_ratio")
        if ratio is None or self.model is None:
            return ()
        days, known = self.horizon_ms // DAY_MS, self.model.failures
        return tuple(
            Forecast(
                device_id=self._roster.devices[n].device_id, name="failure", made_ms=now_ms, risk_ratio=float(ratio[n]),
                horizon_ms=self.horizon_ms,
                reason=f"of 100 devices that look like this, {ratio[n] * 100:.0f} fail within {days} days "
                f"(learned from {known} failures){self._when(int(n))}",
            )
            for n in np.flatnonzero(ratio >= least)
            if only is None or n == only
        )  # fmt: skip

    def _when(self, number: int) -> str:
        """What is known of the time left, as the end of a sentence; "" where that is nothing."""
        median, low, high = (self._column(name)[number] for name in DAYS)
        if np.isnan(median):
            return ""
        said = f"; those that did had {median:.0f} days left, 9 in 10 between {low:.0f} and {high:.0f}"
        known = self.coverage.known
        return said + (
            f" (so far {self.coverage.ratio * 100:.0f} % of {known} such spans held)" if known >= ENOUGH else ""
        )

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All state but the model, which `train` makes again from the same rows."""
        self._gather()
        return {
            **self.features.snapshot(), "rows": self._rows, "of": self._of, "failures": self._failures,
            "course_of": self._course_of, "looked_ms": np.array([self._looked_ms]), "now_device": self._now[0],
            "now_rows": self._now[1], "told": self._told.waiting,
            "held": np.array([self.coverage.held, self.coverage.below, self.coverage.above]),
        }  # fmt: skip

    @classmethod
    def restore(cls, snapshot: dict[str, NDArray[Any]], roster: Roster) -> Outlook:
        """An outlook that goes on where `snapshot` was taken."""
        new = cls(horizon_ms=int(snapshot["horizon_ms"][0]))
        new.features = Features.restore(snapshot)
        new._roster = roster
        new._rows, new._of, new._failures, new._course_of = (
            np.array(snapshot[name]) for name in ("rows", "of", "failures", "course_of")
        )
        new._looked_ms = int(snapshot["looked_ms"][0])
        new._now = (np.array(snapshot["now_device"]), np.array(snapshot["now_rows"]))
        if "told" in snapshot:  # a snapshot of an older version has none
            new._told = Told(np.array(snapshot["told"]), Coverage(*snapshot["held"].tolist()))
        return new

    def _grow(self, roster: Roster) -> None:
        """Begin courses for the series that came since the last block."""
        first, end = self._course_of.size, roster.series_count
        device, metric = roster.series_device[first:end], roster.series_metric[first:end]
        course = np.empty(end - first, np.int64)
        for number in np.unique(metric).tolist():
            mine = metric == number
            course[mine] = self.features.courses(f"metric:{roster.metrics[number]}", device[mine])
        self._course_of = np.concatenate([self._course_of, course])

    def _keep(self, device: Integers, rows: Rows, now_ms: int) -> None:
        self._fresh.append((rows, np.stack([device, np.full(device.size, now_ms)], 1)))
        if len(self._rows) + sum(len(fresh) for fresh, _ in self._fresh) > ROOM:
            self._gather()

    def _gather(self) -> None:
        """Put the rows of the newest looks with the others; where there are too many, thin the older half."""
        width = max([self._rows.shape[1], *(rows.shape[1] for rows, _ in self._fresh)])
        kept = [(self._rows, self._of), *self._fresh]
        self._fresh = []
        self._rows = np.concatenate([_widened(rows, width) for rows, _ in kept])
        self._of = np.concatenate([of for _, of in kept])
        while len(self._rows) > ROOM:
            keep = (self._left_ms() <= self.horizon_ms) | (np.arange(len(self._rows)) % 2 == 0)
            keep[len(self._rows) // 2 :] = True
            if keep.all():
                keep[: len(self._rows) - ROOM] = False
            self._rows, self._of = self._rows[keep], self._of[keep]

    def _left_ms(self) -> Floats:
        """(rows,) from each kept row to the next known failure of its device; inf where there is none."""
        order = np.lexsort((self._failures[:, 1], self._failures[:, 0]))
        device, t_ms = self._failures[order, 0], self._failures[order, 1]
        at = np.searchsorted(_key(device, t_ms), _key(self._of[:, 0], self._of[:, 1]), side="right")
        there = np.append(device, -1)[at] == self._of[:, 0]
        return np.where(there, np.append(t_ms, 0)[at] - self._of[:, 1], np.inf)


def _key(device: Integers, t_ms: Integers) -> Integers:
    """Device and time as one number that sorts by device, then time; 42 bits of milliseconds reach the year 2109."""
    return (device << 42) | t_ms


def _widened(rows: Rows, width: int) -> Rows:
    """Rows with unknown values for features that came later; columns are only ever added, at the end."""
    more = np.full((len(rows), width - rows.shape[1]), np.nan, np.float32)
    return np.concatenate([rows, more], axis=1)


def _last_of_hour(block: Block) -> Flags:
    """(samples,) the last sample of its series and hour: a value holds until the next, and trees see no finer."""
    new = (np.diff(block.series) != 0) | (np.diff(block.t_ms // HOUR_MS) != 0)
    return np.append(new, True)[: len(block)]
