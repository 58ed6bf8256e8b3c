"""Which batches are stored, in memory: per device and boot a few intervals of `seq`, however many batches there were.

A device numbers its batches without a gap, so the intervals of a boot grow together into one. Keys of plain MQTT
devices are digests (boot 0) and never do: they are kept one by one, and forgotten after some days.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from gateway.ports import BatchKey


class KeySet:
    """A set of batch keys, built for runs."""

    def __init__(self) -> None:
        self._firsts: dict[tuple[int, int], list[int]] = {}
        self._lasts: dict[tuple[int, int], list[int]] = {}
        self._digests: dict[int, set[int]] = {}

    def __contains__(self, key: BatchKey) -> bool:
        if key.boot == 0:
            return key.seq in self._digests.get(key.device, ())
        firsts = self._firsts.get((key.device, key.boot))
        if firsts is None:
            return False
        place = bisect_right(firsts, key.seq) - 1
        return place >= 0 and key.seq <= self._lasts[key.device, key.boot][place]

    def add(self, key: BatchKey) -> None:
        """Add one key."""
        if key.boot == 0:
            self._digests.setdefault(key.device, set()).add(key.seq)
        else:
            self.add_range(key.device, key.boot, key.seq, key.seq)

    def add_range(self, device: int, boot: int, first: int, last: int) -> None:
        """Add the keys first..last of a boot, joining what touches."""
        firsts = self._firsts.setdefault((device, boot), [])
        lasts = self._lasts.setdefault((device, boot), [])
        low = bisect_right(lasts, first - 2)  # the first interval that reaches first - 1
        high = bisect_right(firsts, last + 1)  # behind the last interval that begins by last + 1
        if low < high:
            first, last = min(first, firsts[low]), max(last, lasts[high - 1])
        firsts[low:high], lasts[low:high] = [first], [last]

    def ranges(self) -> Iterator[tuple[int, int, int, int]]:
        """(device, boot, first, last) of all intervals; digests are left out."""
        for (device, boot), firsts in self._firsts.items():
            for first, last in zip(firsts, self._lasts[device, boot], strict=True):
                yield device, boot, first, last

    def forget_digests(self, keep: Iterable[BatchKey]) -> None:
        """Replace the digests by those to keep."""
        self._digests = {}
        for key in keep:
            self.add(key)
