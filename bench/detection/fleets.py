"""Public fleets as courses and looks: the same `Features` that run live, fed with a whole recording at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from gateway.model import Flags, Floats, Integers
from gateway.prognosis.features import Features, Rows
from gateway.prognosis.risk import Examples
from gateway.services.importers.backblaze import METRICS as DISK_METRICS

HOUR_MS = 3_600_000
LOOKS = 3  # regular looks within a horizon, beside those at every report of a device that reports changes only


@dataclass(frozen=True)
class Fleet:
    """Feature rows of a fleet with its truth. Times are hours, as the scorer wants them."""

    rows: Rows  # (looks, features)
    names: tuple[str, ...]
    device: Integers  # (looks,) sorted, then by time
    at_h: Floats  # (looks,)
    failures: tuple[tuple[int, float, str], ...]  # (device, time, component)
    exposure: tuple[tuple[int, float, float], ...]  # (device, start, end)
    horizon_h: float
    min_lead_h: float
    blackout_h: float
    courses: int = 0  # whose state the features keep
    state_mb: float = 0.0
    models: tuple[str, ...] = ()  # of devices, by the number that stands for them in the rows, less one; 0 is any other

    def left_h(self, component: str = "") -> Floats:
        """(looks,) hours to the next failure of that component (or of any); inf where there is none."""
        left = np.full(self.device.size, np.inf)
        times: dict[int, list[float]] = {}
        for device, at, of in self.failures:
            if component in ("", of):
                times.setdefault(device, []).append(at)
        for device, found in times.items():
            here = slice(*np.searchsorted(self.device, [device, device + 1]))
            due = np.array([*sorted(found), np.inf])
            left[here] = (
                due[np.searchsorted(due, self.at_h[here], side="right").clip(max=due.size - 1)] - self.at_h[here]
            )
        return left

    def decided(self) -> Flags:
        """(looks,) the device was watched until the horizon ran out, or failed before."""
        end = np.zeros(max(device for device, _, _ in self.exposure) + 1)
        for device, _, until in self.exposure:
            end[device] = until
        return np.asarray((end[self.device] - self.at_h >= self.horizon_h) | (self.left_h() <= self.horizon_h))

    def examples(self, chosen: Flags, left_h: Floats) -> Examples:
        """The chosen looks to learn from, a look weighing the root of the time until the next of its device.

        Disks are looked at when they report a change, and one that breaks down reports daily: by looks it would count
        for too much, by time for too little (measured: root .280 of PR-AUC, looks .274).
        """
        until = np.append(np.diff(self.at_h), 0.0)
        until[np.append(np.diff(self.device) != 0, True)] = np.inf
        held = np.sqrt(np.clip(until, 1.0, self.horizon_h / LOOKS))[chosen]
        left = left_h[chosen] / self.horizon_h
        return Examples(self.rows[chosen], self.names, self.device[chosen], left, held)

    def only(self, chosen: Flags, *, exposure: tuple[tuple[int, float, float], ...] | None = None) -> Fleet:
        """The same fleet with some of the looks; without an exposure given, that of the devices that are left."""
        left = set(self.device[chosen].tolist())
        watched = exposure if exposure is not None else tuple(e for e in self.exposure if e[0] in left)
        return replace(
            self, rows=self.rows[chosen], device=self.device[chosen], at_h=self.at_h[chosen], exposure=watched
        )  # fmt: skip

    def without(self, *prefixes: str) -> Fleet:
        """The same fleet without the features of some columns."""
        kept = [i for i, name in enumerate(self.names) if not name.startswith(prefixes)]
        return replace(self, rows=self.rows[:, kept], names=tuple(self.names[i] for i in kept))

    def repeated(self, times: int) -> Fleet:
        """Each look several times over, without features: one for each component that is asked about."""
        none = np.empty((self.device.size * times, 0), np.float32)
        return replace(self, rows=none, names=(), device=np.tile(self.device, times), at_h=np.tile(self.at_h, times))


def disks(folder: Path, *, share: float = 1.0, like: Fleet | None = None) -> Fleet:
    """Backblaze: SMART values as metrics; looks at every report, and thrice a horizon while a disk is in service.

    Models are numbered as in the fleet that is learned from (`like`), else by themselves; rare ones are one.
    """
    devices, events, failures, exposure = (
        pd.read_csv(folder / f"{stem}.csv.gz") for stem in ("devices", "events", "failures", "exposure")
    )
    number = {name: i for i, name in enumerate(devices.device)}
    if share < 1.0:
        number = {name: i for name, i in number.items() if in_share(i, share)}
    events, failures, exposure = (t[t.device.isin(number)] for t in (events, failures, exposure))
    features = Features(720 * HOUR_MS)
    device, t_ms = events.device.map(number).to_numpy(np.int64), events.time.to_numpy(np.int64) * HOUR_MS
    courses, times, values = [], [], []
    for theirs, ours in DISK_METRICS.items():
        value = events[theirs].to_numpy(np.float64)
        if theirs == "smart_188":
            value = value % 65536.0  # three 16-bit counters share the raw value; the lowest is the timeouts
        there = np.isfinite(value)
        courses.append(features.courses(f"metric:{ours}", device[there]))
        times.append(t_ms[there])
        values.append(value[there])
    of, start, end = exposure.device.map(number).to_numpy(np.int64), exposure.start.to_numpy(), exposure.end.to_numpy()
    regular = _regular(of, start * 1.0, end * 1.0, 720.0 / LOOKS)
    looks = np.unique(np.concatenate([np.stack([device, t_ms // HOUR_MS], 1), regular.astype(np.int64)]), axis=0)
    course, since_ms, value = (np.concatenate(x) for x in (courses, times, values))
    rows = features.walk(course, since_ms, value, device=looks[:, 0], at_ms=looks[:, 1] * HOUR_MS)
    count = devices.model.value_counts()
    models = like.models if like else tuple(sorted(count[count >= 50].index))
    model = (pd.Categorical(devices.model, categories=models).codes + 1)[looks[:, 0]]
    return Fleet(
        np.column_stack([rows, model.astype(np.float32)]), (*features.names, "model"), looks[:, 0], looks[:, 1] * 1.0,
        tuple((number[d], float(t), "disk") for d, t in zip(failures.device, failures.time, strict=True)),
        tuple(zip(of.tolist(), (start * 1.0).tolist(), (end * 1.0).tolist(), strict=True)), 720.0, 24.0, 0.0,
        *_kept(features), models,
    )  # fmt: skip


def machines(folder: Path) -> Fleet:
    """Azure: telemetry where there is any, error codes, service records, model and age; looks every two hours."""
    tables = {stem: pd.read_csv(folder / f"{stem}.csv.gz") for stem in ("machines", "errors", "maint", "failures")}
    number = {name: i for i, name in enumerate(tables["machines"].device)}
    features = Features(72 * HOUR_MS)
    courses, times, values = [], [], []
    for kind, table, key in (("code", tables["errors"], "error"), ("service", tables["maint"], "component")):
        for name, part in table.sort_values("time").groupby(key):
            device = part.device.map(number).to_numpy(np.int64)
            courses.append(features.courses(f"{kind}:{name}", device))
            times.append(hours(part.time) * HOUR_MS)
            values.append(features.count(f"{kind}:{name}", device))
    if (folder / "telemetry.csv.gz").is_file():
        telemetry = pd.read_csv(folder / "telemetry.csv.gz")
        device = telemetry.device.map(number).to_numpy(np.int64)
        for name in ("volt", "rotate", "pressure", "vibration"):
            for kind in ("metric", "shift"):
                courses.append(features.courses(f"{kind}:{name}", device))
                times.append(hours(telemetry.time) * HOUR_MS)
                values.append(telemetry[name].to_numpy(np.float64))
    exposure = pd.read_csv(folder / "exposure.csv.gz")
    of, start, end = exposure.device.map(number).to_numpy(np.int64), hours(exposure.start), hours(exposure.end)
    looks = _regular(of, start, end, 2.0)
    looks = looks[np.lexsort((looks[:, 1], looks[:, 0]))]
    device = looks[:, 0].astype(np.int64)
    at_ms = (looks[:, 1] * HOUR_MS).astype(np.int64)
    rows = features.walk(
        np.concatenate(courses),
        np.concatenate(times).astype(np.int64),
        np.concatenate(values),
        device=device,
        at_ms=at_ms,
    )
    about = tables["machines"]
    more = np.stack([about.age.to_numpy(), pd.Categorical(about.model).codes], 1)[device].astype(np.float32)
    failures = tables["failures"]
    return Fleet(
        np.column_stack([rows, more]), (*features.names, "age", "model"), device, looks[:, 1],
        tuple(zip(failures.device.map(number), hours(failures.time).tolist(), failures.component, strict=True)),
        tuple(zip(of.tolist(), start.tolist(), end.tolist(), strict=True)), 72.0, 6.0, 12.0,
        *_kept(features),
    )  # fmt: skip


def _kept(features: Features) -> tuple[int, float]:
    """How many courses there are, and the MB that are kept of them."""
    held = features.snapshot()
    return len(held["state"]), sum(array.nbytes for array in held.values()) / 2**20


def hours(times: pd.Series[str]) -> Floats:
    """(rows,) hours since 1970 of ISO times, UTC."""
    return np.asarray(pd.to_datetime(times).to_numpy().astype("datetime64[s]").astype(np.int64) / 3600.0)


def hash_of(number: int | Integers) -> Floats:
    """Somewhere in [0, 1), the same for each device for ever: splits by device that no name or date decides."""
    return np.asarray((np.asarray(number, np.int64) * 2_654_435_761 % 4_294_967_296) / 4_294_967_296)


def in_share(number: int | Integers, share: float) -> Flags:
    """Whether a device is among a share of all, whatever fold it is in."""
    return np.asarray(hash_of(number) * 1024.0 % 1.0 < share)


def _regular(device: Integers, start: Floats, end: Floats, step: float) -> Floats:
    """(looks, 2) device and time of looks on one clock for all, while each device is watched."""
    first, last = np.ceil(start / step).astype(int), np.floor(end / step).astype(int)
    count = np.maximum(last - first + 1, 0)
    of = np.repeat(device, count)
    n = np.arange(of.size) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    return np.stack([of.astype(np.float64), n * step], 1)
