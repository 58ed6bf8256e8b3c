"""Everything but batches and commands: birth, death, the `stored` mark, desired and reported configuration.

    birth     {"v":1,"boot":7,"t":ms,"type":"router","model":"R2","hardware":"b","firmware":"2.4.1","config":3,
               "reboot_reason":"watchdog","agent":"0.1.0","m":{"cpu_busy_ratio":"ratio"}}
    death     {"v":1,"boot":7} as the will; with "clean":1 when the agent stops on purpose
    stored    {"v":1,"r":[[boot,first seq,last seq],...]}: exactly these batches are in the store
    desired   {"v":1,"config":4,"settings":{...}}         retained by the broker, so a device finds it when it comes
    reported  {"v":1,"config":4,"settings":{...},"refused":{"sample_s":"expected ..."}}

What goes to a device (stored, desired, commands) is always plain JSON, so a small client needs no zlib.

The `stored` mark lists what is stored rather than a high-water mark, for alarms and the newest batches go before the
backlog and a bad batch must not hold up the others. The gateway builds it from the keys it has just committed or seen
as repeats, and keeps no state for it; the device deletes those and sends again what stays unmarked. A lost mark costs
one repeat. A batch that is refused for good is marked too, for sending it again would not help.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from edge.wire.form import Json, WireError, deflate, dump, integer, load, mapping, text
from edge.wire.metric import NAME

MAX_RANGES = 10_000

Ranges: TypeAlias = Sequence[tuple[int, int, int]]  # (boot, first seq, last seq), both included


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """What a device says of itself after connecting."""

    boot: int
    t_ms: int  # device clock, when sent
    type: str = ""  # product type, as `smart_lock`
    model: str = ""
    hardware: str = ""
    firmware: str = ""
    config_version: int = 0
    reboot_reason: str = ""
    agent: str = ""  # version of the agent; "" for other clients
    metrics: dict[str, str] = field(default_factory=dict)  # name to unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """The link of a device is gone: its will (`clean` False), or it said goodbye."""

    boot: int
    clean: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """The settings we want of a device. `version` 0 and no settings: none were ever given."""

    version: int
    settings: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """The settings a device says it has, and what it refused of the desired ones, with the reason."""

    version: int
    settings: Json = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def encode_birth(birth: Birth) -> bytes:
    """The payload of a birth."""
    document: Json = {
        "v": 1,
        "boot": birth.boot,
        "t": birth.t_ms,
        "type": birth.type,
        "model": birth.model,
        "hardware": birth.hardware,
        "firmware": birth.firmware,
        "config": birth.config_version,
        "reboot_reason": birth.reboot_reason,
        "agent": birth.agent,
        "m": birth.metrics,
    }
    return deflate(dump(document))


def decode_birth(payload: bytes) -> Birth:
    """Turn a payload into a Birth. Raises WireError only."""
    document = load(payload)
    return Birth(
        boot=integer(document, "boot", low=1),
        t_ms=integer(document, "t"),
        type=text(document, "type", default=""),
        model=text(document, "model", default=""),
        hardware=text(document, "hardware", default=""),
        firmware=text(document, "firmware", default=""),
        config_version=integer(document, "config", default=0),
        reboot_reason=text(document, "reboot_reason", default=""),
        agent=text(document, "agent", default=""),
        metrics=_texts(document, "m", names=True),
    )


def encode_death(death: Death) -> bytes:
    """The payload of a death; the will is `encode_death(Death(boot=...))`, fixed when connecting."""
    document: Json = {"v": 1, "boot": death.boot}
    return dump(document | ({"clean": 1} if death.clean else {}))


def decode_death(payload: bytes) -> Death:
    """Turn a payload into a Death. Raises WireError only."""
    document = load(payload)
    return Death(boot=integer(document, "boot", low=1), clean=integer(document, "clean", default=0) == 1)


def ranges_of(keys: Iterable[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """The fewest (boot, first, last) ranges that hold exactly these (boot, seq) keys, ascending."""
    ranges: list[tuple[int, int, int]] = []
    for boot, seq in sorted(set(keys)):
        if ranges and ranges[-1][0] == boot and ranges[-1][2] == seq - 1:
            ranges[-1] = (boot, ranges[-1][1], seq)
        else:
            ranges.append((boot, seq, seq))
    return ranges


def encode_stored(ranges: Ranges) -> bytes:
    """The payload of a `stored` mark; see `ranges_of`."""
    return b'{"v":1,"r":[%s]}' % b",".join([b"[%d,%d,%d]" % one for one in ranges])


def decode_stored(payload: bytes) -> list[tuple[int, int, int]]:
    """The ranges of a `stored` mark. Raises WireError only."""
    found = load(payload).get("r")
    if not isinstance(found, list) or len(found) > MAX_RANGES:
        raise WireError("bad_field", f"r: expected at most {MAX_RANGES} ranges")
    return [_range(one) for one in found]


def _range(one: object) -> tuple[int, int, int]:
    match one:
        case [int() as boot, int() as first, int() as last] if boot >= 1 and 0 <= first <= last:
            return int(boot), int(first), int(last)
        case _:
            raise WireError("bad_field", "r: expected [boot, first seq, last seq]")


def encode_desired(desired: Desired) -> bytes:
    """The payload of the desired configuration; published retained."""
    return dump({"v": 1, "config": desired.version, "settings": desired.settings})


def decode_desired(payload: bytes) -> Desired:
    """Turn a payload into a Desired. Raises WireError only; the settings are checked by who applies them."""
    document = load(payload)
    return Desired(version=integer(document, "config"), settings=mapping(document, "settings", default={}))


def encode_reported(reported: Reported) -> bytes:
    """The payload of the reported configuration; published retained."""
    document: Json = {"v": 1, "config": reported.version, "settings": reported.settings}
    return deflate(dump(document | ({"refused": reported.refused} if reported.refused else {})))


def decode_reported(payload: bytes) -> Reported:
    """Turn a payload into a Reported. Raises WireError only."""
    document = load(payload)
    return Reported(
        version=integer(document, "config"),
        settings=mapping(document, "settings", default={}),
        refused=_texts(document, "refused"),
    )


def _texts(document: Json, key: str, *, names: bool = False) -> dict[str, str]:
    found = mapping(document, key, default={})
    if len(found) > 1_000 or (names and not all(NAME.fullmatch(name) for name in found)):
        raise WireError("bad_field", f"{key}: expected at most 1000 texts by name")
    return {name: text(found, name) for name in found}
