"""`beforehand demo` as a newcomer runs it: a process of its own, its output, its console, and what it leaves behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.cookiejar import CookieJar
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

import psutil

T = TypeVar("T")
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


def eventually(look: Callable[[], T], *, within_s: float, what: str) -> T:
    """The first true thing that `look` sees."""
    until_s = time.monotonic() + within_s
    while True:
        if found := look():
            return found
        assert time.monotonic() < until_s, f"not within {within_s} s: {what}"
        time.sleep(0.25)


def processes_of(folder: Path) -> list[psutil.Process]:
    """Every living process whose command names the folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or ())
        if str(folder) in line and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def _hear_interrupts() -> None:
    """As in a terminal: what a shell starts in the background ignores SIGINT, and so would the demo."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Demo:
    """One run of the demo on a folder."""

    def __init__(self, folder: Path, *more: str, devices: int = 12, port: int = 0) -> None:
        self._others = {process.pid for process in processes_of(folder)}
        self.folder, self._output = folder, tempfile.TemporaryFile()  # noqa: SIM115
        command = ["demo", "--folder", str(folder), "--devices", str(devices), "--port", str(port), *more]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", *command], stdout=self._output, stderr=self._output,
            env=os.environ | {"COLUMNS": "400", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
            start_new_session=True, preexec_fn=_hear_interrupts,  # noqa: PLW1509  # no thread of ours runs here
        )  # fmt: skip

    @property
    def said(self) -> str:
        return os.pread(self._output.fileno(), 1 << 20, 0).decode()  # the child's offset stays

    def until_said(self, pattern: str, *, within_s: float = 150) -> re.Match[str]:
        def look() -> re.Match[str] | None:
            assert self.process.poll() is None, self.said
            return re.search(pattern, self.said)

        return eventually(look, within_s=within_s, what=f"{pattern!r} in {self.said[-2000:]}")

    def children(self) -> list[psutil.Process]:
        """Every process of this run: those that speak of its folder and were not there before."""
        return [process for process in processes_of(self.folder) if process.pid not in self._others]

    def interrupt(self, *, within_s: float = 40) -> float:
        """Ctrl-C; the seconds until it has ended."""
        began_s = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(within_s) == 0, self.said[-3000:]
        return time.monotonic() - began_s

    def kill(self) -> None:
        """Whatever is left of it, by process id."""
        for process in self.children():
            process.kill()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self._output.close()

    def ended(self, *, within_s: float = 60) -> tuple[int, str]:
        """(exit code, output) of a run that ends by itself."""
        return self.process.wait(within_s), self.said


class Visitor:
    """Somebody at the console, signed in as the demo tells."""

    def __init__(self, demo: Demo) -> None:
        told = demo.until_said(r"console (http://\S+) login (\S+) password (\S+)")
        self.url = told[1]
        self._open = build_opener(HTTPCookieProcessor(CookieJar())).open
        self.post("/sign-in", seen="/sign-in", login=told[2], password=told[3])
        assert "Sign out" in self.page("/")

    def page(self, path: str) -> str:
        with self._open(self.url + path, timeout=30) as answer:
            return str(answer.read().decode())

    def post(self, path: str, *, seen: str, **form: str) -> str:
        """Send a form of the page `seen`."""
        found = CSRF.search(self.page(seen))
        assert found
        body = urlencode(form | {"csrf": found[1]}).encode()
        with self._open(self.url + path, body, timeout=30) as answer:
            return str(answer.read().decode())
