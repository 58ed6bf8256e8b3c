"""The line protocol: what firmware writes to the agent's socket and `exec` sensors print.

    metric <name>=<number> [<name>=<number> ...] [@<Unix ms>]
    event  <severity> <source> <text>
    alarm  <severity> <source> <text>      an event that is sent at once, before everything else
    crash  <source> <text>                 a crash report: the text goes to the end of the datagram, over all its lines

One line is one statement; a datagram holds as many as it likes. Blank lines and lines from `#` on say nothing. A metric
without a time belongs to the next reading of the sensors; the last value wins.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from edge.record import ALARM, CRASH, LOGS
from edge.wire import MAX_INTEGER, MAX_SOURCE, NAME, SEVERITIES

MAX_DATAGRAM = 64 * 1024
SOURCE = re.compile(rf"[\w.:/-]{{1,{MAX_SOURCE}}}")


class Readings(NamedTuple):
    """Values of metrics; `t_ms` None: now."""

    values: dict[str, float]
    t_ms: int | None


class Said(NamedTuple):
    """A line of text; `kind` is LOGS, ALARM or CRASH."""

    kind: int
    severity: int
    source: str
    text: str


class LineError(Exception):
    """A line that is none of the protocol."""


def parse_lines(text: str) -> tuple[list[Readings | Said], list[str]]:
    """What the lines of a text say, and why the others were refused. Total: never raises."""
    said: list[Readings | Said] = []
    wrong: list[str] = []
    rest = text
    while rest:
        line, _, rest = rest.partition("\n")
        if line.startswith("crash "):
            line, rest = f"{line}\n{rest}".rstrip("\n"), ""
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            said.append(parse_line(line))
        except LineError as exc:
            wrong.append(str(exc))
    return said, wrong


def parse_line(line: str) -> Readings | Said:
    """What one statement says.

    Raises:
        LineError: with what was expected.
    """
    verb, _, rest = line.strip().partition(" ")
    match verb:
        case "metric":
            return _readings(rest)
        case "event" | "alarm":
            severity, _, tail = rest.strip().partition(" ")
            if severity not in SEVERITIES:
                raise LineError(f"{severity[:20]!r} is none of {', '.join(SEVERITIES)}")
            return _said(LOGS if verb == "event" else ALARM, SEVERITIES.index(severity), tail)
        case "crash":
            return _said(CRASH, SEVERITIES.index("critical"), rest)
        case _:
            raise LineError(f"{verb[:20]!r} is none of metric, event, alarm, crash")


def _said(kind: int, severity: int, rest: str) -> Said:
    source, _, text = rest.strip().partition(" ")
    if not SOURCE.fullmatch(source) or not text.strip():
        raise LineError("expected a source and a text")
    return Said(kind, severity, source, text.strip())


def _readings(rest: str) -> Readings:
    values: dict[str, float] = {}
    t_ms = None
    for word in rest.split():
        if word.startswith("@") and word[1:].isascii() and word[1:].isdigit() and len(word) < 17:
            t_ms = min(int(word[1:]), MAX_INTEGER - 1)
        else:
            name, _, number = word.partition("=")
            values[_name(name)] = _number(number)
    if not values:
        raise LineError("metric: expected name=number")
    return Readings(values, t_ms)


def _name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise LineError(f"{name[:70]!r} is no metric name")
    return name


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in text:
        raise LineError(f"{text[:40]!r} is no number")
    return value
