"""Sessions of a device's lines that share a key, scored when they end: `log.session_score`.

The operator's expression finds the key of a line: a request, a job, a block. Lines of devices seldom bear one, so
without an expression there are no sessions and the fact is unknown. From one boot to the next is no session: it lasts
for weeks, and no two hold the same lines.

A session ends when ten minutes have passed without a line of it. What then counts is how few sessions of devices of the
type held just these templates, just so often (`sequence.Sessions`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from gateway.detect.logs.sequence import Sessions
from gateway.model import Floats

QUIET_MS = 600_000
ENOUGH = 200  # sessions of a type before one can be called rare: twice what 1 in 100 takes
MOST_OPEN = 20_000  # when there are more, the half that was quiet for longest ends
MOST_LINES = 1_000  # of a session that are counted
HOUR_MS = 3_600_000


class Keyed:
    """The sessions of a fleet, open and ended. One key may be in use on many devices, each its own session."""

    def __init__(self, pattern: str = "") -> None:
        self._pattern = re.compile(pattern) if pattern else None
        self._open: dict[tuple[int, str], list[Any]] = {}  # device and key: type, newest line ms, names of templates
        self._of: dict[str, Sessions] = {}  # by type
        self._told: dict[int, tuple[int, float]] = {}  # device: when its rarest session of late ended, and the score
        self._kinds: dict[int, str] = {}  # types of devices that had a session

    @property
    def wanted(self) -> bool:
        """Whether there is an expression that finds keys."""
        return self._pattern is not None

    def hear(self, device: int, kind: str, t_ms: Sequence[int], texts: Sequence[str], names: Sequence[int]) -> None:
        """Take in lines of one device, by time, with the numbers that name their templates."""
        if self._pattern is None:
            return
        for at_ms, text, name in zip(t_ms, texts, names, strict=True):
            found = self._pattern.search(text)
            if found is None:
                continue
            key = (device, found.group(1))
            if key in self._open and at_ms - self._open[key][1] > QUIET_MS:
                self._end([key])
            session = self._open.setdefault(key, [kind, at_ms, []])
            session[1] = max(session[1], at_ms)
            if len(session[2]) < MOST_LINES:
                session[2].append(name)

    def look(self, now_ms: int) -> None:
        """End the sessions that have been quiet for long enough."""
        self._end([key for key, (_, newest_ms, _) in self._open.items() if now_ms - newest_ms > QUIET_MS])
        if len(self._open) > MOST_OPEN:
            self._end(sorted(self._open, key=lambda key: (self._open[key][1], key))[: len(self._open) // 2])

    def merged(self, child: int, root: int) -> None:
        """A template goes by another name from now on."""
        for session in self._open.values():
            session[2] = [root if name == child else name for name in session[2]]
        for sessions in self._of.values():
            sessions.rename(child, root)

    def scores(self, devices: int, now_ms: int) -> Floats:
        """(devices,) highest score of sessions that ended within the hour; 0: none did; NaN: none can be rare yet."""
        out = np.full(devices, np.nan)
        for device, kind in self._kinds.items():
            if kind in self._of and self._of[kind].total >= ENOUGH:
                ended_ms, score = self._told.get(device, (0, 0.0))
                out[device] = score if now_ms - ended_ms < HOUR_MS else 0.0
        return out

    def snapshot(self) -> bytes:
        """All that it remembers."""
        sessions = {
            kind: [of.total, [[n, *signature] for signature, n in of.seen.items()]] for kind, of in self._of.items()
        }
        held = [[[*key, *session] for key, session in self._open.items()], sessions, [*self._told.items()]]
        return json.dumps([*held, [*self._kinds.items()]]).encode()

    def restore(self, held: bytes) -> None:
        """Go on from a snapshot."""
        opened, sessions, told, kinds = json.loads(held)
        self._open = {(device, key): session for device, key, *session in opened}
        for kind, (total, rows) in sessions.items():
            self._of[kind] = Sessions(total=total)
            self._of[kind].seen.update({tuple((a, b) for a, b in signature): n for n, *signature in rows})
        self._told = {device: (ended_ms, score) for device, (ended_ms, score) in told}
        self._kinds = dict(kinds)

    def _end(self, keys: Sequence[tuple[int, str]]) -> None:
        """Score sessions that end together, then remember them: whose comes first changes nothing."""
        ended = [(device, *self._open.pop((device, key))) for device, key in keys]
        for device, kind, newest_ms, names in ended:
            self._kinds[device] = kind
            of = self._of.setdefault(kind, Sessions())
            score, (told_ms, told) = of.rarity(names), self._told.get(device, (0, 0.0))
            if of.total >= ENOUGH and (score >= told or newest_ms - told_ms >= HOUR_MS):
                self._told[device] = newest_ms, score
        for _, kind, _, names in ended:
            self._of[kind].remember(names)
