"""How far a device's clock is off, per boot.

A batch says when it was sent by the device's clock; the broker says when it took it. Their difference is the clock's
error plus the time on the way, and the way never takes less than nothing, so the least difference seen in a boot is
the best estimate (the clock filter of NTP). Differences under `TOLERANCE_MS` are left alone: they are mostly way.

Where the broker does not say when it took a message, a positive difference may be time in its queue; it is trusted
beyond `QUEUE_MS` only, for no queue holds messages longer. A negative one is always the clock's.

Source: D. L. Mills (1991), Internet time synchronization: the Network Time Protocol, IEEE Trans. Comm. 39(10), III.C.
"""

from __future__ import annotations

TOLERANCE_MS = 30_000  # an order above the round trip of a poor mobile link; a second's error is nobody's concern here
QUEUE_MS = 7 * 86_400_000


class Clocks:
    """The estimates of a fleet: one number a device, of its latest boot."""

    def __init__(self) -> None:
        self._least: dict[int, tuple[int, int]] = {}  # device number: boot, least difference

    def offset(self, device: int, boot: int, *, sent_ms: int, taken_ms: int, trusted: bool) -> int:
        """Milliseconds to add to this device's times; 0 where its clock is right as far as can be told."""
        difference = taken_ms - sent_ms
        if not trusted and 0 < difference < QUEUE_MS:
            difference = 0
        held_boot, held = self._least.get(device, (0, 0))
        if boot < held_boot:
            return _beyond(difference)
        least = min(difference, held) if boot == held_boot else difference
        if held_boot == boot and abs(difference - held) > TOLERANCE_MS and abs(difference) < TOLERANCE_MS:
            least = difference  # the clock was set meanwhile: it is right now
        self._least[device] = (boot, least)
        return _beyond(least)


def _beyond(difference: int) -> int:
    return difference if abs(difference) > TOLERANCE_MS else 0
