"""Commands from the gateway: what is not signed, late, repeated or unknown is refused; the rest is carried out once.

`ping` and `diagnostics` are built in; everything else is a hook: a program the operator names in the settings.
A nonce is on disk before its command is carried out, so a `reboot` that the broker delivers again after the reboot is
refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from edge.custom import Ran, run_program
from edge.network import Network
from edge.redact import redact
from edge.state import State
from edge.wire import Command, Reply, WireError, decode_command, replies

log = logging.getLogger("edge.commands")

BUILT_IN = ("ping", "diagnostics")
MOST_NONCES = 1_000


class Refusal(Exception):
    """A command that is not carried out; `command_id` is empty where nobody trustworthy asked."""

    def __init__(self, command_id: str, code: str) -> None:
        super().__init__(code)
        self.command_id = command_id
        self.code = code


class Gatekeeper:
    """Decides whether a command is carried out."""

    def __init__(self, device_id: str, *, key: bytes, hooks: Mapping[str, Sequence[str]], state: State) -> None:
        self._device_id = device_id
        self._key = key
        self._known = {*BUILT_IN, *hooks}
        self._state = state
        self._nonces = {nonce: until for nonce, until in state.load("nonces").items() if isinstance(until, int)}

    def admit(self, payload: bytes, *, now_ms: int) -> Command:
        """The command to carry out.

        Raises:
            Refusal: a WireError's code, or `repeated`, `unknown_command`, `busy`, `disk_error`.
        """
        try:
            command = decode_command(payload, device_id=self._device_id, key=self._key, now_ms=now_ms)
        except WireError as exc:
            raise Refusal("", exc.code) from None
        self._nonces = {nonce: until for nonce, until in self._nonces.items() if until > now_ms}
        if command.nonce in self._nonces:
            raise Refusal(command.command_id, "repeated")
        if len(command.nonce) < 16 or len(self._nonces) >= MOST_NONCES:
            raise Refusal(command.command_id, "busy" if len(command.nonce) >= 16 else "bad_field")
        if command.name not in self._known:
            raise Refusal(command.command_id, "unknown_command")
        self._nonces[command.nonce] = command.expires_ms
        try:
            self._state.save("nonces", dict(self._nonces), sync=True)
        except OSError:
            raise Refusal(command.command_id, "disk_error") from None
        return command


class Commands:
    """Carries out what the gatekeeper admits, and replies. Programs run in the background, one at a time."""

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        network: Network,
        *,
        hooks: Mapping[str, Sequence[str]],
        timeout_s: float,
        reply: Callable[[Reply], None],
        diagnose: Callable[[], str],
        refused: Callable[[str], None],
    ) -> None:
        self._gatekeeper = gatekeeper
        self._network = network
        self._hooks = hooks
        self._timeout_s = timeout_s
        self._reply = reply
        self._diagnose = diagnose
        self._refused = refused
        self._running = ""

    def obey(self, payload: bytes, *, now_ms: int) -> None:
        """Carry out one command, or refuse it; a refusal is answered only where the signature was right."""
        try:
            command = self._gatekeeper.admit(payload, now_ms=now_ms)
            if self._running and command.name in self._hooks:
                raise Refusal(command.command_id, "busy")
        except Refusal as exc:
            log.warning("command.refused", extra={"fields": {"id": exc.command_id, "code": exc.code}})
            self._refused(exc.code)
            if exc.command_id:
                self._answer(exc.command_id, ok=False, code=exc.code)
            return
        log.info("command.admitted", extra={"fields": {"id": command.command_id, "name": command.name}})
        if command.name in self._hooks:
            self._run(command)
        else:
            answer = self._diagnose() if command.name == "diagnostics" else ""
            self._answer(command.command_id, ok=True, code="done", answer=answer)

    def _run(self, command: Command) -> None:
        argv = tuple(self._hooks[command.name])
        self._running = command.name
        self._answer(command.command_id, ok=True, code="started")
        self._network.in_background(
            lambda: run_program(argv, timeout_s=self._timeout_s), lambda ran: self._ran(command.command_id, ran)
        )

    def _ran(self, command_id: str, ran: Ran) -> None:
        self._running = ""
        self._answer(command_id, ok=ran.ok, code=ran.code, answer=redact(ran.output))

    def _answer(self, command_id: str, *, ok: bool, code: str, answer: str = "") -> None:
        for reply in replies(command_id, ok=ok, code=code, answer=answer):
            self._reply(reply)
