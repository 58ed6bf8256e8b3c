"""A small, realistic fleet for tests and screenshots of the console: registry, samples, incidents, tickets, messages.

Everything is written through the ledger's and the store's own functions, so the console is tested on what the gateway
itself would have written. `python -m tests.web_seed PORT` serves it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, insert

from gateway.incidents import AlertChange, TicketEvent, TurnOutcome, derive
from gateway.ledger import access, casebook, mutes, people, registry, seal, setting
from gateway.ledger.access import User
from gateway.ledger.database import connect, migrate, writing
from gateway.ledger.outbox import message_row
from gateway.ledger.registry import NewDevice
from gateway.ledger.tables import job_runs, messages
from gateway.model import (
    Alert,
    Birth,
    Block,
    Contact,
    Customer,
    CustomerId,
    DeviceId,
    Evidence,
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
from gateway.services.deadletters import Letter
from gateway.services.inbound import Inbound
from gateway.services.replies import Replies
from gateway.stores.duckdb import DuckDbStore
from gateway.web import Hub, Part, WebDeps
from tests.web_devices import answering
from tests.web_fleet import LINES, METRICS, PEOPLE, TYPES, cases

DAY, HOUR, MINUTE = 86_400_000, 3_600_000, 60_000
VAULT = seal.Vault([bytes(range(64))])
PASSWORD = "correct horse battery"
USERS = (("ada", "Ada Okafor", "admin"), ("ben", "Ben Lindqvist", "agent"), ("vera", "Vera Duarte", "viewer"))


def fill(engine: Engine, store: SeriesStore, *, now_ms: int, devices: int = 36) -> Roster:
    """Write the whole fleet; device numbers follow their order."""
    seal.give(engine, VAULT)
    migrate(engine)
    for login, name, role in USERS:
        access.save_user(engine, User(login=login, name=name, role=role), password=PASSWORD, now_ms=now_ms)  # type: ignore[arg-type]
    _people(engine, now_ms)
    made = registry.add_devices(engine, [_device(n) for n in range(devices)], now_ms=now_ms - 200 * DAY)
    births = [
        Birth(
            device_id=d.device_id,
            boot=3 + d.number % 5,
            t_ms=now_ms - (2 + d.number) * DAY,
            type=d.type,
            model=d.model,
            hardware=d.hardware,
            firmware=d.firmware,
            config_version=4,
            reboot_reason="power_on",
        )
        for d in made
    ]
    presence = [
        Presence(
            device_id=d.device_id, t_ms=now_ms - (3 * HOUR if d.number % 17 == 5 else DAY), online=d.number % 17 != 5
        )
        for d in made
    ]
    registry.record_births(engine, births, presence)
    roster = registry.load_roster(engine)
    _samples(roster, store, now_ms)
    registry.save_new_series(engine, roster, from_series=0, from_metric=0)
    _cases(engine, now_ms)
    _house(engine, now_ms)
    _mutes(engine, now_ms)
    return roster


def _device(number: int) -> NewDevice:
    kind = tuple(TYPES)[number % 3]
    model, hardware, firmwares = TYPES[kind]
    owner = (number // 3) % len(PEOPLE)
    prefix = {"smart_lock": "lock", "wifi_router": "router", "heat_pump": "pump"}[kind]
    return NewDevice(
        device_id=DeviceId(f"{prefix}-{1001 + number}"),
        type=kind,
        model=model,
        hardware=hardware,
        firmware=firmwares[number % 4 == 0],
        customer_id=CustomerId(f"cus-{owner + 1:03d}"),
        zone=PEOPLE[owner][3],
        command_key=f"{number:064x}",
        site=("Front door", "Hallway", "Cellar", "Garden")[number % 4],
    )


def _kind(device_id: str) -> str:
    return {"lock": "smart_lock", "router": "wifi_router", "pump": "heat_pump"}[device_id.partition("-")[0]]


def _people(engine: Engine, now_ms: int) -> None:
    wanted = []
    for n, (name, number, language, zone) in enumerate(PEOPLE, 1):
        contact = Contact(
            contact_id=f"con-{n:03d}",
            customer_id=CustomerId(f"cus-{n:03d}"),
            channel="sms",
            address=number,
            language=language,
            zone=zone,
            name=name,
        )
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
        window=1,
        received_ms=now_ms,
        series=series,
        t_ms=t_ms,
        value=value,
        late=np.zeros(series.size, np.bool_),
        logs=_logs(roster, now_ms, rng),
    )
    store.append(block, [BatchKey(device=0, boot=1, seq=0)])


def _course(
    device_id: str, metric: str, level: float, noise: float, t: np.ndarray, now_ms: int, rng: np.random.Generator
) -> np.ndarray:
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


def _logs(roster: Roster, now_ms: int, rng: np.random.Generator) -> LogLines:
    rows = []
    for device in roster.devices[:9]:
        for at in np.sort(rng.integers(now_ms - 6 * DAY, now_ms, 90)):
            late = device.number < 3 and at > now_ms - 3 * DAY and rng.random() < 0.35
            rows.append(
                (
                    device.number,
                    int(at),
                    (3 if rng.random() < 0.5 else 2) if late else 1,
                    LINES[device.type][2 if late else int(rng.integers(2))],
                )
            )
    rows.sort(key=lambda row: row[:2])
    number, at, severity, text = zip(*rows, strict=True)
    return LogLines(
        device=np.array(number, np.int64),
        t_ms=np.array(at, np.int64),
        severity=np.array(severity, np.int8),
        source=tuple("main" for _ in rows),
        text=text,
    )


def _cases(engine: Engine, now_ms: int) -> None:
    for n, case in enumerate(cases(now_ms)):
        opened = now_ms - int(case.days * DAY)
        incident = Incident(
            incident_id=derive("inc", case.device_id, case.cause, opened),
            device_id=DeviceId(case.device_id),
            cause=case.cause,
            state="open",
            severity=case.severity,
            opened_ms=opened,
            updated_ms=opened,
            rules=(case.rule,),
            firing=(case.rule,),
            version=1,
        )
        alert = Alert(
            rule=case.rule,
            device_id=incident.device_id,
            state="firing",
            at_ms=opened,
            since_ms=opened - 6 * HOUR,
            severity=case.severity,
            value=0.68,
            cause=case.cause,
        )  # type: ignore[arg-type]
        line = LINES[_kind(case.device_id)][2]
        tail = tuple((opened - (6 - i) * HOUR, "error" if i % 2 else "warning", line) for i in range(6))
        ticket = Ticket(
            ticket_id=derive("tic", incident.incident_id),
            incident_id=incident.incident_id,
            device_id=incident.device_id,
            customer_id=CustomerId(f"cus-{case.customer:03d}"),
            title=case.title,
            status="new",
            priority=case.priority,
            opened_ms=opened,
            updated_ms=opened,
            evidence=Evidence(
                facts=case.facts,
                episodes=case.episodes,
                forecasts=case.forecasts,
                charts=case.charts,
                log_tail=tail,
                firmware=TYPES[_kind(case.device_id)][2][0],
                why=case.why,
            ),
        )  # type: ignore[arg-type]
        events = (TicketEvent(key=f"open:{ticket.ticket_id}", ticket_id=ticket.ticket_id, at_ms=opened, kind="opened"),)
        casebook.commit_turn(
            engine,
            TurnOutcome(
                now_ms=opened,
                window=n + 1,
                incidents=(incident,),
                alerts=(AlertChange(alert=alert, incident_id=incident.incident_id),),
                tickets=(ticket,),
                events=events,
            ),
        )
    first = derive("tic", derive("inc", "lock-1001", "battery", now_ms - int(4.2 * DAY)))
    said = (
        (
            "out",
            "delivered",
            "Beforehand hier. Der Akku Ihres Türschlosses (Haustür) hält noch etwa 10 Tage. "
            "Antworten Sie 1, wenn wir einen neuen schicken sollen, 2 für einen Rückruf. STOP beendet Nachrichten.",
            4.1,
        ),
        ("in", "received", "1 bitte. Seit gestern klemmt es auch manchmal.", 4.0),
        ("out", "delivered", "Danke. Der Akku ist unterwegs und kommt am Donnerstag an.", 3.9),
        ("in", "received", "Super, danke!", 1.1),
    )
    for direction, state, text, days in said:
        understood = (
            {"intent": "answer", "answer": "broken", "mood": "calm", "language": "", "reason": "number"}
            if direction == "in"
            else None
        )
        add_message(
            engine,
            "con-001",
            text,
            direction=direction,
            state=state,
            at_ms=now_ms - int(days * DAY),
            ticket_id=first,
            language="de",
            understanding=understood,
        )
    add_message(
        engine,
        "con-002",
        "您好，这里是 Beforehand。您家走廊的路由器信号正在变弱，大约三周后会断线。"
        "回复 1 预约检查，回复 2 由我们致电。退订请回复 STOP。",
        state="delivered",
        at_ms=now_ms - 8 * DAY,
        language="zh",
    )
    add_message(
        engine,
        "con-005",
        "Beforehand: your lock's motor labours.",
        state="held",
        reason="quiet_hours",
        at_ms=now_ms - 2 * HOUR,
    )
    add_message(
        engine,
        "con-008",
        "Beforehand: your pump needs care.",
        state="skipped",
        reason="opted_out",
        at_ms=now_ms - 3 * HOUR,
    )
    casebook.assign(engine, "1", "ben", author="ada", now_ms=now_ms - 3 * DAY)
    casebook.set_status(engine, "1", "open", author="ben", now_ms=now_ms - 3 * DAY + MINUTE)
    casebook.comment(
        engine,
        "1",
        author="ben",
        text="Sent a cell pack (order 88123). Cold week ahead, so I asked for express.",
        now_ms=now_ms - 3 * DAY + 2 * MINUTE,
    )
    casebook.call_attention(engine, "2", "hand_over", text="The customer asks for a call.", now_ms=now_ms - HOUR)
    casebook.record_outcome(engine, "5", "false_alarm", author="ben", now_ms=now_ms - 2 * DAY)


def add_message(
    engine: Engine,
    contact_id: str,
    text: str,
    *,
    direction: str = "out",
    state: str = "queued",
    at_ms: int,
    ticket_id: str | None = None,
    language: str = "en",
    reason: str = "",
    understanding: object = None,
) -> None:
    """One message of either direction."""
    message = Message(
        message_id=derive("msg", contact_id, at_ms, text),
        key=derive("key", contact_id, at_ms, text),
        contact_id=contact_id,
        ticket_id=ticket_id,
        channel="sms",
        text=text,
        language=language,
        urgent=False,
        created_ms=at_ms,
        expires_ms=at_ms + DAY,
        reason=reason,
    )
    row = message_row(replace(message)) | {
        "direction": direction,
        "state": state,
        "sent_ms": at_ms,
        "understanding": understanding,
    }
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
    with writing(engine) as connection:
        connection.execute(insert(job_runs), runs)


def _mutes(engine: Engine, now_ms: int) -> None:
    known: tuple[tuple[str, dict[str, str], float, float, str, str], ...] = (
        ("silence", {"device_id": "pump-1003", "cause": "refrigerant"}, -3, 21, "ben", "The fitter comes tomorrow"),
        ("maintenance", {"site": "Cellar", "type": "wifi_router"}, 30, 34, "ada", "Fibre is laid anew in block C"),
        ("silence", {"firmware": "1.9.0", "rule": "RefrigerantLeak"}, -60, -12, "ada", "1.9.0 reads too high"),
    )
    for kind, labels, begins, ends, author, reason in known:
        mutes.add_mute(
            engine, kind, labels, from_ms=now_ms + int(begins * HOUR), until_ms=now_ms + int(ends * HOUR),
            author=author, reason=reason, now_ms=now_ms + int(begins * HOUR),
        )  # type: ignore[arg-type]  # fmt: skip
    said = {"sample_every": "10s", "flush_every": "60s", "sensors": ["battery", "wifi", "temperature"],
            "log_level": "info", "log_lines_per_minute": 60}  # fmt: skip
    wanted = {"sample_every": "30s", "log_lines_per_minute": 500_000}
    refused = {"log_lines_per_minute": "expected an integer from 1 to 100000"}
    registry.set_desired(engine, "lock-1001", {"version": 3, "settings": wanted})
    reported = {"version": 3, "settings": said | {"sample_every": "30s"}, "refused": refused}
    registry.record_reported(engine, "lock-1001", reported)
    registry.record_reported(engine, "router-1002", {"version": 0, "settings": said, "refused": {}})
    setting.write(engine, "channel_down.twilio", "refused", author="dispatch", now_ms=now_ms - 40 * MINUTE)


def deps_for(
    engine: Engine, store: SeriesStore, roster: Roster, *, now_ms: int | None = None, **changes: object
) -> WebDeps:
    """What the console needs, with a watch that has counted something."""
    clock = (lambda: int(time.time() * 1000)) if now_ms is None else (lambda: now_ms)
    watch = Watch()
    for name, reason, amount in (
        ("batches_refused", "clock_off", 14),
        ("batches_refused", "unknown_device", 3),
        ("samples_refused", "out_of_range", 96),
        ("batches_duplicate", "", 41),
        ("values_stored", "", 9_482_113),
        ("messages_skipped", "opted_out", 2),
    ):
        watch.count(name, amount, reason=reason)
    for gauge, value in (
        ("lag_s", 0.41),
        ("windows_per_s", 1.0),
        ("values_per_s", 18_450.0),
        ("turn_s", 0.063),
        ("memory_bytes", 412e6),
    ):
        watch.set(gauge, value)
    watch.report(
        "backup_failed",
        "The backup of last night failed: no space left on the backup disk. Free some, or set backup.path.",
        clock() - 7 * HOUR,
    )
    parts = (
        Part(
            name="Broker",
            state="ok",
            detail="Embedded NATS 2.15, MQTT on port 1883",
            numbers=(("clients", "36"), ("queued", "0")),
        ),
        Part(name="Series store", state="ok", detail="DuckDB", numbers=(("samples", "9.5 M"), ("disk", "48 MB"))),
        Part(name="Ledger", state="ok", detail="SQLite", numbers=(("size", "3.1 MB"),)),
        Part(name="Channel", state="degraded", detail="Console: messages go to the phones page, not out", needed=False),
    )
    base = WebDeps(
        engine=engine,
        store=store,
        roster=roster,
        hub=Hub(started_ms=clock()),
        watch=watch,
        now_ms=clock,
        replies=Replies(inbound=Inbound(engine=engine, texts=load_texts(), now_ms=clock)),
        parts=lambda: parts,
        downlink=answering(engine, now_ms=clock),
        resume=lambda channel: setting.forget(engine, f"channel_down.{channel}"),
        rules={case.rule: case.cause for case in cases(clock())},
        dead_letters=lambda limit: [
            Letter(clock() - n * HOUR, "bf/1/lock-0999/batch", code, detail, 113, "eA==")
            for n, (code, detail) in enumerate(
                (("unknown_device", "lock-0999"), ("not_json", "expected value at line 1"), ("clock_off", "-9 d"))
            )
        ][:limit],
    )
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
