"""From the gateway to devices: desired settings, signed commands, and what devices answer.

Desired settings are kept in the ledger and published retained, so a device that was away finds them; one that is born
with older settings (the broker was away then, or has lost its disk) is sent them again. A command lives for minutes,
is signed with the device's own key, and is answered in parts, which are joined here. The newest answers are kept in
memory; a diagnostics bundle is also written to a file, for it may be asked for only once.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from sqlalchemy import Engine

from edge import wire
from edge.wire import Command, Desired, Reply, WireError
from gateway.errors import NotFound, Refused, TryLater
from gateway.ledger import audit, registry
from gateway.model import Birth, Device
from gateway.ports import TelemetrySource

LIFE_MS = 5 * 60_000  # of a command: longer than a device takes to reconnect, shorter than a person's patience
KEPT = 1_000  # answers in memory, of all devices
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Order:
    """A command that was sent, and its answer as far as it has come."""

    command_id: str
    device_id: str
    name: str
    sent_ms: int
    ok: bool = True
    code: str = ""  # "" until it is answered; `started` while a hook runs
    answered_ms: int | None = None  # when the last part came
    parts: dict[int, str] = field(default_factory=dict)
    count: int = 0  # of parts

    @property
    def complete(self) -> bool:
        """Whether all parts have come."""
        return self.count > 0 and len(self.parts) == self.count

    @property
    def text(self) -> str:
        """The parts that have come, joined in order."""
        return "".join(self.parts[n] for n in sorted(self.parts))


@dataclass(slots=True, kw_only=True)
class Downlink:
    """Speaks to devices through the source's link."""

    ledger: Engine
    source: TelemetrySource
    now_ms: Callable[[], int]
    folder: Path  # of diagnostics bundles
    tell: Callable[[str, str], None] = lambda _kind, _subject: None  # open pages
    orders: OrderedDict[str, Order] = field(default_factory=OrderedDict)

    async def desire(self, device_id: str, settings: dict[str, object], *, actor: str) -> int:
        """Keep and publish the settings a device shall have; the new version.

        Raises:
            NotFound: `device`. TryLater: `broker_away`.
        """
        record = await asyncio.to_thread(registry.find_device, self.ledger, device_id)
        held = record.desired if isinstance(record.desired, dict) else {}
        version = int(held.get("version", 0)) + 1
        await asyncio.to_thread(
            registry.set_desired, self.ledger, device_id, {"version": version, "settings": settings}
        )
        self._note(actor, "device.desired", device_id, {"version": version, "settings": sorted(settings)})
        self.tell("device", device_id)
        await self._publish_desired(device_id, Desired(version=version, settings=settings))
        return version

    async def remind(self, births: Sequence[Birth]) -> None:
        """Send desired settings again to devices that came with older ones; where that fails, their next birth will."""
        versions = {birth.device_id: birth.config_version for birth in births}
        wanted = await asyncio.to_thread(registry.desired_of, self.ledger, list(versions))
        for device_id, held in wanted.items():
            if held["version"] > versions[device_id]:
                with contextlib.suppress(TryLater):
                    await self._publish_desired(device_id, Desired(version=held["version"], settings=held["settings"]))

    async def command(self, device_id: str, name: str, args: dict[str, object] | None = None, *, actor: str) -> Order:
        """Sign and send a command.

        Raises:
            NotFound: `device`. Refused: `no_command_key`. TryLater: `broker_away`.
        """
        key = await asyncio.to_thread(registry.command_key, self.ledger, device_id)
        if not key:
            raise Refused("no_command_key", f"{device_id} was provisioned without one, or is revoked")
        now_ms = self.now_ms()
        command = Command(
            command_id=f"c{secrets.token_hex(6)}", name=name, args=args or {}, expires_ms=now_ms + LIFE_MS,
            nonce=secrets.token_hex(16),
        )  # fmt: skip
        order = Order(command_id=command.command_id, device_id=device_id, name=name, sent_ms=now_ms)
        self.orders[command.command_id] = order
        while len(self.orders) > KEPT:
            self.orders.popitem(last=False)
        self._note(actor, f"device.command.{name}", device_id)
        payload = wire.encode_command(command, device_id=device_id, key=key)
        try:
            await self.source.publish(wire.topic(device_id, "command"), payload)
        except TryLater:
            self.orders.pop(command.command_id, None)
            raise
        self.tell("device", device_id)
        return order

    def order(self, device_id: str, command_id: str) -> Order:
        """A command that was sent. Raises NotFound (`command`)."""
        order = self.orders.get(command_id)
        if order is None or order.device_id != device_id:
            raise NotFound("command", command_id)
        return order

    def recent(self, device_id: str) -> tuple[Order, ...]:
        """The commands that were sent to a device since the start, newest first."""
        return tuple(order for order in reversed(self.orders.values()) if order.device_id == device_id)

    async def take(self, kind: str, device: Device, payload: bytes) -> None:
        """What a device says: `reported` settings, or one part of a `reply`; malformed ones are logged and dropped."""
        try:
            if kind == "reported":
                said = wire.decode_reported(payload)
                reported = {"version": said.version, "settings": said.settings, "refused": said.refused}
                await asyncio.to_thread(registry.record_reported, self.ledger, device.device_id, reported)
                self.tell("device", device.device_id)
            else:
                self._answer(device, wire.decode_reply(payload))
        except WireError as exc:
            log.warning("downlink.refused", device=device.device_id, kind=kind, code=exc.code)

    async def _publish_desired(self, device_id: str, desired: Desired) -> None:
        await self.source.publish(wire.topic(device_id, "desired"), wire.encode_desired(desired), retain=True)

    def _answer(self, device: Device, reply: Reply) -> None:
        order = self.orders.get(reply.command_id)
        if order is None or order.device_id != device.device_id:
            return  # of an earlier run, or not this device's to answer
        if reply.code != order.code:
            order.parts.clear()  # a hook answers twice: `started`, then how it ended
        order.ok, order.code, order.count = reply.ok, reply.code, reply.parts
        order.parts[reply.part] = reply.text
        if order.complete:
            order.answered_ms = self.now_ms()
            self.tell("device", device.device_id)
            log.info("downlink.answer", device=device.device_id, command=order.name, code=order.code)
            if order.name == "diagnostics":
                self.folder.mkdir(parents=True, exist_ok=True)
                (self.folder / f"{order.device_id}-{order.sent_ms}.txt").write_text(order.text)

    def _note(self, actor: str, action: str, subject: str, detail: dict[str, object] | None = None) -> None:
        audit.note(self.ledger, at_ms=self.now_ms(), actor=actor, action=action, subject=subject, detail=detail)
