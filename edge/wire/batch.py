"""A batch: what a device sends at once. docs/wire.md has the whole; the JSON inside is short.

    {"v":1,"boot":7,"seq":42,"sent":1700000060000,"t":[1700000000000,10000,10000],
     "m":{"cpu_busy_ratio":[0.12,null,0.1]},"l":[[-1500,3,"kernel","oom killed app"]],"h":1,"a":1}

`t` is the first time and then the steps, ms; each column of `m` has one value per time, null where nothing was read;
a log line's first number is its time minus `sent`. `l`, `h` (historical) and `a` (alarm) may be missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import isfinite
from typing import NamedTuple

from edge.wire.form import MAX_INTEGER, Json, WireError, clean, deflate, dump, integer, load, mapping
from edge.wire.metric import MAX_NAME, NAME, digits_of

SEVERITIES = ("debug", "info", "warning", "error", "critical")  # on the wire: the position
MAX_SAMPLES = 10_000  # times in one batch
MAX_METRICS = 500
MAX_LINES = 5_000
MAX_TEXT = 2_000  # characters of one log line
MAX_SOURCE = 64

Column = Sequence[float | None]


class LogLine(NamedTuple):
    """One line of text, redacted on the device."""

    t_ms: int
    severity: int  # position in SEVERITIES
    source: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one device measured between two flushes: the unit of delivery and of deduplication.

    (device id, boot, seq) names a batch for ever; the device id is in the topic. `boot` counts starts and `seq` counts
    batches within a boot; both live on the device's disk. Equal keys mean equal samples and lines; `sent_at_ms` and
    `historical` belong to the sending, so a batch sent again may differ in them.
    """

    boot: int  # 1, 2, 3, ...
    seq: int  # 0, 1, 2, ... within one boot
    sent_at_ms: int  # device clock; may be wrong, so the gateway adds its own
    t_ms: Sequence[int] = ()  # (samples,), device clock, ascending
    columns: Mapping[str, Column] = field(default_factory=dict)  # each (samples,), in the metric's unit; None: not read
    logs: Sequence[LogLine] = ()
    historical: bool = False  # buffered while offline: store it, raise no live alert
    alarm: bool = False  # urgent: sent before anything else


def encode_batch(batch: Batch, *, packed: bool = True) -> bytes:
    """The payload of a batch; values are rounded to their metric's digits, and what is not finite becomes null.

    Args:
        batch: what to send.
        packed: zlib with our dictionary; plain JSON otherwise.

    Raises:
        WireError: `too_large`.
    """
    t = batch.t_ms
    document: Json = {"v": 1, "boot": batch.boot, "seq": batch.seq, "sent": batch.sent_at_ms}
    document["t"] = [t[i] - (t[i - 1] if i else 0) for i in range(len(t))]
    rest: Json = {}
    if batch.logs:
        rest["l"] = [[line.t_ms - batch.sent_at_ms, *line[1:]] for line in batch.logs]
    if batch.historical:
        rest["h"] = 1
    if batch.alarm:
        rest["a"] = 1
    columns = ",".join([f"{json.dumps(name)}:[{_written(name, column)}]" for name, column in batch.columns.items()])
    tail = b"," + dump(rest)[1:] if rest else b"}"
    text = dump(document)[:-1] + b',"m":{' + columns.encode() + b"}" + tail
    return deflate(text) if packed else text


def _written(name: str, column: Column) -> str:
    """The JSON of a column's values: a whole column in one formatting where it can be, for this is what costs."""
    digits = digits_of(name)
    if digits:
        try:
            text = ",".join([f"%.{digits}g"] * len(column)) % tuple(column)
        except TypeError:  # there are None among them
            pass
        else:
            if "n" not in text:  # as in nan and inf
                return _short(text)
    return ",".join([_number(value, digits) if value is not None and isfinite(value) else "null" for value in column])


def _short(text: str) -> str:
    return text.replace("e+0", "e").replace("e+", "e") if "e" in text else text


def _number(value: float, digits: int) -> str:
    if digits:
        return _short(f"{value:.{digits}g}")
    return str(int(value)) if float(value).is_integer() and abs(value) < MAX_INTEGER else repr(value)


def decode_batch(payload: bytes) -> Batch:
    """Turn one MQTT payload into a Batch. The reference; the gateway's column decoder agrees with it.

    Checks form and size only; whether the device exists and the values make sense is the gateway's question. Unknown
    fields are ignored, so old gateways read new agents.

    Raises:
        WireError: what `load` raises, or `bad_field`. For any bytes, nothing else is raised.
    """
    document = load(payload)
    sent = integer(document, "sent")
    times = _times(document.get("t", []))
    columns = mapping(document, "m", default={})
    if len(columns) > MAX_METRICS:
        raise WireError("bad_field", f"{len(columns)} metrics, limit {MAX_METRICS}")
    return Batch(
        boot=integer(document, "boot", low=1),
        seq=integer(document, "seq"),
        sent_at_ms=sent,
        t_ms=times,
        columns={name: _column(name, column, len(times)) for name, column in columns.items()},
        logs=_lines(document.get("l", []), sent),
        historical=_flag(document, "h"),
        alarm=_flag(document, "a"),
    )


def _times(steps: object) -> tuple[int, ...]:
    if not isinstance(steps, list) or len(steps) > MAX_SAMPLES:
        raise WireError("bad_field", f"t: expected at most {MAX_SAMPLES} integers")
    if not all(type(step) is int and 0 <= step < MAX_INTEGER for step in steps):
        raise WireError("bad_field", "t: expected integers from 0: a time, then steps")
    times = tuple(accumulate(steps))
    if times and times[-1] >= MAX_INTEGER:
        raise WireError("bad_field", "t: beyond any time")
    return times


def _column(name: str, column: object, length: int) -> tuple[float | None, ...]:
    if not NAME.fullmatch(name):
        raise WireError("bad_field", f"m: {name[:MAX_NAME]!r} is no metric name")
    if not isinstance(column, list) or len(column) != length:
        raise WireError("bad_field", f"m.{name}: expected a list of {length}, one value per time")
    return tuple(_value(name, value) for value in column)


def _value(name: str, value: object) -> float | None:
    match value:
        case None:
            return None
        case float() if isfinite(value):
            return value
        case int() if not isinstance(value, bool) and abs(value) < 10**300:
            return value
        case _:
            raise WireError("bad_field", f"m.{name}: {str(value)[:40]} is no finite number")


def _lines(lines: object, sent: int) -> tuple[LogLine, ...]:
    if not isinstance(lines, list) or len(lines) > MAX_LINES:
        raise WireError("bad_field", f"l: expected at most {MAX_LINES} lines")
    return tuple(_line(line, sent) for line in lines)


def _line(line: object, sent: int) -> LogLine:
    match line:
        case [int() as step, int() as severity, str() as source, str() as text, *_] if (
            type(step) is int
            and type(severity) is int
            and 0 <= sent + step < MAX_INTEGER
            and 0 <= severity < len(SEVERITIES)
            and len(source) <= MAX_SOURCE
            and len(text) <= MAX_TEXT
        ):
            return LogLine(sent + step, severity, clean(source), clean(text))
        case _:
            raise WireError("bad_field", "l: expected [ms from sent, severity 0 to 4, source, text]")


def _flag(document: Json, key: str) -> bool:
    value = document.get(key, 0)
    if value not in (0, 1) or isinstance(value, float):
        raise WireError("bad_field", f"{key}: expected 0 or 1")
    return bool(value)
