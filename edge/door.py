"""The local Unix datagram socket: firmware sends lines of the protocol (`edge.lines`), nothing is answered."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from edge.lines import MAX_DATAGRAM, Readings, Said, parse_lines
from edge.network import READ, Network

MOST_AT_ONCE = 100  # datagrams served before anything else has its turn


class Door:
    """The bound socket. A stale file of a run that died is replaced."""

    def __init__(
        self,
        path: Path,
        *,
        mode: int,
        network: Network,
        take: Callable[[Sequence[Readings | Said], Sequence[str]], None],
    ) -> None:
        self._path = path
        self._network = network
        self._take = take
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path))
        path.chmod(mode)
        network.watch(self._socket, READ, self._ready)

    def _ready(self, _events: int) -> None:
        for _ in range(MOST_AT_ONCE):
            try:
                datagram = self._socket.recv(MAX_DATAGRAM)
            except OSError:
                return
            self._take(*parse_lines(datagram.decode("utf-8", "replace")))

    def close(self) -> None:
        """Remove the socket."""
        self._network.forget(self._socket)
        self._socket.close()
        self._path.unlink(missing_ok=True)
