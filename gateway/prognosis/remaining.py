"""Time left of live devices, learned from those of the fleet that failed, and how often its intervals held.

A device's life ends with a failure and begins anew after it. Lives that go on are learned from too, as far as they are
known to: without them a model that has only seen ends would see an end in everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gateway.model import Flags, Floats, Integers
from gateway.prognosis.calibration import Coverage
from gateway.prognosis.features import Rows
from gateway.prognosis.time_left import Lives, TimeLeft, TimeLeftModel, train

FEWEST_FAILURES = 10  # as for a probability of failure
LIVES = 40  # newest that failed, and as many that go on: a few seconds of work
LOOKS_BACK = 60  # newest rows of a life, two horizons of daily looks
CAP = 2.0  # horizons beyond which a device is taken to be healthy
OF_VALUE = (".last", ".z_short", ".rise")  # features that are a course; the rest tell its past, which is learned here
ROOM = 20_000  # answers that wait for their truth
DAY_MS = 86_400_000
GRACE_MS = 7 * DAY_MS  # after the latest end, for a person to say what was found


@dataclass(frozen=True, slots=True)
class Past:
    """Kept rows of a fleet."""

    device: Integers  # (rows,)
    t_ms: Integers  # (rows,)
    left_ms: Floats  # (rows,) to the device's next failure; inf where none is known
    rows: Rows  # (rows, features)


@dataclass(frozen=True, slots=True)
class Remaining:
    """A model of time left, with what it reads of a row."""

    column: Integers  # (metrics,) features
    fill: Floats  # (metrics,) where a feature is unknown
    model: TimeLeftModel

    def days(self, past: Past, device: Integers) -> TimeLeft:
        """(devices,) days left at each device's newest row; NaN where no end is seen, or nothing is known."""
        mine = np.isin(past.device, device) & np.isinf(past.left_ms)  # what came before a failure was another life
        chosen = _newest(np.flatnonzero(mine), _life(past)[mine], past.t_ms[mine])
        out = TimeLeft(*(np.full(device.size, np.nan) for _ in range(3)))
        if not chosen.size:
            return out
        lives = _lives(past, chosen, self.column, self.fill)
        last = np.flatnonzero(np.append(np.diff(lives.unit) != 0, True))
        answer = self.model.predict(lives, at=last)
        there = np.searchsorted(device, past.device[chosen][last])
        seen = np.isfinite(answer.high)
        for told, into in ((answer.median, out.median), (answer.low, out.low), (answer.high, out.high)):
            into[there[seen]] = told[seen]
        return out


def learn(past: Past, names: Sequence[str], *, now_ms: int, horizon_ms: int) -> Remaining | None:
    """A model from the lives that ended and those that went on, or None where too few have ended."""
    cap_ms = CAP * horizon_ms
    life = _life(past)
    ended = np.isfinite(past.left_ms)
    goes_on = ~ended & (past.t_ms + cap_ms <= now_ms)
    of_ended = _some(life[ended], past.t_ms[ended])
    if of_ended.size < FEWEST_FAILURES:
        return None
    lives_used = np.append(of_ended, _some(life[goes_on], past.t_ms[goes_on]))
    used = np.flatnonzero((ended | goes_on) & np.isin(life, lives_used))
    chosen = _newest(used, life[used], past.t_ms[used])
    wanted = np.flatnonzero([name.endswith(OF_VALUE) for name in names])
    value = past.rows[np.ix_(chosen, wanted)]
    known = np.isfinite(value).mean(0) >= 0.5
    if not known.any():
        return None
    fill = np.nanmedian(value[:, known].astype(np.float64), axis=0)
    lives = _lives(past, chosen, wanted[known], fill)
    model = train(lives, np.minimum(past.left_ms[chosen], cap_ms) / DAY_MS, cap=cap_ms / DAY_MS)
    return Remaining(wanted[known], fill, model) if model else None


def _nobody() -> Floats:
    return np.empty((0, 4))


@dataclass(slots=True)
class Told:
    """Answers given, until their truth comes out."""

    waiting: Floats = field(default_factory=_nobody)  # (answers, 4) device, when told, earliest and latest end, ms
    coverage: Coverage = field(default_factory=Coverage)

    def tell(self, device: Integers, now_ms: int, answer: TimeLeft) -> None:
        """Keep (devices,) answers; those whose latest end is past, and no failure was told of, spoke too soon."""
        late = self.waiting[:, 3] + GRACE_MS < now_ms
        self.coverage.above += int(late.sum())
        said = np.isfinite(answer.high)
        low, high = (now_ms + days[said] * DAY_MS for days in (answer.low, answer.high))
        fresh = np.stack([device[said], np.full(low.size, now_ms), low, high], 1)
        self.waiting = np.concatenate([self.waiting[~late], fresh])[-ROOM:]

    def failed(self, device: Integers, t_ms: Integers) -> None:
        """Compare what was said of (failures,) devices with what happened."""
        for number, at_ms in zip(device.tolist(), t_ms.tolist(), strict=True):
            mine = self.waiting[:, 0] == number
            before = self.waiting[mine & (self.waiting[:, 1] < at_ms)]
            self.coverage.note(before[:, 2], before[:, 3], np.full(len(before), float(at_ms)))
            self.waiting = self.waiting[~mine]


def _life(past: Past) -> Integers:
    """(rows,) number of the life: of a device, up to one failure or to none yet."""
    end = np.where(np.isfinite(past.left_ms), past.t_ms + past.left_ms, 0.0).astype(np.int64)
    return np.asarray(np.unique((past.device << 42) | end, return_inverse=True)[1])


def _some(life: Integers, t_ms: Integers) -> Integers:
    """The lives with the newest rows."""
    order = np.argsort(-t_ms, kind="stable")
    found, first = np.unique(life[order], return_index=True)
    return found[np.argsort(first, kind="stable")][:LIVES]


def _newest(row: Integers, life: Integers, t_ms: Integers) -> Integers:
    """Row numbers by life, then time, of each life only the newest."""
    order = np.lexsort((t_ms, life))
    row, life = row[order], life[order]
    behind = np.searchsorted(life, life, side="right") - np.arange(life.size)
    keep: Flags = behind <= LOOKS_BACK
    return np.asarray(row[keep])


def _lives(past: Past, chosen: Integers, column: Integers, fill: Floats) -> Lives:
    """Lives of the chosen rows; no age, for the clock of service would teach the calendar."""
    value = past.rows[np.ix_(chosen, column)].astype(np.float64)
    value = np.where(np.isfinite(value), value, fill)
    return Lives(_life(past)[chosen], np.zeros(chosen.size), value, np.empty((chosen.size, 0)))
