"""One thread's loop over sockets: any number of MQTT links, the local socket, and work that other threads finished.

Everything of an agent happens in the thread that calls `poll`; there are no locks. What may block (resolving a name,
connecting, running a program) goes to a short-lived thread by `in_background` and comes back as a call from `poll`.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Protocol, TypeVar

T = TypeVar("T")
MOST_THREADS = 8  # of one network; further work waits

Ready = Callable[[int], None]
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class HasFileno(Protocol):
    """A socket, or what holds one."""

    def fileno(self) -> int:
        """The file descriptor."""
        ...


class Network:
    """The sockets and background work of one thread. `close` it."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._finished: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._waiting: deque[Callable[[], None]] = deque()
        self._running = 0
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._selector.register(self._wake_read, READ, self._woken)

    def watch(self, file: HasFileno | int, events: int, ready: Ready) -> None:
        """Call `ready(events)` from `poll` when the file can be read or written; again to change the events."""
        number = file if isinstance(file, int) else file.fileno()
        try:
            self._selector.modify(number, events, ready)
        except KeyError:
            self._selector.register(number, events, ready)

    def forget(self, file: HasFileno | int) -> None:
        """Watch it no longer; to be called before it is closed."""
        number = file if isinstance(file, int) else file.fileno()
        if number in self._selector.get_map():
            self._selector.unregister(number)

    def in_background(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Run `work` in a thread, and `then` with what it returned from `poll`. `work` must not raise."""

        def body() -> None:
            result = work()
            self.call_soon(lambda: self._done(lambda: then(result)))

        self._waiting.append(lambda: threading.Thread(target=body, daemon=True).start())
        self._start_waiting()

    def _start_waiting(self) -> None:
        while self._waiting and self._running < MOST_THREADS:
            self._running += 1
            self._waiting.popleft()()

    def _done(self, then: Callable[[], None]) -> None:
        self._running -= 1
        self._start_waiting()
        then()

    def call_soon(self, call: Callable[[], None]) -> None:
        """Run `call` from `poll`, and end its wait; from any thread and from signal handlers."""
        self._finished.put(call)
        try:
            self._wake_write.send(b"\0")
        except BlockingIOError:  # so many wakes are under way already that one more changes nothing
            pass
        except OSError:  # closed meanwhile
            pass

    def poll(self, timeout_s: float) -> None:
        """Wait for at most so long, then serve all that is ready."""
        for key, events in self._selector.select(max(0.0, timeout_s)):
            if self._selector.get_map().get(key.fd) is key:  # not forgotten by one served before it
                key.data(events)

    def _woken(self, _events: int) -> None:
        try:
            while self._wake_read.recv(4096):
                pass
        except BlockingIOError:
            pass
        while True:
            try:
                call = self._finished.get_nowait()
            except Empty:
                return
            call()

    def close(self) -> None:
        """Let go of everything; threads still running end by themselves and are not heard."""
        self._selector.close()
        self._wake_read.close()
        self._wake_write.close()
