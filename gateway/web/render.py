"""Templates: the environment with its filters, and the answer that is a page."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from fastapi import Request, Response
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from gateway.web import words

HERE = Path(__file__).parent
STATIC = HERE / "static"
TONGUES = {"de": "German", "en": "English", "es": "Spanish", "fr": "French", "it": "Italian", "zh": "Chinese"}
LOOK = {"critical": "bad", "warning": "warn", "offline": "off", "ok": "ok"}
HEALTH_WORD = {"critical": "Critical", "warning": "Warning", "offline": "Offline", "ok": "Healthy"}
STATUS_LOOK = {"new": "accent", "open": "warn", "waiting": "", "solved": "ok", "closed": ""}
PRIORITY_LOOK = {"urgent": "bad", "high": "warn", "normal": "", "low": ""}
SEVERITY_LOOK = {"critical": "bad", "warning": "warn", "info": "accent", "error": "bad", "debug": ""}
ORDER_LOOK = {
    "done": "ok",
    "failed": "bad",
    "refused": "bad",
    "no_answer": "warn",
    "waiting": "accent",
    "started": "accent",
}
SETTING_LOOK = {"applied": "ok", "waiting": "accent", "refused": "bad", "own": "", "unknown": ""}
SETTING_WORD = {
    "applied": "As wanted", "waiting": "Waits for the device", "refused": "Refused in part", "own": "The device's own",
    "unknown": "Not reported",
}  # fmt: skip
LABEL_WORD = {
    "device_id": "Device", "site": "Place", "type": "Type", "firmware": "Firmware", "rule": "Rule", "cause": "Cause",
}  # fmt: skip
MUTED_WORD = {
    "silence": "Silenced", "maintenance": "Maintenance", "inhibited": "Explained by another",
    "storm": "Held in a storm", "shared_cause": "Part of a shared cause",
}  # fmt: skip
MESSAGE_LOOK = {"delivered": "ok", "failed": "bad", "undelivered": "bad", "unknown": "warn", "held": "warn"}


def asset_versions() -> dict[str, str]:
    """The first characters of each static file's SHA-256, so that browsers may keep a file for ever."""
    return {
        path.relative_to(STATIC).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:10]
        for path in STATIC.rglob("*")
        if path.is_file()
    }


def environment() -> Environment:
    """The template environment: undefined names are errors, everything is escaped."""
    env = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    versions = asset_versions()
    env.filters |= {
        "title_of": words.title, "amount": words.amount, "number": words.number, "stamp": words.stamp,
        "span": words.span, "initials": initials, "mask": mask, "plain": words.plain, "word": word, "clock": clock,
        "tongue": tongue, "cause": cause,
        "day": words.day, "share": words.share,
    }  # fmt: skip
    env.globals |= {
        "asset": lambda name: f"/static/{name}?v={versions[name]}",
        "ago": ago,
        "forecast_words": words.forecast_sentence,
        "is_due": words.is_due,
        "local_time": local_time,
        "LOOK": LOOK,
        "HEALTH_WORD": HEALTH_WORD,
        "STATUS_LOOK": STATUS_LOOK,
        "PRIORITY_LOOK": PRIORITY_LOOK,
        "SEVERITY_LOOK": SEVERITY_LOOK,
        "MESSAGE_LOOK": MESSAGE_LOOK,
        "ORDER_LOOK": ORDER_LOOK,
        "SETTING_LOOK": SETTING_LOOK,
        "SETTING_WORD": SETTING_WORD,
        "LABEL_WORD": LABEL_WORD,
        "MUTED_WORD": MUTED_WORD,
    }
    return env


def ago(ms: int | None, now_ms: int) -> Markup:
    """A moment as `<time>`: relative text, the full stamp on hover; the page keeps it current."""
    if not ms or ms <= 0:
        return Markup('<span class="soft">never</span>')
    iso = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
    text, full = escape(words.ago(ms, now_ms)), escape(words.stamp(ms))
    return Markup(f'<time datetime="{iso}" data-ms="{int(ms)}" title="{full}">{text}</time>')  # noqa: S704 - escaped


def clock(ms: int) -> str:
    """Time of day in UTC, to the second, with the day: `24 Nov 20:43:10`."""
    return f"{words.day(ms)} {words.moment(ms):%H:%M:%S}"


def local_time(ms: int, zone: str | None) -> str:
    """The time of day in a zone: `21:43`; "" where the zone is unknown."""
    try:
        return f"{words.moment(ms).astimezone(ZoneInfo(zone)):%H:%M}" if zone else ""
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: "Europe", a folder of zones
        return ""


def initials(name: str) -> str:
    """Two letters for an avatar; one character of a Chinese name."""
    parts = name.split()
    if not parts:
        return "?"
    return (parts[0][:1] + (parts[-1][:1] if len(parts) > 1 else "")).upper()


def mask(address: str) -> str:
    """An address of which only the country and the end are readable: `+44 ••• 1234`, `a•••@example.org`."""
    name, at, host = address.rpartition("@")
    if at:
        return f"{name[:1]}•••@{host}"
    try:
        country = f"+{phonenumbers.parse(address).country_code} "
    except phonenumbers.NumberParseException:
        country = ""
    return f"{country}••• {address[-4:]}" if len(address) > 6 else "•••"


def tongue(code: str) -> str:
    """A language by its name; its code where we write in none of that name."""
    return TONGUES.get(code.partition("-")[0], code)


def word(code: str | None) -> str:
    """A code as words: `false_alarm` becomes `False alarm`, `BatteryWearingOut` becomes `Battery wearing out`."""
    if not code:
        return "–"
    spaced = "".join(
        f" {c.lower()}" if c.isupper() and i and not code[i - 1].isupper() else c for i, c in enumerate(code)
    )
    text = spaced.replace("_", " ").replace("wifi", "Wi-Fi").replace("Wifi", "Wi-Fi").strip()
    return text[:1].upper() + text[1:]


def cause(code: str) -> str:
    """An incident's cause as words; a shared one names what is shared: `Firmware: router R-200 4.3.0`."""
    own, _, value = code.partition("=")
    return f"{word(own.rpartition(' ')[0])}: {value}" if value else word(code)


def render(request: Request, name: str, /, status: int = 200, **context: object) -> Response:
    """A page. `who` in the context is the signed-in user; without one the page has no frame."""
    templates = cast("Jinja2Templates", request.app.state.templates)
    theme = request.cookies.get("bf_theme", "")
    shared: Mapping[str, object] = {
        "now_ms": request.app.state.deps.now_ms(),
        "theme": theme if theme in ("light", "dark") else "",
        "who": None,
        "counts": {},
        "problems": (),
        "status": status,
    }
    response = templates.TemplateResponse(request, name, {**shared, **context}, status_code=status)
    response.headers["Cache-Control"] = "no-store"
    return response
