"""What the agent knows from one run to the next: small JSON files, each replaced whole.

    run.json      boot, the kernel's start it ran in, whether it ended on purpose
    desired.json  the last desired configuration
    tails.json    where each log file was read to
    nonces.json   commands already carried out, until they have expired

`boot` counts the starts of the agent. A device whose disk was wiped must not use a boot again, for the gateway would
take its batches for repeats; so the first boot is the number of minutes since 2020 rather than 1. `run.json` is kept
twice: a file that a failing disk has damaged is replaced by the copy, and the boot is never below that of any batch.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

MINUTE_MS = 60_000
YEAR_2020_MS = 1_577_836_800_000


class Run(NamedTuple):
    """This run of the agent, and how the last one ended."""

    boot: int
    first: bool  # nothing is known of a run before
    same_kernel: bool  # the kernel has not started anew since the last run
    clean: bool  # the last run ended on purpose


class State:
    """The files of one device's agent."""

    def __init__(self, folder: Path, *, sync: bool = True) -> None:
        self._folder = folder
        self._sync = sync  # simulated devices need not outlive a power cut
        self._kernel = ""
        self._boot = 0
        folder.mkdir(parents=True, exist_ok=True)

    def begin(self, *, now_ms: int, kernel: str, at_least: int = 0) -> Run:
        """Count one boot more, durably. `at_least` is the highest boot seen elsewhere, as in the disk buffer.

        Raises:
            OSError: the disk cannot be written; an agent without a boot must not run.
        """
        last = self.load("run") or self.load("run.copy")
        known = last.get("boot")
        first = max(0, now_ms - YEAR_2020_MS) // MINUTE_MS
        before = known if isinstance(known, int) and 0 < known < 1 << 31 else first
        self._boot = max(before, at_least) + 1
        self._kernel = kernel
        self._note(clean=False)
        return Run(self._boot, not last, bool(kernel) and last.get("kernel") == kernel, last.get("clean") is True)

    def end(self) -> None:
        """The run ends on purpose."""
        self._note(clean=True)

    def _note(self, *, clean: bool) -> None:
        run = {"boot": self._boot, "kernel": self._kernel, "clean": clean}
        self.save("run", run, sync=True)
        self.save("run.copy", run, sync=True)

    def load(self, name: str) -> dict[str, object]:
        """A file's content; empty where it is missing or damaged."""
        try:
            found = json.loads((self._folder / f"{name}.json").read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def save(self, name: str, content: dict[str, object], *, sync: bool = False) -> None:
        """Replace a file; a crash leaves the old content or the new. Raises OSError."""
        path = self._folder / f"{name}.json"
        other = path.with_suffix(".new")
        with other.open("w", encoding="utf-8") as file:
            json.dump(content, file)
            if sync and self._sync:
                file.flush()
                os.fsync(file.fileno())
        other.replace(path)
