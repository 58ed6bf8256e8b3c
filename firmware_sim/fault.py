"""What can break, how it goes, and the ground truth of what did. None of this is ever sent by a device.

A fault runs from 0 at its onset to 1 at failure. At `noticed_at` of the way the owner notices by himself: what is said
before that moment is beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from firmware_sim.noise import Floats, Integers

Shape: TypeAlias = Literal["even", "late", "step", "saw"]

LOCK, ROUTER, PUMP = "smart_lock", "router", "heat_pump"
TYPES: Final = (LOCK, ROUTER, PUMP)

_CURVES: Final[dict[Shape, tuple[tuple[float, float], ...]]] = {
    "even": ((0.0, 0.0), (1.0, 1.0)),
    "late": ((0.0, 0.0), (0.5, 0.25), (0.8, 0.6), (1.0, 1.0)),
    "step": ((0.0, 1.0), (1.0, 1.0)),
    "saw": ((0.0, 0.0), (1.0, 1.0)),
}


@dataclass(frozen=True, slots=True)
class FaultMode:
    """One way to break."""

    name: str
    types: tuple[str, ...]
    days: tuple[float, float]  # from onset to failure, shortest and longest
    noticed_at: float  # share of these days after which the owner notices
    shape: Shape = "even"  # `late` speeds up, `step` is whole at once, `saw` restarts and begins anew
    silent: bool = False  # a failed device sends nothing any more
    causes: tuple[str, ...] = ()  # causes of tickets that name it rightly


MODES: Final = (
    FaultMode("battery_ageing", (LOCK,), (18, 45), 0.85, silent=True, causes=("battery",)),
    FaultMode("motor_wear", (LOCK,), (12, 30), 0.7, shape="late", causes=("motor",)),
    FaultMode("memory_leak", (ROUTER, PUMP), (4, 12), 0.95, shape="saw", causes=("memory",)),
    FaultMode("flash_wear", (ROUTER,), (18, 40), 0.95, causes=("flash",)),
    FaultMode("disk_filling", (ROUTER,), (6, 16), 0.97, causes=("disk",)),
    FaultMode("fan_bearing", (ROUTER,), (7, 24), 0.9, shape="late", causes=("cooling",)),
    FaultMode("thermal_runaway", (ROUTER,), (2, 8), 0.85, silent=True, causes=("cooling",)),
    FaultMode("wifi_decay", (ROUTER, LOCK), (8, 22), 0.75, causes=("wifi",)),
    FaultMode("refrigerant_leak", (PUMP,), (10, 28), 0.75, causes=("refrigerant", "heating")),
    FaultMode("compressor_wear", (PUMP,), (12, 30), 0.8, shape="late", causes=("compressor",)),
    FaultMode("sensor_drift", (PUMP,), (8, 20), 0.8, causes=("sensor",)),
    FaultMode("sensor_stuck", (PUMP,), (6, 14), 0.6, shape="step", causes=("sensor",)),
    FaultMode("clock_drift", TYPES, (6, 16), 0.7, causes=("clock",)),
    FaultMode("reboot_loop", (ROUTER, LOCK), (1.5, 4), 0.6, causes=("reboots",)),
    FaultMode("bad_firmware", (ROUTER,), (2, 6), 0.7, shape="step", causes=("firmware", "memory")),
    FaultMode("certificate_expiry", (ROUTER,), (30, 30), 0.99, causes=("certificate",)),
    FaultMode("device_silent", TYPES, (2, 5), 0.5, shape="step", silent=True, causes=("silent",)),
)  # fmt: skip
"""Every fault mode. Durations are told short so that a month shows them: real ones take months to years."""

BY_NAME: Final = {mode.name: mode for mode in MODES}
SINGLE: Final = tuple(mode for mode in MODES if mode.name != "bad_firmware")
"""Modes that befall devices one by one; bad firmware befalls a cohort."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Ground truth: what broke on one device, and when."""

    device: int  # position in the fleet
    mode: str
    onset_ms: int
    noticed_ms: int
    failed_ms: int
    knots: tuple[tuple[int, float], ...]  # (t_ms, progress), the course between onset and failure

    def progress(self, t_ms: Integers) -> Floats:
        """(samples,) how far it has come: 0 before onset, 1 from failure on; a saw begins anew."""
        times, heights = zip(*self.knots, strict=True)
        if BY_NAME[self.mode].shape == "saw":
            run = self.failed_ms - self.onset_ms
            t_ms = np.where(t_ms > self.failed_ms, self.onset_ms + (t_ms - self.onset_ms) % run, t_ms)
        return np.where(t_ms < self.onset_ms, 0.0, np.interp(t_ms, times, heights))

    def silences(self, t_ms: Integers) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """(samples,) whether the fault keeps the device from sending."""
        mode = BY_NAME[self.mode]
        return (self.progress(t_ms) >= 1.0) if mode.silent else np.zeros(t_ms.shape, np.bool_)


def fault(device: int, mode: FaultMode, onset_ms: int, days: float) -> Fault:
    """A fault that takes its natural course of so many days."""
    run = days * 86_400_000
    knots = tuple((int(onset_ms + share * run), height) for share, height in _CURVES[mode.shape])
    noticed = int(onset_ms + mode.noticed_at * run)
    return Fault(
        device=device, mode=mode.name, onset_ms=onset_ms, noticed_ms=noticed, failed_ms=int(onset_ms + run), knots=knots
    )


def ripening(device: int, mode: FaultMode, *, onset_ms: int, live_ms: int, held: float, within_ms: int) -> Fault:
    """A fault that has slowly come to `held` when the show begins at `live_ms`, and fails `within_ms` later."""
    failed = live_ms + within_ms
    noticed = int(live_ms + within_ms * max(0.0, (mode.noticed_at - held) / (1.0 - held)))
    knots = ((onset_ms, 0.0), (live_ms, held), (failed, 1.0))
    return Fault(device=device, mode=mode.name, onset_ms=onset_ms, noticed_ms=noticed, failed_ms=failed, knots=knots)
