"""What a product's physics sees: devices of one type at some times, with their places, habits, faults and chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from firmware_sim import noise
from firmware_sim.fault import Fault
from firmware_sim.noise import Floats, Integers
from firmware_sim.region import DAY_MS, HOUR_MS, REGIONS, offset_ms, outdoor_celsius

RHYTHM: Final = np.array(
    [3, 2, 2, 2, 3, 8, 25, 55, 50, 30, 25, 30, 38, 32, 30, 38, 55, 80, 95, 100, 95, 75, 40, 12], float
) / 100  # fmt: skip
"""How busy a home is at each hour of a working day, 1 at most; drawn after published household load curves."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Devices of one product type at moments of time. Arrays by device are (devices, 1), results (devices, samples)."""

    seed: int
    number: Integers  # (devices,) positions in the fleet
    region: Integers  # (devices,) positions in REGIONS
    built_ms: Integers  # (devices,)
    boots: Sequence[Integers]  # of each device, ascending start times
    faults: Mapping[str, Sequence[tuple[int, Fault]]]  # by mode: (row, fault)
    t_ms: Integers  # (samples,)
    start_ms: int  # of the fleet's history; local time zones are those of this moment

    def severity(self, mode: str) -> Floats:
        """(devices, samples) how far a fault has come, 0 to 1; (1, 1) of 0 where no device has it."""
        if mode not in self.faults:
            return np.zeros((1, 1))
        found = np.zeros((self.number.size, self.t_ms.size))
        for row, fault in self.faults[mode]:
            found[row] = fault.progress(self.t_ms)
        return found

    def trait(self, name: str, low: float, high: float) -> Floats:
        """(devices, 1) what distinguishes one unit from another, for ever."""
        return low + (high - low) * noise.uniform(noise.keys(self.seed, name, self.number), np.array([1]))[:, None]

    def jitter(self, name: str, deviation: float) -> Floats:
        """(devices, samples) noise of the measurement, new at every sample."""
        return deviation * noise.normal(noise.keys(self.seed, name, self.number)[:, None], self.t_ms)

    def wander(self, name: str, deviation: float, period_ms: int) -> Floats:
        """(devices, samples) noise that comes and goes."""
        return deviation * noise.smooth(noise.keys(self.seed, name, self.number)[:, None], self.t_ms, period_ms)

    def local_ms(self) -> Integers:
        """(devices, samples) Unix ms of the local clock."""
        shift = np.array([offset_ms(region, self.start_ms) for region in REGIONS])
        found: Integers = self.t_ms[None, :] + shift[self.region][:, None]
        return found

    def activity(self) -> Floats:
        """(devices, samples) how busy the home is, 0 to about 1: hour, weekend, and each household's own habits."""
        local = self.local_ms() + (self.trait("habit", -1.2, 1.2) * HOUR_MS).astype(np.int64)
        weekend = (local // DAY_MS + 3) % 7 >= 5  # 1 January 1970 was a Thursday
        local = local - np.where(weekend, HOUR_MS, 0)
        hour = local % DAY_MS / HOUR_MS
        low = hour.astype(np.int64) % 24
        level = RHYTHM[low] + (RHYTHM[(low + 1) % 24] - RHYTHM[low]) * (hour % 1.0)
        return level * np.where(weekend, 1.15, 1.0) * np.maximum(0.2, 1.0 + self.wander("mood", 0.25, DAY_MS))

    def outdoor(self) -> Floats:
        """(devices, samples) temperature outside, degrees Celsius; the region's weather, the site's own bias."""
        by_region = np.zeros((len(REGIONS), self.t_ms.size))
        for region in np.unique(self.region):
            shift = offset_ms(REGIONS[region], self.start_ms)
            by_region[region] = outdoor_celsius(int(region), self.t_ms, seed=self.seed, shift_ms=shift)
        return by_region[self.region] + self.trait("site", -0.8, 0.8)

    def days(self) -> Floats:
        """(devices, samples) age in days."""
        return (self.t_ms[None, :] - self.built_ms[:, None]) / DAY_MS

    def counter(self, name: str, per_day: Floats) -> Floats:
        """(devices, samples) a count that only grows, faster by day than by night, some days more than others.

        Args:
            name: of the chance.
            per_day: (devices, 1) mean rate.
        """
        local = self.local_ms()
        day = local // DAY_MS
        # Day d ends at d + 0.8 h(d): days differ by up to 80 %, and no sum over the past is needed.
        key = noise.keys(self.seed, name, self.number)[:, None]
        first = int(day.min()) if day.size else 0
        swing = 0.8 * noise.uniform(key, np.arange(first, (int(day.max()) if day.size else 0) + 2))
        here = np.take_along_axis(swing, day - first, axis=1)
        after = np.take_along_axis(swing, day - first + 1, axis=1)
        busy = np.concatenate([[0.0], np.cumsum(RHYTHM)]) / RHYTHM.sum()
        share = np.interp(local % DAY_MS / HOUR_MS, np.arange(25), busy)
        since = day - self.built_ms[:, None] // DAY_MS + here + share * (1.0 + after - here)
        found: Floats = np.floor(per_day * np.maximum(since, 0.0))
        return found

    def uptime_s(self) -> Floats:
        """(devices, samples) seconds since the last start."""
        found = np.empty((self.number.size, self.t_ms.size))
        for row, boots in enumerate(self.boots):
            last = boots[np.maximum(np.searchsorted(boots, self.t_ms, side="right") - 1, 0)]
            found[row] = np.maximum(self.t_ms - last, 0) / 1000.0
        return np.floor(found)

    def boots_total(self) -> Floats:
        """(devices, samples) how often the device has started."""
        found = np.empty((self.number.size, self.t_ms.size))
        for row, boots in enumerate(self.boots):
            found[row] = np.searchsorted(boots, self.t_ms, side="right")
        return found

    def clock_offset_s(self) -> Floats:
        """(devices, samples) the clock's error as its last synchronisation saw it."""
        return (
            self.wander("clock", 0.02, 6 * HOUR_MS)
            + self.trait("clock_way", -1, 1) * 0.01
            + 120.0 * self.severity("clock_drift") * np.sign(self.trait("clock_way", -1, 1))
        )
