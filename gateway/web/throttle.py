"""How often a sign-in may fail: by login and by address, so that neither one account nor many can be guessed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from threading import Lock

WINDOW_MS = 300_000
PER_LOGIN, PER_ADDRESS = 8, 40  # failures in five minutes: 2,300 guesses a day, against argon2 and ten letters
HELD = 10_000  # keys held at most; the oldest go first


@dataclass(slots=True)
class Throttle:
    """Recent failures. In memory: a restart forgives, which costs an attacker more than it gives."""

    _failures: dict[str, deque[int]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def wait_s(self, login: str, address: str, now_ms: int) -> int:
        """Seconds until another attempt is looked at; 0: now."""
        with self._lock:
            waits = (self._wait(f"l:{login}", PER_LOGIN, now_ms), self._wait(f"a:{address}", PER_ADDRESS, now_ms))
            return max(waits)

    def failed(self, login: str, address: str, now_ms: int) -> None:
        """Count one failure."""
        with self._lock:
            for key in (f"l:{login}", f"a:{address}"):
                self._failures.setdefault(key, deque(maxlen=PER_ADDRESS)).append(now_ms)
            while len(self._failures) > HELD:
                del self._failures[next(iter(self._failures))]

    def succeeded(self, login: str) -> None:
        """Forget the failures of a login."""
        with self._lock:
            self._failures.pop(f"l:{login}", None)

    def _wait(self, key: str, most: int, now_ms: int) -> int:
        times = self._failures.get(key)
        while times and times[0] <= now_ms - WINDOW_MS:
            times.popleft()
        if not times or len(times) < most:
            return 0
        return -(-(times[-most] + WINDOW_MS - now_ms) // 1000)
