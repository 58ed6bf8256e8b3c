"""Bytes of a batch into columns: pydantic-core reads the JSON in Rust, numpy does the rest a window at a time.

`edge.wire.decode_batch` is the reference; a property test holds this decoder to it.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, NamedTuple, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic asks for it below Python 3.12

from edge.wire import (
    MAX_INTEGER,
    MAX_LINES,
    MAX_METRICS,
    MAX_SAMPLES,
    MAX_SOURCE,
    MAX_TEXT,
    NAME,
    SEVERITIES,
    LogLine,
    WireError,
    inflate,
)

Column = list[float | None]
_Whole = Annotated[int, Field(ge=0, lt=MAX_INTEGER)]
_Flag = Annotated[int, Field(ge=0, le=1)]


class _Document(TypedDict):
    __pydantic_config__ = ConfigDict(strict=True, allow_inf_nan=False)  # type: ignore[misc]

    v: Literal[1]
    boot: Annotated[int, Field(ge=1, lt=MAX_INTEGER)]
    seq: _Whole
    sent: _Whole
    t: NotRequired[Annotated[list[_Whole], Field(max_length=MAX_SAMPLES)]]
    m: NotRequired[Annotated[dict[str, Column], Field(max_length=MAX_METRICS)]]
    l: NotRequired[Annotated[list[list[object]], Field(max_length=MAX_LINES)]]  # noqa: E741
    h: NotRequired[_Flag]
    a: NotRequired[_Flag]


_DOCUMENT = TypeAdapter(_Document).validator  # without the adapter's own checks at each call
_BOOT, _SEQ = re.compile(rb'"boot":([1-9]\d{0,14})\b'), re.compile(rb'"seq":(\d{1,15})\b')
_known_names: set[str] = set()  # names that passed NAME, to spare the expression; bounded below
_MOST_NAMES = 10_000


class Parsed(NamedTuple):
    """One batch as it was sent: the times are still steps, the columns still lists."""

    boot: int
    seq: int
    sent_ms: int  # device clock
    steps: list[int]  # (samples,): the first time, Unix ms of the device's clock, then steps in ms
    metrics: tuple[str, ...]
    columns: list[Column]  # each (samples,); None where nothing was read
    lines: tuple[LogLine, ...]
    historical: bool
    alarm: bool


def decode_batch(payload: bytes) -> Parsed:
    """Turn one MQTT payload into its columns. Checks form and size only.

    Raises:
        WireError: `too_large`, `bad_form`, `bad_zlib`, `bad_dictionary`, `not_json`, `bad_version` or `bad_field`. For
            any bytes, nothing else is raised.
    """
    text = inflate(payload)
    try:
        document = _DOCUMENT.validate_json(text)
    except ValidationError as exc:
        raise _wire_error(exc) from None
    steps, columns = document.get("t", []), document.get("m", {})
    if sum(steps) >= MAX_INTEGER:
        raise WireError("bad_field", "t: beyond any time")
    count = len(steps)
    for name, column in columns.items():
        if len(column) != count:
            raise WireError("bad_field", f"m.{name[:64]}: expected a list of {count}, one value per time")
        if name not in _known_names:
            _learn(name)
    sent, lines = document["sent"], document.get("l")
    return Parsed(
        document["boot"],
        document["seq"],
        sent,
        steps,
        tuple(columns),
        list(columns.values()),
        tuple(_line(line, sent) for line in lines) if lines else (),
        document.get("h") == 1,
        document.get("a") == 1,
    )


def key_of(payload: bytes) -> tuple[int, int] | None:
    """(boot, seq) of a batch that `decode_batch` refuses, where it tells them all the same; else None."""
    try:
        text = inflate(payload)
    except WireError:
        return None
    boot, seq = _BOOT.search(text), _SEQ.search(text)
    return (int(boot[1]), int(seq[1])) if boot and seq else None


def _learn(name: str) -> None:
    if not NAME.fullmatch(name):
        raise WireError("bad_field", f"m: {name[:64]!r} is no metric name")
    if len(_known_names) < _MOST_NAMES:
        _known_names.add(name)


def _line(line: list[object], sent: int) -> LogLine:
    match line:
        case [int() as step, int() as severity, str() as source, str() as text, *_] if (
            type(step) is int
            and type(severity) is int
            and 0 <= sent + step < MAX_INTEGER
            and 0 <= severity < len(SEVERITIES)
            and len(source) <= MAX_SOURCE
            and len(text) <= MAX_TEXT
        ):
            return LogLine(sent + step, severity, source.replace("\0", "\ufffd"), text.replace("\0", "\ufffd"))
        case _:
            raise WireError("bad_field", "l: expected [ms from sent, severity 0 to 4, source, text]")


def _wire_error(exc: ValidationError) -> WireError:
    first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part)[:64] for part in first["loc"])
    if first["type"] == "json_invalid":
        return WireError("not_json", first["msg"][:100])
    return WireError("bad_version" if where == "v" else "bad_field", f"{where}: {first['msg']}"[:200])
