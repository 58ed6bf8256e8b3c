"""Which devices are to be looked at: who has sent something since, when each was looked at last, and who has ended.

A device is looked at when it has sent something; one that sends nothing, as where only changes are reported, thrice in
the horizon. One that failed or was taken away is not looked at until it is heard again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gateway.model import Floats, Integers

RESTS = 3  # looks in a horizon at a device that sends nothing
HEARD, LOOKED, ENDED = 0, 1, 2
"""What is known of a device: whether it was heard since the last look; when that was, and when it last failed or was
taken away, ms."""
NEVER = -1
NEW = (0, NEVER, NEVER)


class Attention:
    """What is known of the devices of one fleet, by number."""

    def __init__(self, horizon_ms: int, held: NDArray[np.int64] | None = None) -> None:
        self._rest_ms = horizon_ms // RESTS
        self.held = np.empty((0, 3), np.int64) if held is None else held  # (devices, 3)

    def __len__(self) -> int:
        return len(self.held)

    def grow(self, count: int) -> None:
        """Know of that many devices at least."""
        fresh = np.full((max(count - len(self.held), 0), 3), NEW, np.int64)
        self.held = np.concatenate([self.held, fresh])

    def hear(self, device: Integers, t_ms: Integers) -> None:
        """Note who has sent something, and nothing from before an end."""
        self.held[device[t_ms > self.held[device, ENDED]], HEARD] = 1

    def waiting(self, now_ms: int) -> Integers:
        """Numbers of the devices to look at."""
        rested = now_ms - self.held[:, LOOKED] >= self._rest_ms
        return np.flatnonzero((self.held[:, HEARD] > 0) | ((self.held[:, LOOKED] != NEVER) & rested))

    def look(self, device: Integers, now_ms: int) -> Floats:
        """(devices,) what the looks at these devices weigh, now that they are taken.

        A look speaks for the time since the last, and weighs its root: a device that breaks down reports often, so by
        looks it would count for too much, by time for too little (measured on disks: bench/detection/fleets.py).
        """
        before = self.held[device, LOOKED]
        since = np.where(before == NEVER, self._rest_ms, now_ms - before)
        self.held[device, HEARD], self.held[device, LOOKED] = 0, now_ms
        return np.sqrt(np.clip(since / self._rest_ms, 0.0, 1.0))

    def end(self, device: Integers, t_ms: Integers) -> None:
        """Know nothing of devices until they are heard again."""
        self.grow(int(device.max(initial=-1)) + 1)
        self.held[device, HEARD], self.held[device, LOOKED] = 0, NEVER
        np.maximum.at(self.held[:, ENDED], device, t_ms)

    @property
    def looked_at(self) -> Integers:
        """Numbers of the devices of which something is said."""
        return np.flatnonzero(self.held[:, LOOKED] != NEVER)

    def present(self, device: Integers) -> Integers:
        """Those among `device` that were heard or looked at since they ended last."""
        there = (self.held[device, LOOKED] != NEVER) | (self.held[device, HEARD] > 0)
        return np.asarray(device[there])
