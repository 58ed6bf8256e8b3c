"""Cases to look at: simulated devices and made-up courses, played through what runs live.

Every case has a fixed seed and gives numbers only; `bench.pictures` draws them. Simulated devices pass through
`Judgement` with the rule library, made-up courses of one metric through the detection `Engine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

import rules
from firmware_sim import Fleet, Truth
from gateway.detect import Engine
from gateway.model import SEVERITIES, Alert, Block, Device, DeviceId, Episode, Floats, Integers, LogLines, Roster
from gateway.services.judgement import Judgement

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
END_MS = 1_780_272_000_000  # 2026-06-01, a Monday
START_MS = END_MS - 84 * DAY_MS  # of made-up courses
HALF_HOURS = 48  # of a day


@dataclass
class Course:
    """What was put in and what came out. Days count from the beginning."""

    days: Floats  # (samples,)
    values: dict[str, Floats]  # metric: (devices, samples)
    at_days: Floats  # (steps,) when facts were asked for
    facts: dict[str, Floats]  # name: (devices, steps)
    episodes: list[Episode] = field(default_factory=list)  # as they opened
    told_days: list[float] = field(default_factory=list)  # when each of them did
    alerts: list[Alert] = field(default_factory=list)  # as they fired
    start_ms: int = START_MS
    truth: Truth | None = None  # of device 0
    names: list[str] = field(default_factory=list)  # of devices, where they have any

    def day(self, t_ms: int) -> float:
        """A moment in days."""
        return (t_ms - self.start_ms) / DAY_MS

    def tell(self, episodes: Sequence[Episode], at_ms: int) -> None:
        """Note episodes that opened."""
        self.episodes += episodes
        self.told_days += [self.day(at_ms)] * len(episodes)

    def opened(self, device: str, *detectors: str, metric: str = "") -> list[tuple[float, Episode]]:
        """When, and which: episodes of one device; of some detectors and one metric where they are named."""
        return [
            (day, e)
            for day, e in zip(self.told_days, self.episodes, strict=True)
            if e.device_id == device and (not detectors or e.detector in detectors) and metric in ("", e.metric)
        ]


def simulated(mode: str, *, seed: int, days: int, facts: Sequence[str], devices: int = 300, pick: int = 0) -> Course:
    """A device with a fault of that mode (device 0) and the healthy ones of its cohort, judged hour by hour."""
    fleet = Fleet(seed, devices, start_ms=END_MS - days * DAY_MS, end_ms=END_MS)
    names = {unit.device: number for number, unit in enumerate(fleet.units)}
    sick = [held for held in fleet.truth() if held.mode == mode and held.failed_ms < END_MS][pick]
    unit, ill = fleet.units[names[sick.device]], {held.device for held in fleet.truth()}
    alike = (unit.type, unit.model, unit.hardware)
    cohort = [sick.device, *(u.device for u in fleet.units if (u.type, u.model, u.hardware) == alike)]
    cohort = [name for name in dict.fromkeys(cohort) if name == sick.device or name not in ill]
    numbers = np.array([names[name] for name in cohort])
    telemetry = fleet.measured(unit.type, np.arange(fleet.start_ms, END_MS, HOUR_MS // 4))
    rows = np.searchsorted(telemetry.number, numbers)
    columns = {name: values[rows] for name, values in telemetry.columns.items()}
    roster = _roster([(fleet.units[n].device, *alike, fleet.units[n].firmware) for n in numbers.tolist()], columns)
    judgement = Judgement(roster, rules.load())
    course = Course(_days(telemetry.t_ms), columns, np.empty(0), {}, start_ms=fleet.start_ms, truth=sick)
    found: dict[str, list[Floats]] = {name: [] for name in facts}
    for block in _blocks(roster, columns, telemetry.t_ms, 4):
        verdict = judgement.advance(block, block.received_ms)
        course.tell(verdict.findings.opened, block.received_ms)
        course.alerts += [alert for alert in verdict.alerts if alert.state == "firing"]
        for name in facts:
            found[name].append(judgement.facts.column(name).copy())
    course.facts = {name: np.stack(rows, 1) for name, rows in found.items()}
    course.at_days = np.arange(1, course.facts[facts[0]].shape[1] + 1) / 24.0 if facts else np.empty(0)
    return course


def newcomers(*, seed: int = 11, days: int = 24, join: int = 21) -> tuple[Course, float]:
    """Two routers join others of their model on one day: device 0 with heat that runs away, device 1 in health.

    Returns:
        The course and the day on which they join; the older devices follow as they are numbered.
    """
    fleet = Fleet(seed, 300, start_ms=END_MS - days * DAY_MS, end_ms=END_MS)
    ill = {held.device for held in fleet.truth()}
    sick = next(fault for fault in fleet.faults if fault.mode == "thermal_runaway")
    model = fleet.units[sick.device].model
    alike = [n for n, u in enumerate(fleet.units) if u.model == model and u.device not in ill]
    numbers = np.array([sick.device, *alike])
    t_ms = np.arange(fleet.start_ms, END_MS, HOUR_MS // 4)
    joined = t_ms >= fleet.start_ms + join * DAY_MS
    halfway = (sick.onset_ms + sick.failed_ms) // 2  # it is half gone when it joins
    seen = t_ms - t_ms[joined][0] + halfway // (HOUR_MS // 4) * (HOUR_MS // 4)
    well, late = (fleet.measured("router", times) for times in (t_ms, seen))
    rows = np.searchsorted(well.number, numbers)
    columns = {name: values[rows] for name, values in well.columns.items()}
    for name, values in columns.items():
        values[0] = late.columns[name][rows[0]]
        values[:2, ~joined] = np.nan
    units = [fleet.units[n] for n in numbers.tolist()]
    roster = _roster([(u.device, u.type, u.model, u.hardware, u.firmware) for u in units], columns)
    engine, course = Engine(roster), Course(_days(t_ms), columns, np.empty(0), {}, start_ms=fleet.start_ms)
    for block in _blocks(roster, columns, t_ms, 4):
        course.tell(engine.advance(block, block.received_ms).opened, block.received_ms)
    course.names = [unit.device for unit in units]
    return course, float(join)


def made_up(values: Floats, *, metric: str = "load", facts: Sequence[str] = (), hours: float = 12.0) -> Course:
    """Half-hourly samples (devices, samples) of one metric, NaN where none was taken, seen in steps of `hours`."""
    devices, count = values.shape
    t_ms = START_MS + np.arange(count) * HOUR_MS // 2
    roster = _roster([(f"d{n}", "machine", "", "", "1") for n in range(devices)], {metric: values})
    engine = Engine(roster)
    course = Course(_days(t_ms), {metric: values}, np.empty(0), {})
    found: dict[str, list[Floats]] = {name: [] for name in facts}
    step = int(2 * hours)
    for block in _blocks(roster, {metric: values}, t_ms, step):
        course.tell(engine.advance(block, block.received_ms).opened, block.received_ms)
        for name in facts:
            found[name].append(engine.column(name).copy())
    course.facts = {name: np.stack(rows, 1) for name, rows in found.items()}
    course.at_days = np.arange(1, -(-count // step) + 1) * hours / 24.0
    return course


# What others are known not to see, or to alarm about. Each gives the course and the days of the fault.


def noise(devices: int, days: int, seed: int = 0) -> Floats:
    """(devices, half hours) standard normal."""
    return np.random.default_rng(seed).normal(size=(devices, days * HALF_HOURS))


def weekly() -> tuple[Course, tuple[float, float]]:
    """Busy on weekdays, calm on Sundays; the last Sunday is as busy as any other day."""
    day = np.arange(70 * HALF_HOURS) // HALF_HOURS
    hour = np.arange(70 * HALF_HOURS) % HALF_HOURS / 2.0
    load = 45.0 + 12.0 * np.sin((hour - 8.0) / 12.0 * np.pi) + 1.5 * noise(1, 70)[0]
    rest = (day % 7 == 6) & (day != 62)
    return made_up(np.where(rest, 24.0 + 1.5 * noise(1, 70, 1)[0], load)[None, :], hours=2.0), (62.0, 63.0)


def drifting() -> tuple[Course, tuple[float, float]]:
    """A climb over four weeks, a quarter of the noise a day."""
    values = 50.0 + noise(1, 56)
    values[0, 21 * HALF_HOURS :] += np.minimum(np.arange(35 * HALF_HOURS) / HALF_HOURS * 0.25, 7.0)
    return made_up(values), (21.0, 49.0)


def missing() -> tuple[Course, tuple[float, float]]:
    """Three days without a word."""
    values = 50.0 + 4.0 * np.sin(np.arange(28 * HALF_HOURS) / HALF_HOURS * 2 * np.pi) + noise(1, 28)
    values[0, 16 * HALF_HOURS : 19 * HALF_HOURS] = np.nan
    return made_up(values, hours=2.0), (16.0, 19.0)


def lasting() -> tuple[Course, tuple[float, float]]:
    """A level that jumps and comes back three days later."""
    values = 50.0 + noise(1, 28)
    values[0, 16 * HALF_HOURS : 19 * HALF_HOURS] += 12.0
    return made_up(values, facts=("episode.load_s",), hours=2.0), (16.0, 19.0)


def since_birth() -> tuple[Course, tuple[float, float]]:
    """One device (device 0) of forty has never been as the others are."""
    values = 50.0 + noise(40, 14) + 3.0 * np.random.default_rng(5).normal(size=(40, 1))
    values[0] += 20.0
    return made_up(values, facts=("cohort.score",)), (0.0, 14.0)


def together() -> tuple[Course, tuple[float, float]]:
    """A cold front over thirty devices, while one of them (device 0) has a fault of its own."""
    values = 50.0 + noise(30, 28) + 2.0 * np.random.default_rng(5).normal(size=(30, 1))
    front = slice(18 * HALF_HOURS, 21 * HALF_HOURS)
    values[:, front] += 14.0 * np.sin(np.linspace(0.0, np.pi, 3 * HALF_HOURS)) ** 0.5
    values[0, 19 * HALF_HOURS : 23 * HALF_HOURS] += 16.0
    return made_up(values, facts=("cohort.score",), hours=2.0), (18.0, 21.0)


BLIND_SPOTS = (weekly, drifting, missing, lasting, since_birth, together)


@dataclass
class Said:
    """What one device wrote and what was told of it."""

    lines: list[tuple[float, str]]  # (days, template), by time
    templates: list[str]  # in order of first line
    episodes: list[Episode]
    storm: float  # days
    onset: float  # days; of the fault
    start_ms: int


def lines(*, seed: int = 11, days: int = 28, mode: str = "memory_leak") -> Said:
    """A router with a fault, among its like; on day 8 its clients are thrown off and come back all at once."""
    fleet = Fleet(seed, 120, start_ms=END_MS - days * DAY_MS, end_ms=END_MS)
    truth = next(held for held in fleet.truth() if held.mode == mode and held.device.startswith("router"))
    units = [unit for unit in fleet.units if unit.type == "router"]
    place = {fleet.units.index(unit): n for n, unit in enumerate(units)}
    mine = next(n for n, unit in enumerate(units) if unit.device == truth.device)
    storm = fleet.start_ms + 8 * DAY_MS + 20 * HOUR_MS
    said = [
        (x.t_ms, place[x.number], x.severity, x.text) for x in fleet.lines(fleet.start_ms, END_MS) if x.number in place
    ]
    back = "wlan0: STA 02:00:00:00:00:{:02x} IEEE 802.11: associated (aid {})"
    said += [(storm + k * 20_000, mine, "info", back.format(k % 14, k % 14 + 1)) for k in range(60)]
    said.sort()
    engine = Engine(_roster([(u.device, u.type, u.model, u.hardware, u.firmware) for u in units], {}))
    times = np.array([row[0] for row in said])
    found: list[Episode] = []
    for window, start_ms in enumerate(range(fleet.start_ms, END_MS, HOUR_MS), 1):
        part = said[np.searchsorted(times, start_ms) : np.searchsorted(times, start_ms + HOUR_MS)]
        found += engine.advance(_log_block(part, window, start_ms + HOUR_MS), start_ms + HOUR_MS).opened
    miner = engine.logs.miner
    own = [(t_ms, text) for t_ms, n, _, text in said if n == mine]
    texts = [miner.text(miner.root(slot)) for slot in miner.mine([text for _, text in own])]
    day = [(t_ms - fleet.start_ms) / DAY_MS for t_ms, _ in own]
    told = [e for e in found if e.device_id == truth.device]
    return Said(
        lines=list(zip(day, texts, strict=True)),
        templates=list(dict.fromkeys(texts)),
        episodes=told,
        storm=(storm - fleet.start_ms) / DAY_MS,
        onset=(truth.onset_ms - fleet.start_ms) / DAY_MS,
        start_ms=fleet.start_ms,
    )


def _log_block(rows: Sequence[tuple[int, int, str, str]], window: int, at_ms: int) -> Block:
    rows = sorted(rows, key=lambda row: (row[1], row[0]))
    none = np.empty(0, np.int64)
    logs = LogLines(
        device=np.array([row[1] for row in rows], np.int64), t_ms=np.array([row[0] for row in rows], np.int64),
        severity=np.array([SEVERITIES.index(row[2]) for row in rows], np.int8), source=("",) * len(rows),
        text=tuple(row[3] for row in rows),
    )  # fmt: skip
    return Block(
        window=window, received_ms=at_ms, series=none, t_ms=none, value=np.empty(0), late=np.empty(0, np.bool_),
        logs=logs,
    )  # fmt: skip


def _roster(units: Sequence[tuple[str, str, str, str, str]], metrics: dict[str, Floats]) -> Roster:
    """Devices by (name, type, model, hardware, firmware), the series of each metric numbered in one run."""
    roster = Roster()
    for number, (name, kind, model, hardware, firmware) in enumerate(units):
        roster.put_device(
            Device(
                device_id=DeviceId(name), number=number, type=kind, model=model, hardware=hardware, firmware=firmware
            )
        )
    for metric in metrics:
        for number in range(len(units)):
            roster.series(number, roster.metric(metric))
    return roster


def _blocks(roster: Roster, columns: dict[str, Floats], t_ms: Integers, step: int) -> list[Block]:
    """Blocks of `step` samples of each series."""
    table = np.concatenate(list(columns.values()))  # (series, samples), as `_roster` numbers them
    found = []
    for window, first in enumerate(range(0, t_ms.size, step), 1):
        part, times = table[:, first : first + step], t_ms[first : first + step]
        there = ~np.isnan(part).ravel()
        found.append(
            Block(
                window=window, received_ms=int(t_ms[first] + step * (t_ms[1] - t_ms[0])),
                series=np.repeat(np.arange(roster.series_count), times.size)[there],
                t_ms=np.tile(times, roster.series_count)[there], value=part.ravel()[there],
                late=np.zeros(int(there.sum()), np.bool_), logs=LogLines.none(),
            )
        )  # fmt: skip
    return found


def _days(t_ms: Integers) -> Floats:
    days: Floats = (t_ms - t_ms[0]) / DAY_MS
    return days
