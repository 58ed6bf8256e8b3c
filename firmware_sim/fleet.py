"""A fleet whose faults are known: who owns what, what broke when, and what every device would send at any moment.

What devices send (`telemetry`, `lines`) and what is true (`truth`) are separate calls; nothing of the latter is in the
former. Everything is a function of the seed and of time, so history and live running are one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from firmware_sim import heat_pump, plan, router, smart_lock
from firmware_sim.fault import LOCK, PUMP, ROUTER, TYPES, Fault
from firmware_sim.log import Line, lines_of
from firmware_sim.noise import Floats, Integers, keys, uniform
from firmware_sim.person import Owner, owner_of
from firmware_sim.region import DAY_MS, REGIONS
from firmware_sim.scene import Scene

PHYSICS: Final[Mapping[str, Callable[[Scene], dict[str, Floats]]]] = {
    LOCK: smart_lock.measure,
    ROUTER: router.measure,
    PUMP: heat_pump.measure,
}
PRODUCTS: Final[Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]]] = {
    LOCK: ("L-{}", ("B2", "C1"), ("2.8.1", "2.9.0")),
    ROUTER: ("R-{}00", ("A1", "A3"), ("4.1.7", "4.2.3")),
    PUMP: ("H-{}", ("M1", "M2"), ("1.14.2", "1.15.0")),
}
"""Per type: model, hardware revisions, firmware versions."""

NEW_FIRMWARE: Final = "4.3.0"
"""What the cohort of a bad firmware runs from the roll-out on."""

CHUNK_SAMPLES: Final = 1500  # of each device; keeps a chunk of 70 devices and 17 metrics below 15 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One row of the registry."""

    device: str
    type: str
    model: str
    hardware: str
    firmware: str
    zone: str
    site: str
    owner: Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What really befell a device."""

    device: str
    mode: str  # name in firmware_sim.fault.MODES
    onset_ms: int
    noticed_ms: int  # when the owner notices by himself
    failed_ms: int


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Samples of devices of one type. A value is NaN where the device sent nothing."""

    type: str
    number: Integers  # (devices,) positions in the fleet
    t_ms: Integers  # (samples,)
    columns: Mapping[str, Floats]  # each (devices, samples), in the metric's unit


class Fleet:
    """Devices of three types with their owners, faults and weather."""

    def __init__(
        self,
        seed: int,
        devices: int = 200,
        *,
        start_ms: int,
        end_ms: int,
        faulty_ratio: float = 0.3,
        live_ms: int | None = None,
    ) -> None:
        """A fleet; equal arguments give equal fleets.

        Args:
            seed: of everything that is left to chance.
            devices: how many, in turn of each type.
            start_ms: beginning of the history that will be asked for; faults have their onsets within it.
            end_ms: its end.
            faulty_ratio: share of the devices that get a fault.
            live_ms: when a show begins, some minutes after which a few more faults come to a head; None: no show.
        """
        self.seed, self.start_ms, self.end_ms = seed, start_ms, end_ms
        self.number = np.arange(devices)
        self.type = [TYPES[at % len(TYPES)] for at in range(devices)]
        place = uniform(keys(seed, "household", self.number // 2), np.array([0]))
        self.region = (place * len(REGIONS)).astype(np.int64)
        households = self.region[::2]
        self._neighbour = [int(np.count_nonzero(households[:at] == own)) for at, own in enumerate(households)]
        age = 120 + 700 * uniform(keys(seed, "built", self.number), np.array([0]))
        self.built_ms = start_ms - (age * DAY_MS).astype(np.int64)
        self.faults = plan.faults(seed, self.type, start_ms, end_ms, faulty_ratio=faulty_ratio)
        if live_ms is not None:
            self.faults = plan.with_ripening(self.faults, self.type, self.region.tolist(), start_ms, live_ms)
        self.boots = plan.boots(seed, self.built_ms, self.faults, end_ms + 30 * DAY_MS)
        self._rows = {kind: np.flatnonzero([held == kind for held in self.type]) for kind in TYPES}
        self.units = tuple(self._unit(at) for at in range(devices))

    def truth(self) -> tuple[Truth, ...]:
        """What broke, on which device, when. Never sent."""
        return tuple(
            Truth(
                device=self.units[held.device].device,
                mode=held.mode,
                onset_ms=held.onset_ms,
                noticed_ms=held.noticed_ms,
                failed_ms=held.failed_ms,
            )
            for held in self.faults
        )

    def registry(self) -> tuple[Unit, ...]:
        """Every device with its owner, in order of its number."""
        return self.units

    def firmware_at(self, number: int, t_ms: int) -> str:
        """The version a device runs at a moment."""
        bad = any(f.device == number and f.mode == "bad_firmware" and t_ms >= f.onset_ms for f in self.faults)
        return NEW_FIRMWARE if bad else self._version(number)

    def boot_count(self, number: int, t_ms: int) -> int:
        """How often a device has started up to a moment, from 1."""
        return max(1, int(np.searchsorted(self.boots[number], t_ms, side="right")))

    def silent_at(self, number: int, t_ms: int) -> bool:
        """Whether a fault keeps a device from sending."""
        moment = np.array([t_ms])
        return any(bool(fault.silences(moment)[0]) for fault in self.faults if fault.device == number)

    def telemetry(self, start_ms: int, end_ms: int, step_ms: int) -> Iterator[Telemetry]:
        """What all devices measure in [start, end), in pieces: type by type, each in order of time."""
        for kind in TYPES:
            t_ms = np.arange(start_ms, end_ms, step_ms, dtype=np.int64)
            for at in range(0, t_ms.size, CHUNK_SAMPLES):
                yield self.measured(kind, t_ms[at : at + CHUNK_SAMPLES])

    def measured(self, kind: str, t_ms: Integers) -> Telemetry:
        """What the devices of one type measure at given moments."""
        scene = self.scene(kind, t_ms)
        number = self._rows[kind]
        shape = (number.size, t_ms.size)
        silent = np.zeros(shape, np.bool_)
        for held in scene.faults.values():
            for row, fault in held:
                silent[row] |= fault.silences(t_ms)
        columns = {name: np.where(silent, np.nan, values) for name, values in PHYSICS[kind](scene).items()}
        return Telemetry(kind, number, t_ms, columns)

    def lines(self, start_ms: int, end_ms: int) -> list[Line]:
        """Log lines that all devices write in [start, end), by device, then time."""
        found = []
        for kind in TYPES:
            found += lines_of(self.scene(kind, np.empty(0, np.int64)), kind, start_ms, end_ms)
        return sorted(found)

    def rows(self, kind: str) -> Integers:
        """Positions of the devices of one type, in the order of `measured`."""
        return self._rows[kind]

    def scene(self, kind: str, t_ms: Integers) -> Scene:
        """What the physics of one type sees at given moments."""
        number = self._rows[kind]
        row_of = {int(device): row for row, device in enumerate(number)}
        faults: dict[str, list[tuple[int, Fault]]] = {}
        for fault in self.faults:
            if fault.device in row_of:
                faults.setdefault(fault.mode, []).append((row_of[fault.device], fault))
        boots: Sequence[Integers] = [self.boots[device] for device in number]
        return Scene(self.seed, number, self.region[number], self.built_ms[number], boots, faults, t_ms, self.start_ms)

    def _version(self, number: int) -> str:
        versions = PRODUCTS[self.type[number]][2]
        return versions[int(uniform(keys(self.seed, "firmware", np.array([number])), np.array([0]))[0] * len(versions))]

    def _unit(self, number: int) -> Unit:
        kind = self.type[number]
        model, revisions, _ = PRODUCTS[kind]
        pick = int(uniform(keys(self.seed, "model", np.array([number])), np.array([0]))[0] * 4)
        region = REGIONS[self.region[number]]
        return Unit(
            device=f"{kind.replace('_', '-')}-{number + 1:04d}",
            type=kind,
            model=model.format(pick % 2 + 1),
            hardware=revisions[pick // 2],
            firmware=self.firmware_at(number, self.end_ms),
            zone=region.zone,
            site=region.name,
            owner=owner_of(
                self.seed,
                household=number // 2,
                region=int(self.region[number]),
                neighbour=self._neighbour[number // 2],
            ),
        )
