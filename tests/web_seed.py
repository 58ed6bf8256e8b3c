"""A small, realistic fleet for tests and screenshots of the console: registry, samples, incidents, tickets, messages.

Everything is written through the ledger's and the store's own functions, so the console is tested on what the gateway
itself would have written. `python -m tests.web_seed PORT` serves it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, insert

from gateway.incidents import AlertChange, TicketEvent, TurnOutcome, derive
from gateway.ledger import access, casebook, people, registry
from gateway.ledger.access import User
from gateway.ledger.database import connect, migrate, writing
from gateway.ledger.outbox import message_row
from gateway.ledger.registry import NewDevice
from gateway.ledger.tables import dead_letters, job_runs, messages
from gateway.model import (
    Alert,
    Birth,
    Block,
    Contact,
    Customer,
    CustomerId,
    DeviceId,
    Episode,
    Evidence,
    Forecast,
    Incident,
    LogLines,
    Message,
    Presence,
    Roster,
    Ticket,
)
from gateway.outreach.compose import load_texts
from gateway.ports import BatchKey, SeriesStore
from gateway.selfwatch import Watch
from gateway.services.inbound import Inbound
from gateway.services.replies import Replies
from gateway.stores.duckdb import DuckDbStore
from gateway.web import Hub, Part, WebDeps

DAY, HOUR, MINUTE = 86_400_000, 3_600_000, 60_000
PASSWORD = "correct horse battery"
USERS = (("ada", "Ada Okafor", "admin"), ("ben", "Ben Lindqvist", "agent"), ("vera", "Vera Duarte", "viewer"))
PEOPLE = (
    ("Mara Jensen", "+4915112345601", "de", "Europe/Berlin"),
    ("陈伟", "+8613800138001", "zh", "Asia/Shanghai"),
    ("Tom Alvarez", "+12125550123", "en", "America/New_York"),
    ("Lucía Romero", "+14155550144", "en", "America/Los_Angeles"),
    ("Jonas Weber", "+4915112345602", "de", "Europe/Berlin"),
    ("李娜", "+8613800138002", "zh", "Asia/Shanghai"),
    ("Priya Nair", "+447700900177", "en", "Europe/London"),
    ("Owen Clarke", "+447700900188", "en", "Europe/London"),
)
TYPES = {
    "smart_lock": ("Bolt S2", "rev-c", ("2.3.1", "2.4.0")),
    "wifi_router": ("Hearth AX3", "b1", ("7.1.4", "7.2.0")),
    "heat_pump": ("Aeris 8", "r4", ("1.9.0", "1.9.2")),
}
METRICS: Mapping[str, tuple[tuple[str, float, float], ...]] = {
    "smart_lock": (
        ("battery_health_ratio", 0.97, 0.004),
        ("battery_volts", 5.9, 0.03),
        ("battery_level_ratio", 0.82, 0.01),
        ("motor_current_amperes", 0.55, 0.02),
        ("temperature_celsius", 19.0, 2.0),
        ("wifi_signal_dbm", -58.0, 2.0),
    ),
    "wifi_router": (
        ("memory_available_bytes", 2.4e8, 6e6),
        ("cpu_busy_ratio", 0.18, 0.04),
        ("temperature_celsius", 51.0, 1.5),
        ("wan_latency_s", 0.018, 0.003),
        ("wifi_clients_count", 11.0, 2.0),
    ),
    "heat_pump": (
        ("compressor_current_amperes", 7.4, 0.25),
        ("suction_pressure_pascals", 8.4e5, 8e3),
        ("performance_ratio", 3.6, 0.15),
        ("outdoor_temperature_celsius", 4.0, 3.0),
        ("supply_temperature_celsius", 38.0, 1.0),
        ("fan_speed_rpm", 820.0, 20.0),
    ),
}


def fill(engine: Engine, store: SeriesStore, *, now_ms: int, devices: int = 36) -> Roster:
    """Write the whole fleet; device numbers follow their order."""
    migrate(engine)
    for login, name, role in USERS:
        access.save_user(engine, User(login=login, name=name, role=role), password=PASSWORD, now_ms=now_ms)  # type: ignore[arg-type]
    _people(engine, now_ms)
    made = registry.add_devices(engine, [_device(n) for n in range(devices)], now_ms=now_ms - 200 * DAY)
    births = [
        Birth(
            device_id=d.device_id, boot=3 + d.number % 5, t_ms=now_ms - (2 + d.number) * DAY, type=d.type, model=d.model,
            hardware=d.hardware, firmware=d.firmware, config_version=4, reboot_reason="power_on",
        )
        for d in made
    ]  # fmt: skip
    presence = [
        Presence(device_id=d.device_id, t_ms=now_ms - (3 * HOUR if d.number % 17 == 5 else DAY), online=d.number % 17 != 5)
        for d in made
    ]
    registry.record_births(engine, births, presence)
    roster = registry.load_roster(engine)
    _samples(roster, store, now_ms)
    registry.save_new_series(engine, roster, from_series=0, from_metric=0)
    _cases(engine, now_ms)
    _house(engine, now_ms)
    return roster


def _device(number: int) -> NewDevice:
    kind = tuple(TYPES)[number % 3]
    model, hardware, firmwares = TYPES[kind]
    owner = (number // 3) % len(PEOPLE)
    prefix = {"smart_lock": "lock", "wifi_router": "router", "heat_pump": "pump"}[kind]
    return NewDevice(
        device_id=DeviceId(f"{prefix}-{1001 + number}"), type=kind, model=model, hardware=hardware,
        firmware=firmwares[number % 4 == 0], customer_id=CustomerId(f"cus-{owner + 1:03d}"), zone=PEOPLE[owner][3],
        site=("Front door", "Hallway", "Cellar", "Garden")[number % 4],
    )  # fmt: skip


def _people(engine: Engine, now_ms: int) -> None:
    wanted = []
    for n, (name, number, language, zone) in enumerate(PEOPLE, 1):
        contact = Contact(
            contact_id=f"con-{n:03d}", customer_id=CustomerId(f"cus-{n:03d}"), channel="sms", address=number,
            language=language, zone=zone, name=name,
        )  # fmt: skip
        wanted.append(Customer(customer_id=CustomerId(f"cus-{n:03d}"), name=name, contacts=(contact,)))
    people.save_customers(engine, wanted, now_ms=now_ms - 190 * DAY)
    for n in range(1, len(PEOPLE) + 1):
        said = ("opt_in", "order_form", "I agree to messages about my devices", now_ms - 190 * DAY)
        people.record_consent(engine, f"con-{n:03d}", said[0], source=said[1], wording=said[2], at_ms=said[3])  # type: ignore[arg-type]
    people.record_consent(engine, "con-008", "opt_out", source="sms_reply", wording="STOP", at_ms=now_ms - 20 * DAY)


def _samples(roster: Roster, store: SeriesStore, now_ms: int) -> None:
    rng = np.random.default_rng(7)
    columns = []
    for device in roster.devices:
        rich = device.number < 6
        step = 20 * MINUTE if rich else 3 * HOUR
        t_ms = np.arange(now_ms - (30 * DAY if rich else 2 * DAY), now_ms, step, np.int64)
        for metric, level, noise in METRICS[device.type]:
            value = _course(device.device_id, metric, level, noise, t_ms, now_ms, rng)
            series = roster.series(device.number, roster.metric(metric))
            columns.append((np.full(t_ms.size, series, np.int64), t_ms, value))
    series, t_ms, value = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    block = Block(
        window=1, received_ms=now_ms, series=series, t_ms=t_ms, value=value, late=np.zeros(series.size, np.bool_),
        logs=_logs(roster, now_ms, rng),
    )  # fmt: skip
    store.append(block, [BatchKey(device=0, boot=1, seq=0)])


def _course(device_id: str, metric: str, level: float, noise: float, t: np.ndarray, now_ms: int, rng: np.random.Generator) -> np.ndarray:
    day = (t - now_ms) / DAY
    value = level + noise * 0.6 * rng.standard_normal(t.size)
    if metric.endswith("temperature_celsius") or metric == "cpu_busy_ratio":
        value += 1.2 * noise * np.sin(2 * np.pi * day)
    since = np.maximum(day, -12.0) + 12.0
    if (device_id, metric) == ("lock-1001", "battery_health_ratio"):
        value -= 0.0245 * since
    if (device_id, metric) == ("lock-1001", "battery_volts"):
        value -= 0.055 * since
    if (device_id, metric) == ("router-1002", "memory_available_bytes"):
        value -= 1.55e7 * since
    if (device_id, metric) == ("pump-1003", "compressor_current_amperes"):
        value += 0.14 * since
    if (device_id, metric) == ("pump-1003", "performance_ratio"):
        value -= 0.075 * since
    return np.clip(value, 0, None) if level > 0 else value


LINES = {
    "smart_lock": ("bolt: turned in 0.61 s", "radio: rejoined, rssi -57", "battery: cell resistance 212 mOhm over 180"),
    "wifi_router": ("dhcp: lease renewed", "hostapd: station associated", "kernel: page allocation failure, order 2"),
    "heat_pump": ("ctl: defrost done in 214 s", "ctl: setpoint 38.0", "inverter: current limit active"),
}


def _logs(roster: Roster, now_ms: int, rng: np.random.Generator) -> LogLines:
    rows = []
    for device in roster.devices[:9]:
        for at in np.sort(rng.integers(now_ms - 6 * DAY, now_ms, 90)):
            late = device.number < 3 and at > now_ms - 3 * DAY and rng.random() < 0.35
            rows.append((device.number, int(at), (3 if rng.random() < 0.5 else 2) if late else 1, LINES[device.type][2 if late else int(rng.integers(2))]))
    rows.sort(key=lambda row: row[:2])
    number, at, severity, text = zip(*rows, strict=True)
    return LogLines(
        device=np.array(number, np.int64), t_ms=np.array(at, np.int64), severity=np.array(severity, np.int8),
        source=tuple("main" for _ in rows), text=text,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    device_id: str
    cause: str
    rule: str
    title: str
    why: str
    severity: str
    priority: str
    customer: int
    days: float
    episodes: tuple[Episode, ...] = ()
    forecasts: tuple[Forecast, ...] = ()
    charts: tuple[str, ...] = ()
    facts: tuple[tuple[str, float | str], ...] = ()


def cases(now_ms: int) -> list[Case]:
    """The troubles of the fleet, as tickets will tell them."""
    ep = lambda **k: Episode(device_id=DeviceId(k.pop("device")), **k)  # noqa: E731
    return [
        Case(
            device_id="lock-1001", cause="battery", rule="BatteryWearingOut", severity="warning", priority="high", customer=1, days=4.2,
            title="Battery wearing out, about 6 days left",
            why="Battery health is down to 68 % and reaches 55 %, where the motor no longer gets its current on a cold day, "
            "in about 6 days. Inner resistance has climbed for 12 days; other locks of this model stayed level.",
            episodes=(
                ep(device="lock-1001", metric="battery_health_ratio", detector="drift", onset_ms=now_ms - 12 * DAY, peak=3.1, expected=0.97, observed=0.68, reason="Battery health fell 30 % in 12 days; others of this model stayed level."),
                ep(device="lock-1001", metric="battery_volts", detector="level", onset_ms=now_ms - 5 * DAY, peak=1.7, expected=5.9, observed=5.24, reason="Voltage is below its normal range under load."),
            ),
            forecasts=(Forecast(device_id=DeviceId("lock-1001"), name="battery", made_ms=now_ms, metric="battery_health_ratio", limit=0.55, median_ms=now_ms + int(5.6 * DAY), low_ms=now_ms + int(4.1 * DAY), high_ms=now_ms + int(8.2 * DAY)),),
            charts=("battery_health_ratio", "battery_volts"), facts=(("battery_health_ratio", 0.68), ("battery_volts", 5.24), ("temperature_celsius", 18.6)),
        ),
        Case(
            device_id="router-1002", cause="memory", rule="MemoryLeak", severity="critical", priority="urgent", customer=1, days=1.4,
            title="Memory runs out in about 3 days; the router will restart",
            why="Available memory falls by 15.5 MB a day since firmware 7.1.4 was started, and allocation failures have begun. Restarting buys about two weeks; 7.2.0 fixes it.",
            episodes=(ep(device="router-1002", metric="memory_available_bytes", detector="drift", onset_ms=now_ms - 11 * DAY, peak=4.4, expected=2.4e8, observed=5.4e7, reason="Available memory fell 78 % in 12 days."), ep(device="router-1002", metric="log:42", detector="log_burst", onset_ms=now_ms - 3 * DAY, peak=2.2, reason="“kernel: page allocation failure” came 14 times in 3 days, never before.")),
            forecasts=(Forecast(device_id=DeviceId("router-1002"), name="memory", made_ms=now_ms, metric="memory_available_bytes", limit=1.2e7, median_ms=now_ms + int(2.7 * DAY), low_ms=now_ms + int(2.2 * DAY), high_ms=now_ms + int(3.5 * DAY)),),
            charts=("memory_available_bytes", "cpu_busy_ratio"), facts=(("memory_available_bytes", 5.4e7), ("cpu_busy_ratio", 0.19)),
        ),
        Case(
            device_id="pump-1003", cause="refrigerant", rule="RefrigerantLeak", severity="warning", priority="normal", customer=1, days=0.8,
            title="Compressor labours: current up 23 % in 12 days", why="Compressor current has climbed 23 % in 12 days while others of this model stayed level; performance fell. A similar rise preceded 7 of 9 failures.",
            episodes=(ep(device="pump-1003", metric="compressor_current_amperes", detector="drift", onset_ms=now_ms - 12 * DAY, peak=1.9, expected=7.4, observed=9.1, reason="Compressor current climbed 23 % in 12 days."),),
            forecasts=(Forecast(device_id=DeviceId("pump-1003"), name="failure", made_ms=now_ms, risk_ratio=0.31, horizon_ms=30 * DAY, reason="Current, performance and suction pressure together."),),
            charts=("compressor_current_amperes", "performance_ratio", "suction_pressure_pascals"), facts=(("compressor_current_amperes", 9.1), ("performance_ratio", 2.7)),
        ),
        Case(device_id="lock-1013", cause="motor", rule="LockMotorWearing", severity="warning", priority="normal", customer=5, days=0.3, title="Lock motor labours: 0.88 A, 1.3 s a turn", why="The motor draws 0.88 A and needs 1.3 s to drive the bolt. A worn gear or a door that has sagged does this; jams follow.", charts=("motor_current_amperes",)),
        Case(device_id="router-1005", cause="wifi", rule="WifiDecaying", severity="info", priority="low", customer=2, days=9.0, title="Wi-Fi has decayed to -79 dBm", why="The signal has become weaker by 0.4 dB a day for three weeks.", charts=("wan_latency_s",)),
    ]  # fmt: skip


def _cases(engine: Engine, now_ms: int) -> None:
    for n, case in enumerate(cases(now_ms)):
        opened = now_ms - int(case.days * DAY)
        incident = Incident(
            incident_id=derive("inc", case.device_id, case.cause, opened), device_id=DeviceId(case.device_id), cause=case.cause,
            state="open", severity=case.severity, opened_ms=opened, updated_ms=opened, rules=(case.rule,), firing=(case.rule,), version=1,
        )  # fmt: skip
        alert = Alert(rule=case.rule, device_id=incident.device_id, state="firing", at_ms=opened, since_ms=opened - 6 * HOUR, severity=case.severity, value=0.68, cause=case.cause)  # type: ignore[arg-type]  # fmt: skip
        tail = tuple((opened - (6 - i) * HOUR, "error" if i % 2 else "warning", LINES["wifi_router" if "router" in case.device_id else "smart_lock" if "lock" in case.device_id else "heat_pump"][2]) for i in range(6))  # fmt: skip
        ticket = Ticket(
            ticket_id=derive("tic", incident.incident_id), incident_id=incident.incident_id, device_id=incident.device_id,
            customer_id=CustomerId(f"cus-{case.customer:03d}"), title=case.title, status="new", priority=case.priority, opened_ms=opened, updated_ms=opened,
            evidence=Evidence(facts=case.facts, episodes=case.episodes, forecasts=case.forecasts, charts=case.charts, log_tail=tail, firmware="2.3.1", why=case.why),
        )  # type: ignore[arg-type]  # fmt: skip
        events = (TicketEvent(key=f"open:{ticket.ticket_id}", ticket_id=ticket.ticket_id, at_ms=opened, kind="opened"),)
        casebook.commit_turn(engine, TurnOutcome(now_ms=opened, window=n + 1, incidents=(incident,), alerts=(AlertChange(alert=alert, incident_id=incident.incident_id),), tickets=(ticket,), events=events))  # fmt: skip
    first = derive("tic", derive("inc", "lock-1001", "battery", now_ms - int(4.2 * DAY)))
    said = (
        ("out", "delivered", "Beforehand hier. Der Akku Ihres Türschlosses (Haustür) hält noch etwa 10 Tage. Antworten Sie 1, wenn wir einen neuen schicken sollen, 2 für einen Rückruf. STOP beendet Nachrichten.", 4.1),
        ("in", "received", "1 bitte. Seit gestern klemmt es auch manchmal.", 4.0),
        ("out", "delivered", "Danke. Der Akku ist unterwegs und kommt am Donnerstag an.", 3.9),
        ("in", "received", "Super, danke!", 1.1),
    )  # fmt: skip
    for direction, state, text, days in said:
        understood = {"intent": "answer", "answer": "broken", "mood": "calm", "language": "", "reason": "number"} if direction == "in" else None
        add_message(engine, "con-001", text, direction=direction, state=state, at_ms=now_ms - int(days * DAY), ticket_id=first, language="de", understanding=understood)
    add_message(engine, "con-002", "您好，这里是 Beforehand。您家走廊的路由器信号正在变弱，大约三周后会断线。回复 1 预约检查，回复 2 由我们致电。退订请回复 STOP。", state="delivered", at_ms=now_ms - 8 * DAY, language="zh")
    add_message(engine, "con-005", "Beforehand: your lock's motor labours.", state="held", reason="quiet_hours", at_ms=now_ms - 2 * HOUR)
    add_message(engine, "con-008", "Beforehand: your pump needs care.", state="skipped", reason="opted_out", at_ms=now_ms - 3 * HOUR)
    casebook.assign(engine, "1", "ben", author="ada", now_ms=now_ms - 3 * DAY)
    casebook.set_status(engine, "1", "open", author="ben", now_ms=now_ms - 3 * DAY + MINUTE)
    casebook.comment(engine, "1", author="ben", text="Sent a cell pack (order 88123). Cold week ahead, so I asked for express.", now_ms=now_ms - 3 * DAY + 2 * MINUTE)
    casebook.call_attention(engine, "2", "hand_over", text="The customer asks for a call.", now_ms=now_ms - HOUR)
    casebook.record_outcome(engine, "5", "false_alarm", author="ben", now_ms=now_ms - 2 * DAY)


def add_message(engine: Engine, contact_id: str, text: str, *, direction: str = "out", state: str = "queued", at_ms: int, ticket_id: str | None = None, language: str = "en", reason: str = "", understanding: object = None) -> None:
    """One message of either direction."""
    message = Message(
        message_id=derive("msg", contact_id, at_ms, text), key=derive("key", contact_id, at_ms, text), contact_id=contact_id, ticket_id=ticket_id,
        channel="sms", text=text, language=language, urgent=False, created_ms=at_ms, expires_ms=at_ms + DAY, reason=reason,
    )  # fmt: skip
    row = message_row(replace(message)) | {"direction": direction, "state": state, "sent_ms": at_ms, "understanding": understanding}
    with writing(engine) as connection:
        connection.execute(insert(messages), row)


def _house(engine: Engine, now_ms: int) -> None:
    runs = [
        {"job": job, "started_ms": now_ms - ago, "ended_ms": now_ms - ago + took, "state": state, "detail": detail}
        for job, ago, took, state, detail in (
            ("retention", 2 * HOUR, 4_100, "done", "removed 18,204 samples"),
            ("train_cohorts", HOUR, 22_000, "done", "6 cohorts"),
            ("snapshot", 4 * MINUTE, 310, "done", ""),
            ("backup", 7 * HOUR, 900, "failed", "no space left on the backup disk"),
        )
    ]
    letters = [{"at_ms": now_ms - n * HOUR, "topic": "bf/1/x/batch", "code": code, "detail": "", "payload": b"x"} for n, code in enumerate(("not_json", "wrong_topic", "not_json"))]  # fmt: skip
    with writing(engine) as connection:
        connection.execute(insert(job_runs), runs)
        connection.execute(insert(dead_letters), letters)


def deps_for(engine: Engine, store: SeriesStore, roster: Roster, *, now_ms: int | None = None, **changes: object) -> WebDeps:
    """What the console needs, with a watch that has counted something."""
    clock = (lambda: int(time.time() * 1000)) if now_ms is None else (lambda: now_ms)
    watch = Watch()
    for name, reason, amount in (("batches_refused", "clock_off", 14), ("batches_refused", "unknown_device", 3), ("samples_refused", "out_of_range", 96), ("batches_duplicate", "", 41), ("values_stored", "", 9_482_113), ("messages_skipped", "opted_out", 2)):
        watch.count(name, amount, reason=reason)
    for gauge, value in (("lag_s", 0.41), ("windows_per_s", 1.0), ("values_per_s", 18_450.0), ("turn_s", 0.063), ("memory_bytes", 412e6)):
        watch.set(gauge, value)
    watch.report("backup_failed", "The backup of last night failed: no space left on the backup disk. Free some, or set backup.path.", clock() - 7 * HOUR)
    parts = (
        Part(name="Broker", state="ok", detail="Embedded NATS 2.15, MQTT on port 1883", numbers=(("clients", "36"), ("queued", "0"))),
        Part(name="Series store", state="ok", detail="DuckDB", numbers=(("samples", "9.5 M"), ("disk", "48 MB"))),
        Part(name="Ledger", state="ok", detail="SQLite", numbers=(("size", "3.1 MB"),)),
        Part(name="Channel", state="degraded", detail="Console: messages go to the phones page, not out", needed=False),
    )  # fmt: skip
    base = WebDeps(engine=engine, store=store, roster=roster, hub=Hub(started_ms=clock()), watch=watch, now_ms=clock, replies=Replies(inbound=Inbound(engine=engine, texts=load_texts(), now_ms=clock)), parts=lambda: parts)  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def main(port: int, folder: Path) -> None:
    """Serve the seeded fleet."""
    import uvicorn

    from gateway.web import create_app

    now_ms = int(time.time() * 1000)
    engine = connect(f"sqlite:///{folder / 'ledger.sqlite'}")
    store = DuckDbStore(folder / "series.duckdb", memory="500MB")
    roster = fill(engine, store, now_ms=now_ms)
    deps = deps_for(engine, store, roster)
    asyncio.run(uvicorn.Server(uvicorn.Config(create_app(deps), port=port, log_level="warning")).serve())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(int(sys.argv[1]), Path(folder))
