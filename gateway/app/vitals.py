"""How the gateway itself does: parts for the page of system health, totals for `/metrics`, problems for a person."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from gateway.broker import Broker
from gateway.config import Settings
from gateway.selfwatch import Watch
from gateway.services.dispatch import Dispatch
from gateway.services.doctor import DAY_MS, LOW_DISK_BYTES, RENEW_DAYS
from gateway.services.receive import Receiver
from gateway.services.turn import Turn
from gateway.web.deps import Part

LAGGING_S = 60.0  # behind by so much, ingest is shown as degraded
WAYS_OUT: Mapping[str, str] = {
    "store_full": "its disk is full; free some, or shorten store.keep_raw",
    "store_away": "it does not answer; start it, or correct store.influx_url",
    "store_busy": "it cannot write now; the log has the reason",
    "store_refused": "it refuses us; set BEFOREHAND_STORE__INFLUX_TOKEN, or correct store.influx_org",
}
OURS = ("disk_low", "broker_down", "broker_full", "certificate_ends", "turn_waits", "ingest_lags")
OTHERWISE = "the log has the reason"  # the ledger's codes pass by themselves
STORED = {"windows": "windows", "batches": "batches_stored", "values": "values_stored", "lines": "lines_stored"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """Looks at the services of one gateway; `take` is called every few seconds."""

    settings: Settings
    ledger: Engine
    watch: Watch
    receiver: Receiver
    turn: Turn
    dispatch: Dispatch
    broker: Broker | None

    def take(self, now_ms: int) -> None:
        """Bring totals and problems up to date."""
        watch, counts = self.watch, dict(self.receiver.counts)
        for count, name in STORED.items():
            watch.tally(name, {"": counts.get(count, 0)})
        watch.tally("batches_duplicate", {"": counts.get("duplicates", 0)})
        watch.tally("deliveries_refused", _part_of(counts, "refused."))
        watch.tally("samples_dropped", _part_of(counts, "dropped."))
        watch.tally("appends_delayed", {code: counts[code] for code in WAYS_OUT if code in counts})
        watch.tally("messages_handled", self.dispatch.counts)
        if self.broker is not None:
            watch.tally("broker_incidents", self.broker.counts)
        watch.set("ingest_lag_seconds", self.receiver.lag_ms / 1000)
        budget = self.turn.judgement.engine.shared.budget
        watch.set("device_alarms_per_1000_a_week", budget.rate())
        watch.set("device_threshold_ratio", budget.threshold)
        found = dict(self._problems(now_ms))
        for code in (*WAYS_OUT, *OURS):
            if code in found:
                watch.report(code, found[code], now_ms)
            else:
                watch.clear(code)

    def parts(self) -> Sequence[Part]:
        """The parts of the gateway, for people."""
        counts, lag_s = self.receiver.counts, self.receiver.lag_ms / 1000
        blocked = self.receiver.blocked
        numbers = [("lag", f"{lag_s:.1f} s")]
        numbers += [(name, f"{counts[name]:,}") for name in (*STORED, "duplicates")]
        return (
            *self._broker_part(),
            Part(name="Ingest", state="degraded" if lag_s > LAGGING_S else "ok", numbers=tuple(numbers)),
            Part(
                name="Series store",
                state="down" if blocked else "ok",
                detail=self.settings.store.kind + (f": {WAYS_OUT.get(blocked, OTHERWISE)}" if blocked else ""),
            ),
            Part(name="Ledger", state="degraded" if self.turn.waits else "ok", detail=self.ledger.dialect.name),
            Part(
                name="Outreach",
                state="ok",
                detail=self.settings.outreach.channel,
                numbers=tuple(_told(self.dispatch.counts)),
            ),
        )

    def _problems(self, now_ms: int) -> Iterator[tuple[str, str]]:
        if blocked := self.receiver.blocked:
            sentence = f"The series store takes nothing: {WAYS_OUT.get(blocked, OTHERWISE)}."
            yield blocked, f"{sentence} Nothing is lost: broker and devices keep what comes."
        free = shutil.disk_usage(Path(self.settings.data_dir)).free
        if free < LOW_DISK_BYTES:
            yield "disk_low", f"{free / 1e9:.1f} GB of disk are free. Free some, or shorten store.keep_raw."
        if self.broker is not None and not self.broker.pid:
            yield "broker_down", "The embedded broker is down and is being started again; devices keep what they have."
        if self.broker is not None and self.broker.full:
            yield "broker_full", "The disk of the embedded broker is full: devices keep what they have. Free some."
        ends_ms = self.broker.certificate_ends_ms if self.broker is not None else 0
        if ends_ms and (left_days := (ends_ms - now_ms) // DAY_MS) < RENEW_DAYS:
            ends = f"ends in {left_days} days" if left_days >= 0 else "has ended"
            yield "certificate_ends", f"The broker's certificate {ends}. Renew it; no restart is needed."
        if self.turn.waits:
            yield "turn_waits", "A turn waits for the ledger: it cannot be written. Look at its disk, or at its server."
        if self.receiver.lag_ms > 1000 * LAGGING_S:
            yield "ingest_lags", f"Ingest is {self.receiver.lag_ms / 1000:.0f} s behind the devices."

    def _broker_part(self) -> tuple[Part, ...]:
        if self.broker is None:
            return ()
        up = bool(self.broker.pid)
        detail = f"embedded NATS, MQTT on port {self.broker.mqtt_port}" if up else "it is being restarted"
        detail = "its disk is full; free some" if self.broker.full else detail
        numbers = tuple(_told(self.broker.counts))
        return (
            Part(name="Broker", state="ok" if up and not self.broker.full else "down", detail=detail, numbers=numbers),
        )


def _part_of(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): count for name, count in counts.items() if name.startswith(prefix)}


def _told(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), f"{counts[name]:,}") for name in sorted(counts)]
