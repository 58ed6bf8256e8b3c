"""Sensors an operator adds: a file that holds a number, a program that prints lines of the protocol."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from edge.lines import MAX_DATAGRAM


class FileValue:
    """A number in a file, scaled."""

    def __init__(self, metric: str, path: Path, scale: float) -> None:
        self.name = f"file:{metric}"
        self._metric = metric
        self._path = path
        self._scale = scale

    def read(self, now_s: float) -> dict[str, float]:  # a Sensor's form
        """The reading; OSError or ValueError where there is none."""
        with self._path.open(encoding="utf-8") as file:
            return {self._metric: float(file.read(64).split()[0]) * self._scale}


class Ran(NamedTuple):
    """How a program ended."""

    ok: bool
    code: str  # `done`, `exit_<n>`, `timed_out`, `not_started`
    output: str


def run_program(argv: Sequence[str], *, timeout_s: float, limit: int = MAX_DATAGRAM) -> Ran:
    """Run a program without a shell and wait for it; at most `limit` characters of the end of its output are kept."""
    try:
        done = subprocess.run(  # noqa: S603  # the operator's own programs, no shell
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        return Ran(False, "timed_out", _tail(exc.stdout or b"", limit))
    except OSError as exc:
        return Ran(False, "not_started", str(exc))
    code = "done" if done.returncode == 0 else f"exit_{done.returncode}"
    return Ran(done.returncode == 0, code, _tail(done.stdout, limit))


def _tail(output: bytes, limit: int) -> str:
    return output.decode("utf-8", "replace")[-limit:]
