"""Plain MQTT devices: from topic pattern and JSON path to device, metric and unit. docs/plain-mqtt.md has examples.

    - topic: tele/{device}/SENSOR          # `+` matches one level, `#` the rest, `{device}` one level: the device id
      time: Time                           # path of the time (ISO 8601 or Unix s or ms); without it, when it arrived
      metrics:
        power_watts: ENERGY.Power          # a path; `.` goes down, a number indexes a list, "" is the whole payload
        temperature_celsius: {path: AM2301.Temperature, from: fahrenheit}
        relay_on_ratio: {path: POWER, values: {"ON": 1, "OFF": 0}, scale: 1, offset: 0}

A message gets a key made from its topic, payload and time, so that one the broker delivers twice counts once.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from edge.wire import DEVICE_ID, MAX_PAYLOAD, NAME, WireError
from gateway.errors import ConfigError, Refused
from gateway.ingest.decode import Column, Parsed

PLAIN_BOOT = 0  # agents count boots from 1: a key of a mapped message is told by this
_FACTORS: dict[str, tuple[float, float]] = {  # to base units: value * scale + offset
    "": (1.0, 0.0),
    "fahrenheit": (5 / 9, -160 / 9),
    "percent": (0.01, 0.0),
    "kilo": (1e3, 0.0),
    "mega": (1e6, 0.0),
    "milli": (1e-3, 0.0),
    "hectopascals": (100.0, 0.0),
    "minutes": (60.0, 0.0),
    "hours": (3600.0, 0.0),
}
Unit = Literal["", "fahrenheit", "percent", "kilo", "mega", "milli", "hectopascals", "minutes", "hours"]
_MAX_DEPTH = 32


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Value(_Strict):
    """Where a metric's value is, and how it becomes the metric's unit: value * scale + offset, after `from`."""

    path: str = ""
    unit: Unit = Field("", alias="from")
    scale: float = 1.0
    offset: float = 0.0
    values: dict[str, float] = {}


class Entry(_Strict):
    """One topic pattern with the metrics its messages carry. `device` names the device where the topic does not."""

    topic: Annotated[str, Field(min_length=1, max_length=512)]
    device: str = ""
    time: str = ""
    metrics: Annotated[dict[str, str | Value], Field(min_length=1, max_length=500)]


_ENTRIES = TypeAdapter(list[Entry])


@dataclass(frozen=True, slots=True)
class Mapped:
    """One plain message as a batch."""

    device_id: str
    batch: Parsed


class Mapping:
    """The operator's mapping, checked. `topics` are the MQTT filters to subscribe to."""

    def __init__(self, entries: object) -> None:
        """Raises ConfigError (`mapping_invalid`), naming the entry."""
        try:
            self._entries = [(_pattern(e), e, _values(e)) for e in _ENTRIES.validate_python(entries)]
        except ValidationError as exc:
            first = exc.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ConfigError("mapping_invalid", f"entry {where}: {first['msg']}") from None
        self.patterns: tuple[str, ...] = tuple(entry.topic for _, entry, _ in self._entries)
        self.topics: tuple[str, ...] = tuple(dict.fromkeys(p.replace("{device}", "+") for p in self.patterns))

    def read(self, topic: str, payload: bytes, *, at_ms: int) -> Mapped:
        """The samples of one message; the first entry that matches the topic decides.

        Raises:
            WireError: `bad_topic`, `too_large`, `not_json` or `bad_field` (its time).
            Refused: `nothing_mapped`: no metric is in it.
        """
        for pattern, entry, values in self._entries:
            if match := pattern.fullmatch(topic):
                device_id = entry.device or _clean_id(match.group("device"))
                return Mapped(device_id, _batch(entry, values, topic, payload, at_ms))
        raise WireError("bad_topic", topic[:100])


def _batch(entry: Entry, values: Sequence[tuple[str, Value]], topic: str, payload: bytes, at_ms: int) -> Parsed:
    document = _document(payload)
    t_ms = _time(_at(document, entry.time), at_ms) if entry.time else at_ms
    found = [(name, number) for name, value in values if (number := _number(document, value)) is not None]
    if not found:
        raise Refused("nothing_mapped", f"none of {', '.join(name for name, _ in values)[:100]} in it")
    digest = hashlib.blake2b(f"{topic}\0{t_ms}\0".encode("utf-8", "replace") + payload, digest_size=8).digest()
    seq = int.from_bytes(digest, "big") >> 1  # 63 bits: what a signed column holds
    names = tuple(name for name, _ in found)
    columns: list[Column] = [[number] for _, number in found]
    return Parsed(PLAIN_BOOT, seq, t_ms, [t_ms], names, columns, (), historical=False, alarm=False)


def _document(payload: bytes) -> object:
    if len(payload) > MAX_PAYLOAD:
        raise WireError("too_large", f"{len(payload)} bytes, limit {MAX_PAYLOAD}")
    try:
        text = payload.decode()
    except UnicodeDecodeError as exc:
        raise WireError("not_json", str(exc)[:100]) from None
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError):
        return text.strip()  # a bare word, as `ON`
    return document


def _at(document: object, path: str) -> object:
    found = document
    for part in path.split(".")[:_MAX_DEPTH] if path else ():
        match found:
            case dict():
                found = found.get(part)
            case list() if part.isascii() and part.isdigit() and len(part) < 6 and int(part) < len(found):
                found = found[int(part)]
            case _:
                return None
    return found


def _number(document: object, value: Value) -> float | None:
    found = _at(document, value.path)
    if value.values:
        word = str(found).lower() if isinstance(found, bool) else str(found)
        mapped = value.values.get(word) if isinstance(found, str | int | float) else None
        if mapped is not None:
            return mapped
    match found:
        case bool():
            raw = float(found)
        case int() | float() if abs(found) < 1e300:
            raw = float(found)
        case str():
            try:
                raw = float(found[:40])
            except ValueError:
                return None
        case _:
            return None
    factor, shift = _FACTORS[value.unit]
    number = (raw * factor + shift) * value.scale + value.offset
    return number if math.isfinite(number) else None


def _time(found: object, at_ms: int) -> int:
    """Unix ms of a time in a message; one without a zone is UTC."""
    try:
        match found:
            case None:
                return at_ms
            case bool():
                pass
            case int() | float() if 0 < found < 1e10:
                return int(found * 1000)
            case int() | float() if 0 < found < 1e14:
                return int(found)
            case str():
                at = datetime.fromisoformat(found)
                return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        pass
    raise WireError("bad_field", f"time is {str(found)[:40]!r}, expected ISO 8601 or Unix seconds or ms")


def _values(entry: Entry) -> list[tuple[str, Value]]:
    for name in entry.metrics:
        if not NAME.fullmatch(name):
            raise ConfigError("mapping_invalid", f"{entry.topic}: {name!r} is no metric name ([a-z][a-z0-9_]*)")
    return [(name, Value(path=v) if isinstance(v, str) else v) for name, v in entry.metrics.items()]


def _pattern(entry: Entry) -> re.Pattern[str]:
    levels = entry.topic.split("/")
    if "{device}" not in levels and not entry.device:
        raise ConfigError("mapping_invalid", f"{entry.topic}: needs a level {{device}}, or the key `device`")
    if entry.device and not DEVICE_ID.fullmatch(entry.device):
        raise ConfigError("mapping_invalid", f"{entry.topic}: {entry.device!r} is no device id")
    if "#" in levels[:-1] or levels.count("{device}") > 1 or levels[0] == "bf":
        raise ConfigError("mapping_invalid", f"{entry.topic}: `#` comes last, {{device}} once, and bf/ is our own")
    return re.compile("/".join(_levels(levels)), re.DOTALL)


def _levels(levels: Sequence[str]) -> Iterator[str]:
    known = {"+": "[^/]*", "#": ".*", "{device}": "(?P<device>[^/]+)"}
    return (known.get(level, re.escape(level)) for level in levels)


def _clean_id(text: str) -> str:
    """A device id of what stands in the topic: other characters become `_`."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)[:64]
