"""From TOML values to settings: each parser takes what TOML gave and returns a value, or says what it expected."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from edge.wire import DEVICE_ID, NAME, SEVERITIES

DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SIZE = re.compile(r"(\d+)(B|KiB|MiB|GiB)")
BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

Parser = Callable[[object], object]


def text(value: object) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise ValueError("expected text")
    return value


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


def whole(low: int, high: int) -> Callable[[object], int]:
    """A parser of integers in [low, high]."""

    def parse(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"expected an integer from {low} to {high}")
        return value

    return parse


def number(value: object) -> float:
    """Any number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("expected a number")
    return float(value)


def duration(low_s: float, high_s: float) -> Callable[[object], float]:
    """A parser of texts as `10s` or `5m` to seconds in [low, high]."""

    def parse(value: object) -> float:
        found = DURATION.fullmatch(value) if isinstance(value, str) else None
        seconds = float(found[1]) * SECONDS[found[2]] if found else -1.0
        if not low_s <= seconds <= high_s:
            raise ValueError(f'expected a duration as "10s", "5m" or "1h", from {low_s:g} s to {high_s:g} s')
        return seconds

    return parse


def size(value: object) -> int:
    """A text as `32MiB` to bytes, at least 64 KiB."""
    found = SIZE.fullmatch(value) if isinstance(value, str) else None
    count = int(found[1]) * BYTES[found[2]] if found else 0
    if not 1 << 16 <= count <= 1 << 34:
        raise ValueError('expected a size as "512KiB" or "32MiB", from 64KiB to 16GiB')
    return count


def choice(*allowed: str) -> Callable[[object], str]:
    """A parser of one word out of a few."""

    def parse(value: object) -> str:
        if value not in allowed:
            raise ValueError(f"expected one of {', '.join(allowed)}")
        return str(value)

    return parse


def severity(value: object) -> int:
    """A log level as its position in SEVERITIES."""
    return SEVERITIES.index(choice(*SEVERITIES)(value))


def texts(value: object) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("expected a list of texts")
    return tuple(value)


def choices(*allowed: str) -> Callable[[object], tuple[str, ...]]:
    """A parser of a list of words out of a few."""

    def parse(value: object) -> tuple[str, ...]:
        found = texts(value)
        if wrong := sorted(set(found) - set(allowed)):
            raise ValueError(f"{', '.join(wrong)} unknown; expected some of {', '.join(allowed)}")
        return found

    return parse


def argv(value: object) -> tuple[str, ...]:
    """A program and its arguments; no shell is used."""
    found = texts(value)
    if not found:
        raise ValueError('expected a program and its arguments, as ["/usr/bin/program", "--flag"]')
    return found


def hooks(value: object) -> dict[str, tuple[str, ...]]:
    """A table of command names to programs."""
    if not isinstance(value, dict):
        raise ValueError('expected a table as reboot = ["/sbin/reboot"]')
    return {str(name): argv(program) for name, program in value.items()}


def patterns(value: object) -> tuple[re.Pattern[str], ...]:
    """A list of regular expressions."""
    try:
        return tuple(re.compile(one) for one in texts(value))
    except re.error as exc:
        raise ValueError(f"not a regular expression: {exc}") from None


def path(value: object) -> Path | None:
    """A path; the empty text is none."""
    return Path(text(value)) if value != "" else None


def folder(value: object) -> Path:
    """A path that must be given."""
    found = path(value)
    if found is None:
        raise ValueError("expected a path")
    return found


def device_id(value: object) -> str:
    """A device id: one token of a topic."""
    if not isinstance(value, str) or not DEVICE_ID.fullmatch(value):
        raise ValueError("expected 1 to 64 letters, digits, _ or -")
    return value


def metric(value: object) -> str:
    """A metric's name."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError("expected a metric name: lower case letters, digits and _, from a letter, at most 64")
    return value


def secret(value: object) -> bytes:
    """A key in hex, at least 16 bytes; empty is none."""
    try:
        found = bytes.fromhex(text(value))
    except ValueError:
        raise ValueError("expected hex digits") from None
    if 0 < len(found) < 16:
        raise ValueError("expected at least 32 hex digits")
    return found
