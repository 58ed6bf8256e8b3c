"""Devices at the other end of the console's downlink that answer at once, as the agent would."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine

from edge import wire
from edge.config import Collect
from edge.desired import apply_desired, shown
from gateway.ledger import registry
from gateway.services.downlink import Downlink
from tests.web_fleet import DAY

HOOKS = ("reboot", "selftest")


@dataclass
class Loopback:
    """In place of the link to the broker: takes what goes down and lets the device answer; `away` ones are silent."""

    engine: Engine
    now_ms: Callable[[], int]
    away: set[str] = field(default_factory=lambda: {"lock-1022"})

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """As the broker's link."""
        device_id, kind = wire.parse_topic(topic)
        if device_id in self.away:
            return
        device = registry.find_device(self.engine, device_id).device
        if kind == "desired":
            wanted = wire.decode_desired(payload)
            collect, refused = apply_desired(Collect(), wanted.settings)
            said = wire.Reported(version=wanted.version, settings=shown(collect), refused=refused)
            await self.down.take("reported", device, wire.encode_reported(said))
            return
        key = registry.command_key(self.engine, device_id)
        command = wire.decode_command(payload, device_id=device_id, key=key, now_ms=self.now_ms())
        known = command.name in ("ping", "diagnostics", *HOOKS)
        text = json.dumps(bundle(self.now_ms())) if command.name == "diagnostics" else ""
        if command.name in HOOKS:
            text = "radio ok\nmotor ok\nbattery 5.24 V"
        code = "done" if known else "unknown_command"
        for part in wire.replies(command.command_id, ok=known, code=code, answer=text):
            await self.down.take("reply", device, wire.encode_reply(part))

    down: Downlink = field(init=False)


def answering(engine: Engine, *, now_ms: Callable[[], int]) -> Downlink:
    """A downlink whose devices answer at once."""
    link = Loopback(engine, now_ms)
    folder = Path(tempfile.gettempdir()) / "beforehand-test-diagnostics"
    link.down = Downlink(ledger=engine, source=link, now_ms=now_ms, folder=folder)  # type: ignore[arg-type]
    return link.down


def bundle(now_ms: int) -> dict[str, object]:
    """A diagnostics bundle as the agent writes it."""
    return {
        "device": {"id": "lock-1001", "type": "smart_lock", "model": "Bolt S2", "firmware": "2.4.0"},
        "t": now_ms - 800, "boot": 3, "reboot_reason": "power_on", "settings": shown(Collect()),
        "counters": {"log_rate": 12, "reconnects": 4, "thinned": 0},
        "buffer": {"batches": 2, "bytes": 18_220, "limit_bytes": 33_554_432, "left_h": 411.5, "under_way": 1},
        "last": {"battery_volts": 5.24, "battery_health_ratio": 0.683, "wifi_signal_dbm": -58.0},
        "logs": [
            [now_ms - DAY // 24 * n, level, "lockd", text]
            for n, level, text in (
                (5, "info", "bolt: turned in 0.61 s"), (4, "warning", "battery: cell resistance 212 mOhm over 180"),
                (2, "info", "radio: rejoined, rssi -57"), (1, "error", "motor: stalled once, turned at second try"),
            )
        ],
    }  # fmt: skip
