"""The live face of failure risk: features advanced block by block, examples kept, outcomes told, a model trained.

`risk.failure_ratio` is the probability of failure within the horizon; NaN before the fleet has shown ten failures, for
before that nothing honest can be said of probability. `risk.prior_score` ranks devices from the first day. Of devices
likely to fail, `risk.days_left`, `risk.days_low` and `risk.days_high` say when, where those that failed before tell.
Where failures and service records name parts, the ratio is that of any, and the likeliest is named (`parts.py`).
`risk.growth_score` says how fast most amplitudes of a device grow (`gateway.prognosis.growth`); 1.0 is no chance.

Devices are looked at daily at most where the horizon is a month (`attention.py`). Between its looks what was said of a
device stands; after a failure nothing is known of it until it is heard again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.model import Block, Floats, Forecast, Integers, Roster
from gateway.prognosis import prior
from gateway.prognosis.attention import Attention
from gateway.prognosis.calibration import Coverage
from gateway.prognosis.courses import Courses
from gateway.prognosis.features import Features, Rows
from gateway.prognosis.growth import Growth
from gateway.prognosis.kept import Kept
from gateway.prognosis.lesson import KINDS, Learned, Lesson
from gateway.prognosis.pack import packed, unpacked
from gateway.prognosis.parts import PartsModel
from gateway.prognosis.remaining import Remaining, Told
from gateway.prognosis.risk import Examples, RiskModel
from gateway.prognosis.time_left import TimeLeft

HORIZON_MS = 30 * 86_400_000  # where the operator names no other
LOOKS = 30  # in a horizon: daily for a month
HOUR_MS = 3_600_000
LIKELY = 0.1  # probability of failure within the horizon from which people are told, and of when
NOTED = 5  # answers in a horizon that are held against the truth: those of near days are much the same
RATIO, PRIOR, GROWTH = "risk.failure_ratio", "risk.prior_score", "risk.growth_score"
DAYS = ("risk.days_left", "risk.days_low", "risk.days_high")
ENOUGH = 10  # answers whose truth came out, from which it is said how often they held
WITHHELD = 0.6  # share that held below which none is told: of ten that hold nine times in ten, once in eighty by chance
UNFIT = (TypeError, KeyError, ValueError, ImportError, OSError)  # another version's, or its library is gone


class Outlook:
    """Failure risk of one fleet. `train` is called by a job; all else is cheap."""

    def __init__(self, *, horizon_ms: int = HORIZON_MS) -> None:
        self.horizon_ms = horizon_ms
        self.features = Features(horizon_ms)
        self.model: RiskModel | None = None
        self.parts: PartsModel | None = None
        self._prior: prior.Prior | None = None
        self._left: Remaining | None = None
        self._told = Told()
        self._growth, self._now_ms = Growth(horizon_ms), 0
        self._roster = Roster()
        self._courses, self._attention = Courses(self.features), Attention(horizon_ms)
        self._looked_ms = -1
        self._replaced = 0
        self._newest: Rows = np.empty((0, 0), np.float32)  # (devices, features) of the last look at each
        self._kept = Kept(horizon_ms)
        self._columns: dict[str, Floats] = {}  # as of the last look and the last training

    def advance(self, block: Block, roster: Roster, now_ms: int, *, codes: Sequence[str] = ()) -> None:
        """Take one block in; where a look is due, look at all devices.

        Args:
            block: samples and log lines; late ones are left out, as what came after them has been judged.
            roster: numbers of devices and series.
            now_ms: event time.
            codes: for each log line the code or template it is counted under; "" is not counted.
        """
        self._roster, self._now_ms = roster, now_ms
        self._grow(roster, now_ms)
        self._growth.advance(block, roster)
        course, t_ms, value, owner = self._courses.read(block, roster, codes)
        self._attention.hear(owner, t_ms)
        due = now_ms - self._looked_ms >= self.horizon_ms // LOOKS
        device = self._attention.waiting(now_ms) if due else np.empty(0, np.int64)
        rows = self.features.walk(course, t_ms, value, device=device, at_ms=np.full(device.size, now_ms))
        if due:
            noted = now_ms * NOTED // self.horizon_ms != self._looked_ms * NOTED // self.horizon_ms
            self._looked_ms = now_ms
            self._look(device, np.column_stack([self._courses.of_model[device], rows]), now_ms)
            if self._left is not None and noted:
                every = np.arange(len(self._attention))
                self._told.tell(every, now_ms, TimeLeft(*(self._column(name) for name in DAYS)))

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

    def failed(self, device: Integers, t_ms: Integers, causes: Sequence[str] = ()) -> None:
        """Take in failures that have come out: from outcome codes of tickets, service records, a recording's truth.

        `causes`: (failures,) what failed, as service records name it; none: unknown.
        """
        self._kept.failed(device, t_ms, causes)
        self._told.failed(device, t_ms)
        self._end(device, t_ms)

    def taken_back(self, device: int, t_ms: int) -> None:
        """Take in that a failure that was told was none; the next training knows nothing of it."""
        self._kept.taken_back(device, t_ms)

    def gone(self, device: Integers, t_ms: Integers) -> None:
        """Take in that devices were taken out of service: whether they would have failed will never be known."""
        self._kept.gone(device, t_ms)
        self._told.waiting = self._told.waiting[~np.isin(self._told.waiting[:, 0], device)]
        self._end(device, t_ms)

    def _end(self, device: Integers, t_ms: Integers) -> None:
        """Know nothing of devices until they are heard again."""
        self._attention.end(device, t_ms)
        for column in self._columns.values():
            column[device[device < column.size]] = np.nan

    def lesson(self, now_ms: int) -> Lesson:
        """The rows whose horizon is over and whose outcome is known, by device, then time.

        A row of yesterday whose device failed today is left out as well: among the newest rows only failures would be
        known, and whatever grows with time, such as hours in service, would seem to foretell them.
        """
        kept, parts = self._kept, self._kept.parts(self._serviced())
        left = kept.left_ms() / self.horizon_ms
        over = np.flatnonzero(kept.decided(now_ms))
        chosen = over[np.lexsort((kept.t_ms[over], kept.device[over]))]
        examples = Examples(
            kept.rows[chosen], self.names[: kept.rows.shape[1]], kept.device[chosen], left[chosen], kept.held[chosen],
            kept.stands[chosen],
        )  # fmt: skip
        of_parts = [kept.left_ms(part)[chosen] / self.horizon_ms for part in parts]
        return Lesson(
            examples, kept.sample(prior.ROOM), kept.past(), now_ms, self.horizon_ms, parts,
            np.stack(of_parts, 1) if parts else None,
        )  # fmt: skip

    def _serviced(self) -> list[str]:
        return [name.removeprefix("service:") for name in self.features.columns if name.startswith("service:")]

    def adopt(self, learned: Learned) -> None:
        """Put to work what was learned, and where parts are serviced follow the gauges that it found."""
        self._use(learned)
        if self._prior is not None and len(self._serviced()) > 1:
            gauges = [name.removesuffix(".z_short").removeprefix("metric:") for name, _ in self._prior.gauges]
            self._courses.follow_shifts(gauges)

    def _use(self, learned: Learned) -> None:
        self._prior, self.model, self._left, self.parts = learned.usual, learned.model, learned.left, learned.parts
        self._columns.clear()

    def train(self, now_ms: int) -> RiskModel | None:
        """Learn from what is known by now, and put it to work at once."""
        self.adopt(self.lesson(now_ms).learn())
        return self.model

    def column(self, name: str) -> Floats | None:
        """(devices,) one fact of `risk` as of the newest look; None for other names."""
        if name == GROWTH:
            return self._growth.score(len(self._roster.devices), self._now_ms)
        if name not in {RATIO, PRIOR, *DAYS}:
            return None
        if name in DAYS and not self._holds:
            return np.full(len(self._roster.devices), np.nan)
        held, devices = self._column(name), len(self._roster.devices)
        return np.append(held, np.full(max(devices - held.size, 0), np.nan))

    @property
    def _holds(self) -> bool:
        """Whether intervals of time left hold well enough on this fleet to be told; they are counted all the same."""
        return self.coverage.known < ENOUGH or self.coverage.ratio >= WITHHELD

    @property
    def names(self) -> tuple[str, ...]:
        """What each number of a kept row is: the device's model, then its features."""
        return ("model", *self.features.names)

    def _column(self, name: str) -> Floats:
        """(devices,) made once for each model, and renewed at each look for those looked at."""
        if name in DAYS and name not in self._columns:
            self._columns.update(zip(DAYS, self._days(), strict=True))
        elif name not in self._columns:
            self._columns[name] = np.full(len(self._attention), np.nan)
            self._judge(name, self._attention.looked_at)
        return self._columns[name]

    def _judge(self, name: str, device: Integers) -> None:
        """Renew a column for some devices."""
        rows = self._newest[device]
        if name == PRIOR and self._prior is not None:
            self._columns[name][device] = self._prior.score(rows, self.names)
        if name == RATIO and self.parts is not None and device.size:
            by_part = self.parts.probability(rows, self.names)
            self._columns[name][device] = 1.0 - np.prod(1.0 - by_part, axis=1)
        elif name == RATIO and self.model is not None and device.size:
            self._columns[name][device] = self.model.probability(rows, self.names)

    def _days(self) -> tuple[Floats, ...]:
        """(devices,) days left, low and high, of devices likely to fail."""
        out = tuple(np.full(len(self._attention), np.nan) for _ in DAYS)
        likely = np.flatnonzero(self._column(RATIO) >= LIKELY)
        if self._left is not None and likely.size:
            for into, days in zip(out, self._days_of(self._left, likely), strict=True):
                into[likely] = days
        return out

    def _days_of(self, model: Remaining, device: Integers) -> tuple[Floats, Floats, Floats]:
        answer = model.days(self._kept.past(device), device)
        return answer.median, answer.low, answer.high

    def forecasts(self, now_ms: int, *, least: float = LIKELY, only: int | None = None) -> tuple[Forecast, ...]:
        """Devices that fail within the horizon with probability `least` or more, by number; `only` one where given."""
        ratio = self.column(RATIO)
        if ratio is None or self.model is None:
            return ()
        hours, known = self.horizon_ms // HOUR_MS, (self.parts or self.model).failures
        span = f"{hours // 24} days" if hours % 24 == 0 and hours > 24 else f"{hours} hours"
        return tuple(
            Forecast(
                device_id=self._roster.devices[n].device_id, name="failure", made_ms=now_ms, risk_ratio=float(ratio[n]),
                horizon_ms=self.horizon_ms,
                reason=f"Of 100 devices that look like this, {ratio[n] * 100:.0f} fail within {span} "
                f"(learned from {known} failures){self._which(int(n))}{self._when(int(n))}",
            )
            for n in np.flatnonzero(ratio >= least)
            if only is None or n == only
        )  # fmt: skip

    def _which(self, number: int) -> str:
        """The part that most likely fails, as a part of a sentence; "" where parts are not told apart."""
        if self.parts is None:
            return ""
        p = self.parts.probability(self._newest[[number]], self.names)[0]
        return f"; most likely {self.parts.parts[int(p.argmax())]} ({p.max() * 100:.0f} %)"

    def _when(self, number: int) -> str:
        """What is known of the time left, as the end of a sentence; "" where that is nothing."""
        if self._left is None or not self._holds:
            return ""
        if DAYS[0] in self._columns:
            median, low, high = (self._columns[name][number] for name in DAYS)
        else:  # one device costs little, and a fleet is only asked about where a rule reads these columns
            median, low, high = (float(days[0]) for days in self._days_of(self._left, np.array([number])))
        if np.isnan(median):
            return ""
        said = f"; those that did had {median:.0f} days left, 9 in 10 between {low:.0f} and {high:.0f}"
        known = self.coverage.known
        return said + (
            f" (so far {self.coverage.ratio * 100:.0f} % of {known} such spans held)" if known >= ENOUGH else ""
        )

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All state, and what was learned."""
        learned = packed(Learned(self._prior, self.model, self._left, self.parts))
        return {
            **{f"learned.{name}": array for name, array in learned.items()},
            **{f"growth.{name}": array for name, array in self._growth.snapshot().items()},
            "now_ms": np.array([self._now_ms]),
            **self.features.snapshot(), **self._kept.snapshot(), **self._courses.snapshot(),
            "looked_ms": np.array([self._looked_ms]), "fates": self._attention.held, "newest": self._newest,
            "told": self._told.waiting,
            "held": np.array([self.coverage.held, self.coverage.below, self.coverage.above]),
        }  # fmt: skip

    @classmethod
    def restore(cls, snapshot: dict[str, NDArray[Any]], roster: Roster, *, horizon_ms: int | None = None) -> Outlook:
        """An outlook that goes on where `snapshot` was taken; a model that does not fit waits for the next training.

        Where it is to look ahead for another time than before (`horizon_ms`), it knows the failures, and no more.
        """
        held_ms = int(snapshot["horizon_ms"][0])
        new = cls(horizon_ms=horizon_ms or held_ms)
        if new.horizon_ms != held_ms:
            new._kept = Kept.restore({k: snapshot[k] for k in Kept.EVENTS if k in snapshot}, new.horizon_ms)
            return new
        new.features = Features.restore(snapshot)
        new._roster = roster
        new._kept = Kept.restore(snapshot, new.horizon_ms)
        new._looked_ms, new._courses = int(snapshot["looked_ms"][0]), Courses(new.features)
        new._courses.restore(snapshot)
        if "fates" in snapshot:  # a snapshot of an older version has none
            new._attention = Attention(new.horizon_ms, np.array(snapshot["fates"]))
            new._newest = np.array(snapshot["newest"])
        if "told" in snapshot:
            new._told = Told(np.array(snapshot["told"]), Coverage(*snapshot["held"].tolist()))
        if "now_ms" in snapshot:
            new._now_ms = int(snapshot["now_ms"][0])
            new._growth.restore(_part(snapshot, "growth."))
        with suppress(*UNFIT):
            new._use(unpacked(_part(snapshot, "learned."), KINDS))
        return new

    def _grow(self, roster: Roster, now_ms: int) -> None:
        """Know of new devices and series, and note who was revoked."""
        self._attention.grow(len(roster.devices))
        replaced = roster.replaced != self._replaced
        if replaced:
            self._replaced = roster.replaced
            revoked = np.flatnonzero([device.revoked for device in roster.devices])
            left = self._attention.present(revoked)
            self.gone(left, np.full(left.size, now_ms))
        self._courses.grow(roster, replaced=replaced)

    def _look(self, device: Integers, rows: Rows, now_ms: int) -> None:
        """Keep (devices, features) rows, and renew what is said of these devices."""
        worn = np.zeros(device.size, np.bool_) if self._prior is None else self._prior.score(rows, self.names) > 0.0
        self._kept.keep(device, now_ms, rows, self._attention.look(device, now_ms), worn)
        known = self._newest.shape
        if known != (len(self._attention), rows.shape[1]):
            newest = np.full((len(self._attention), rows.shape[1]), np.nan, np.float32)
            newest[: known[0], : known[1]] = self._newest
            self._newest = newest
        self._newest[device] = rows
        for name in DAYS:
            self._columns.pop(name, None)
        for name, column in self._columns.items():
            more = np.full(max(len(self._attention) - column.size, 0), np.nan)
            self._columns[name] = np.append(column, more)
            self._judge(name, device)


def _part(snapshot: dict[str, NDArray[Any]], head: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(head): array for name, array in snapshot.items() if name.startswith(head)}
