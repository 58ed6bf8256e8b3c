"""What a device's past says of its future, as one row of numbers.

The same kernel computes it live, in replay and in the benchmarks, one sample at a time, from state of fixed size.

Everything is a course: a metric's samples; a log code, whose count rises with each line; a service record, whose count
rises with each replacement; a gauge's samples once more, to tell whether its level has shifted (`shift.py`). Memory
fades by half-lives that are set by the horizon, so one plan serves disks that die within a month and machines that fail
within three days. Nothing here knows the calendar: no hour, weekday or date, and no time since all devices began. Time
since service, which reveals a maintenance grid if taken as it is, is given in
doublings only (under 1/2 horizon, under 1, 2, 4, ...).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.model import Floats, Integers
from gateway.prognosis import shift

Rows: TypeAlias = NDArray[np.float32]
"""(rows, features); single precision, as there are many and trees only compare."""

HALF_LIVES = (1.0 / 24.0, 0.25, 2.0)
"""Of the fading sums, in horizons: a trace of the newest change, the development, the normal state."""

SHORT, MIDDLE, LONG = 0, 1, 2
T, V, FIRST, CHANGED, ROSE, VAR, CHANGES, RISE, MEAN, START, STATE = 0, 1, 2, 3, 4, 5, 6, 7, 10, 13, 14
"""Columns of a course: newest time and value, first value, time of the last change and of the first rise, fading
variance, fading count of changes, fading sums of rises (3), fading means (3), time of the first sample; how many."""

OF_METRIC = (
    "last", "gain", "since_change", "since_rise", "rise_short", "rise", "rise_long", "changes", "z", "z_short",
    "z_middle",
)  # fmt: skip
OF_CODE = ("rise_short", "rise", "rise_long", "since_change")
OF_SERVICE = ("age_doublings",)
OF_SHIFT = ("up", "down")
KINDS = {"metric": OF_METRIC, "code": OF_CODE, "service": OF_SERVICE, "shift": OF_SHIFT}
METRIC, CODE, SERVICE, SHIFT = range(4)


class Samples(NamedTuple):
    """What came in, by time; times in horizons."""

    course: Integers  # (samples,)
    t: Floats
    value: Floats


class Looks(NamedTuple):
    """Which devices are asked about, by time."""

    device: Integers  # (looks,)
    at: Floats


class Plan(NamedTuple):
    """Where everything is."""

    place: Integers  # (devices, columns) the course of each column, -1 where there is none
    kind: Integers  # (columns,) METRIC, CODE, SERVICE or SHIFT
    start: Integers  # (columns,) the first feature of each column
    serviced: Integers  # (courses,) the device that a service record is about; NO_SERVICE or OF_GAUGE for others
    half: Floats  # (3,) half-lives in horizons


NO_SERVICE, OF_GAUGE = -1, -2
YOUNG = 0.25  # horizons in which a course has no level of its own yet
LONGEST = 8.0  # horizons after which a time since is "long ago": beyond it only the calendar could be learned


@njit(cache=True)
def _take(s: Floats, t: float, v: float, half: Floats) -> None:
    """Put one sample (time in horizons) into one course; the value held since the last sample counts for that while."""
    if np.isnan(s[V]):
        s[T], s[V], s[FIRST], s[VAR] = t, v, v, 0.0
        s[MEAN : MEAN + 3] = v
        s[START] = t
        return
    dt = t - s[T]
    if dt < 0.0:
        return  # late: what came after it has been judged already
    off = s[V] - s[MEAN + LONG]
    plain = dt / max(t - s[START], 1e-12)  # a young course is averaged evenly
    for h in range(3):
        w = 0.5 ** (dt / half[h])
        s[RISE + h] *= w
        s[MEAN + h] += max(1.0 - w, plain) * (s[V] - s[MEAN + h])
        if h == MIDDLE:
            s[CHANGES] *= w
        if h == LONG:
            s[VAR] += max(1.0 - w, plain) * (off * off - s[VAR])
        s[RISE + h] += max(0.0, v - s[V])
    if v != s[V]:
        s[CHANGED] = t
        s[CHANGES] += 1.0
        if v > s[V] and np.isnan(s[ROSE]):
            s[ROSE] = t
    s[T], s[V] = t, v


@njit(cache=True)
def _forgive(plan: Plan, course: int, t: float, state: Floats) -> None:
    """After service, what the device showed before tells of the part that is gone: fresh traces are wiped."""
    device = plan.serviced[course]
    if device < 0:
        return
    for c in range(plan.kind.size):
        k = plan.place[device, c]
        if k >= 0 and plan.kind[c] < SERVICE and not np.isnan(state[k, V]):
            state[k, RISE : RISE + LONG] = 0.0
            state[k, MEAN : MEAN + LONG] = state[k, MEAN + LONG]


@njit(cache=True)
def _put(plan: Plan, course: int, t: float, v: float, state: Floats) -> None:
    if plan.serviced[course] == OF_GAUGE:
        shift.take(state[course], t, v)
    else:
        _take(state[course], t, v, plan.half)
        _forgive(plan, course, t, state)


@njit(cache=True)
def _look_metric(s: Floats, t: float, half: Floats, out: Floats) -> None:
    dt = max(0.0, t - s[T])
    sd = np.sqrt(s[VAR])
    out[0] = s[V]
    out[1] = s[V] - s[FIRST]
    out[2] = min(LONGEST, t - s[CHANGED]) if s[CHANGED] == s[CHANGED] else np.nan
    out[3] = min(LONGEST, t - s[ROSE]) if s[ROSE] == s[ROSE] else np.nan
    mean = np.empty(3)
    for h in range(3):
        w = 0.5 ** (dt / half[h])
        out[4 + h] = s[RISE + h] * w
        mean[h] = w * s[MEAN + h] + (1.0 - w) * s[V]
    out[7] = s[CHANGES] * 0.5 ** (dt / half[MIDDLE])
    for k, level in enumerate((s[V], mean[SHORT], mean[MIDDLE])):
        out[8 + k] = (level - mean[LONG]) / sd if sd > 0.0 and t - s[START] > YOUNG else 0.0


@njit(cache=True)
def _look(kind: int, s: Floats, t: float, half: Floats, out: Floats) -> None:
    if kind == METRIC:
        _look_metric(s, t, half, out)
    elif kind == CODE:
        for h in range(3):
            out[h] = s[RISE + h] * 0.5 ** ((t - s[T]) / half[h])
        out[3] = min(LONGEST, t - s[CHANGED])
    elif kind == SERVICE:
        out[0] = np.ceil(np.log2(max(0.5, min(4.0 * LONGEST, t - s[T]))))
    elif t - s[T] <= YOUNG:  # of a gauge that has fallen silent nothing is known
        out[0], out[1] = s[shift.UP], s[shift.DOWN]


@njit(cache=True)
def _walk(samples: Samples, looks: Looks, plan: Plan, state: Floats, out: Rows) -> None:
    """Take samples and look at devices, both in time order; a look at time t sees the samples up to and at t.

    `state` (courses, STATE) is advanced in place; `out` (looks, features) is written.
    """
    course, t, value = samples.course, samples.t, samples.value
    device, at = looks.device, looks.at
    kind, half = plan.kind, plan.half
    i = 0
    for q in range(at.size):
        while i < t.size and t[i] <= at[q]:
            _put(plan, course[i], t[i], value[i], state)
            i += 1
        for c in range(kind.size):
            k = plan.place[device[q], c]
            row = out[q, plan.start[c] :]
            counts = kind[c] == CODE or kind[c] == SERVICE
            if k < 0 or np.isnan(state[k, V]) or (counts and state[k, V] == 0.0):
                continue  # never seen up to now, though it may be later in this call
            _look(kind[c], state[k], at[q], half, row)
    while i < t.size:
        _put(plan, course[i], t[i], value[i], state)
        i += 1


class Features:
    """The courses of a fleet and the feature rows made of them; columns come as metrics, codes and parts appear."""

    def __init__(self, horizon_ms: int) -> None:
        self.horizon_ms = horizon_ms
        self.columns: list[str] = []  # "metric:<name>", "code:<text>", "service:<component>", "shift:<name>"
        self._column: dict[str, int] = {}
        self._place = np.full((0, 0), -1, np.int64)
        self._state = np.empty((0, STATE))
        self._serviced = np.empty(0, np.int64)

    @property
    def names(self) -> tuple[str, ...]:
        """What each number of a row is, as `metric:disk_pending_sectors.rise`."""
        return tuple(f"{column}.{part}" for column in self.columns for part in _parts(column))

    def courses(self, column: str, device: Integers) -> Integers:
        """(rows,) numbers of the courses of one column for the given devices; new ones are begun."""
        c = self._column.get(column)
        if c is None:
            c = self._column[column] = len(self.columns)
            self.columns.append(column)
        most = int(device.max(initial=-1)) + 1
        devices, columns = self._place.shape
        if most > devices or c >= columns:
            grown = np.full((max(most, devices), max(len(self.columns), columns)), -1, np.int64)
            grown[:devices, :columns] = self._place
            self._place = grown
        fresh = np.unique(device[self._place[device, c] < 0])
        self._place[fresh, c] = len(self._state) + np.arange(fresh.size)
        begun = np.zeros((fresh.size, STATE))
        begun[:, [V, CHANGED, ROSE]] = np.nan
        kind = column.partition(":")[0]
        if kind in {"code", "service"}:
            begun[:, [T, V]] = -1e9, 0.0  # a count begins at nought, long ago
        self._state = np.concatenate([self._state, begun])
        owner = fresh if kind == "service" else np.full(fresh.size, OF_GAUGE if kind == "shift" else NO_SERVICE)
        self._serviced = np.concatenate([self._serviced, owner])
        return np.asarray(self._place[device, c])

    def count(self, column: str, device: Integers) -> Floats:
        """(rows,) values that make a course rise by one at each row; rows of one device in time order."""
        course = self.courses(column, device)
        order = np.argsort(course, kind="stable")
        run = np.arange(course.size) - np.searchsorted(course[order], course[order])
        value = np.empty(course.size)
        value[order] = run + 1.0 + self._state[course[order], V]
        return value

    def walk(self, course: Integers, t_ms: Integers, value: Floats, device: Integers, at_ms: Integers) -> Rows:
        """Take samples in and give a feature row for each look.

        Args:
            course: (samples,) as `courses` gives them.
            t_ms: (samples,) event time.
            value: (samples,).
            device: (looks,) device numbers.
            at_ms: (looks,) times; a look sees the samples up to and at its time.

        Returns:
            (looks, len(names)) rows in the order of the looks; NaN where nothing is known.

        Source: means and sums that fade by the time between samples, D. J. Wright (1986), Forecasting data published at
        irregular time intervals, Management Science 32, 499-510.
        """
        by_time = np.argsort(t_ms, kind="stable")
        looks = np.argsort(at_ms, kind="stable")
        most = int(device.max(initial=-1)) + 1
        if most > len(self._place):
            self._place = np.concatenate([self._place, np.full((most - len(self._place), self._place.shape[1]), -1)])
        width = np.array([len(_parts(column)) for column in self.columns], np.int64)
        kind = np.array([list(KINDS).index(c.partition(":")[0]) for c in self.columns], np.int64)
        out = np.full((looks.size, int(width.sum())), np.nan, np.float32)
        plan = Plan(self._place, kind, np.cumsum(width) - width, self._serviced, np.array(HALF_LIVES))
        samples = Samples(course[by_time], t_ms[by_time] / self.horizon_ms, value[by_time].astype(np.float64))
        _walk(samples, Looks(device[looks], at_ms[looks] / self.horizon_ms), plan, self._state, out)
        rows = np.empty_like(out)
        rows[looks] = out
        return rows

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All state as arrays; `restore` goes on from them exactly."""
        names = np.array(self.columns, np.str_)
        return {
            "place": self._place, "state": self._state, "serviced": self._serviced, "columns": names,
            "horizon_ms": np.array([self.horizon_ms]),
        }  # fmt: skip

    @classmethod
    def restore(cls, snapshot: dict[str, NDArray[Any]]) -> Features:
        """Features that go on where `snapshot` was taken."""
        new = cls(int(snapshot["horizon_ms"][0]))
        new.columns = [str(name) for name in snapshot["columns"]]
        new._column = {name: number for number, name in enumerate(new.columns)}
        new._place, new._state = np.array(snapshot["place"]), np.array(snapshot["state"])
        new._serviced = np.array(snapshot["serviced"])
        return new


def _parts(column: str) -> Sequence[str]:
    return KINDS[column.partition(":")[0]]
