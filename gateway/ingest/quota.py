"""How much one device may send: a bucket of values that fills at a steady rate; a burst passes, a flood does not."""

from __future__ import annotations

BURST_MINUTES = 10.0


class Quota:
    """Buckets of a fleet, one a device. Time comes in."""

    def __init__(self, values_per_minute: float) -> None:
        self._rate = values_per_minute / 60_000.0
        self._full = values_per_minute * BURST_MINUTES
        self._bucket: dict[int, tuple[float, int]] = {}

    def take(self, device: int, values: int, *, now_ms: int) -> bool:
        """Whether the device may send that many values now; they are taken from its bucket if so."""
        left, since_ms = self._bucket.get(device, (self._full, now_ms))
        left = min(self._full, left + max(0, now_ms - since_ms) * self._rate)
        granted = left >= min(values, self._full)
        self._bucket[device] = (left - values if granted else left, now_ms)
        return granted
