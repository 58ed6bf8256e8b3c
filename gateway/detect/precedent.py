"""Precedents: which episodes came before the failures of a type, and how often the like came to nothing.

    episodes ─► occasions of a kind (metric, way), kept while a failure may follow ─┬─ failure ─► came before it
                                                                                    └─ horizon over ─► came to nothing

Counted by product type. A failure is a ticket that a person confirmed, or one that a recording names; its cause, where
it is known, keeps unlike failures apart. Episodes that go on and on, or come again, are one occasion;
weak ones, of which every device has some by chance, are none.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.detect.suspicion import STRONG
from gateway.model import Episode, Roster

HORIZON_MS = 30 * 86_400_000  # as `prognosis.outlook`: a failure counts for what was seen so long before it
LEAST_FAILURES = 3  # of a type and cause, without which nothing is told
LEAST_SHARE = 0.3  # of the failures: what seldom came before them is no precedent

Kind = tuple[str, str]  # metric, way
WAYS = {"stuck": "stuck", "silence": "silence", "variance": "restlessness"}


class Precedent(NamedTuple):
    """An occasion of this kind came before `before` of `failures`, and `idle` others came to nothing."""

    way: str  # `rise`, `fall`, or one of WAYS
    cause: str  # "" where the failures' cause is not known
    before: int
    failures: int
    idle: int


class Precedents:
    """What one fleet has shown. Devices and types by name."""

    def __init__(self) -> None:
        self._open: dict[str, dict[Kind, int]] = {}  # by device: when an occasion was last seen
        self._failures: Counter[tuple[str, str]] = Counter()  # by type and cause
        self._before: Counter[tuple[str, str, Kind]] = Counter()
        self._idle: Counter[tuple[str, Kind]] = Counter()
        self._counted: dict[tuple[str, int], tuple[str, list[Kind]]] = {}  # device, time: cause, what came before

    def note(self, episodes: Iterable[Episode], now_ms: int, roster: Roster) -> None:
        """Take in episodes that opened, grew or ended."""
        for episode in episodes:
            if kind := kind_of(episode):
                held = self._open.setdefault(episode.device_id, {})
                last = held.get(kind)
                if last is not None and now_ms - last > HORIZON_MS:
                    self._idle[_type(roster, episode.device_id), kind] += 1
                held[kind] = now_ms

    def failed(self, device_id: str, at_ms: int, cause: str, roster: Roster) -> None:
        """Take in one failure; what the device showed within the horizon before it is used up."""
        device_type = _type(roster, device_id)
        self._failures[device_type, cause] += 1
        held = self._open.pop(device_id, {})
        before = [kind for kind, last_ms in held.items() if at_ms - last_ms <= HORIZON_MS]
        self._before.update((device_type, cause, kind) for kind in before)
        self._idle.update((device_type, kind) for kind in held if kind not in before)
        self._counted[device_id, at_ms] = cause, before

    def taken_back(self, device_id: str, at_ms: int, roster: Roster) -> None:
        """Take in that a failure was none: what came before it came to nothing."""
        device_type = _type(roster, device_id)
        if (device_id, at_ms) in self._counted:
            cause, before = self._counted.pop((device_id, at_ms))
            self._failures[device_type, cause] -= 1
            self._before.subtract((device_type, cause, kind) for kind in before)
            self._idle.update((device_type, kind) for kind in before)

    def sweep(self, now_ms: int, roster: Roster) -> None:
        """Count what came to nothing. For a job, not for the hot path."""
        for device_id, held in self._open.items():
            for kind in [kind for kind, last_ms in held.items() if now_ms - last_ms > HORIZON_MS]:
                del held[kind]
                self._idle[_type(roster, device_id), kind] += 1
        self._open = {device_id: held for device_id, held in self._open.items() if held}

    def of(self, episode: Episode, roster: Roster) -> Precedent | None:
        """What is known of episodes like this one; None where that is too little, or they seldom came before failures.

        Where failures of several causes followed, the one which it came before most often, in share.

        Source: counts as of an association rule, R. Agrawal et al. (1993), Mining association rules between sets of
        items, SIGMOD, 207-216.
        """
        kind, device_type = kind_of(episode), _type(roster, episode.device_id)
        if kind is None:
            return None
        found = [
            Precedent(kind[1], cause, self._before[of, cause, kind], failures, self._idle[of, kind])
            for (of, cause), failures in self._failures.items()
            if of == device_type and failures >= LEAST_FAILURES
        ]
        likely = [p for p in found if p.before >= max(2, LEAST_SHARE * p.failures)]
        return max(likely, key=lambda p: (p.before / p.failures, p.before, p.cause), default=None)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All that it remembers."""
        words = {
            "open": [[device, *kind, at] for device, held in self._open.items() for kind, at in held.items()],
            "failures": [[*key, count] for key, count in self._failures.items()],
            "before": [[of, cause, *kind, count] for (of, cause, kind), count in self._before.items()],
            "idle": [[of, *kind, count] for (of, kind), count in self._idle.items()],
            "counted": [[*key, cause, kinds] for key, (cause, kinds) in self._counted.items()],
        }
        return {"words": np.frombuffer(json.dumps(words).encode(), np.uint8)}

    @staticmethod
    def restore(held: dict[str, NDArray[Any]]) -> Precedents:
        """One that goes on where `snapshot` was taken."""
        found, words = Precedents(), json.loads(held["words"].tobytes())
        for device, metric, way, at_ms in words["open"]:
            found._open.setdefault(device, {})[metric, way] = at_ms
        found._failures.update({(of, cause): count for of, cause, count in words["failures"]})
        found._before.update({(of, cause, (metric, way)): n for of, cause, metric, way, n in words["before"]})
        found._idle.update({(of, (metric, way)): count for of, metric, way, count in words["idle"]})
        for device, at_ms, cause, kinds in words["counted"]:
            found._counted[device, at_ms] = cause, [(metric, way) for metric, way in kinds]
        return found


def kind_of(episode: Episode) -> Kind | None:
    """Metric and way of a strong episode of a series; None for weak ones, those of whole devices and of logs."""
    if episode.peak < STRONG or not episode.metric or episode.metric.startswith("log:"):
        return None
    if episode.detector in WAYS:
        return episode.metric, WAYS[episode.detector]
    if episode.observed is None or episode.expected is None:
        return None
    return episode.metric, "rise" if episode.observed >= episode.expected else "fall"


def _type(roster: Roster, device_id: str) -> str:
    device = roster.device(device_id)
    return device.type if device else ""
