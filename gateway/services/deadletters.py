"""Deliveries that were refused, kept for a person to look at: JSON lines in two files of bounded size."""

from __future__ import annotations

import base64
import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.ingest import Dead

MAX_FILE_BYTES = 4 << 20  # of each of the two files
MAX_PAYLOAD_BYTES = 2_000  # of one letter
PER_TOPIC = 20  # of one window: a device that sends rubbish by the thousand does not push out the others


@dataclass(frozen=True, slots=True)
class Letter:
    """One delivery that was refused for good."""

    at_ms: int
    topic: str
    code: str
    detail: str
    bytes: int  # of the whole payload
    payload: str  # its beginning, in base64


class DeadLetters:
    """Appends to `dead-letters.jsonl`; when that is full it becomes `dead-letters.old.jsonl`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file, self._old = folder / "dead-letters.jsonl", folder / "dead-letters.old.jsonl"

    def keep(self, dead: Sequence[Dead], *, now_ms: int) -> None:
        """Write them down; what does not fit on the disk is not worth stopping for. Blocks."""
        kept: Counter[str] = Counter()
        lines = []
        for letter in dead:
            kept[letter.delivery.topic] += 1
            if kept[letter.delivery.topic] <= PER_TOPIC:
                lines.append(_line(letter, now_ms))
        try:
            if self._file.exists() and self._file.stat().st_size > MAX_FILE_BYTES:
                self._file.replace(self._old)
            with self._file.open("a") as file:
                file.writelines(lines)
        except OSError:
            return

    def newest(self, limit: int = 100) -> list[Letter]:
        """The newest letters, newest first. Blocks."""
        lines: list[str] = []
        for path in (self._old, self._file):
            with contextlib.suppress(OSError):
                lines += path.read_text().splitlines()[-limit:]
        return [Letter(**json.loads(line)) for line in reversed(lines[-limit:]) if line.endswith("}")]


def _line(letter: Dead, now_ms: int) -> str:
    payload = letter.delivery.payload
    document = {
        "at_ms": now_ms, "topic": letter.delivery.topic[:300], "code": letter.code, "detail": letter.detail[:300],
        "bytes": len(payload), "payload": base64.b64encode(payload[:MAX_PAYLOAD_BYTES]).decode(),
    }  # fmt: skip
    return json.dumps(document) + "\n"
