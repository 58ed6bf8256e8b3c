"""What is asked of a device from afar: commands and their answers, desired settings beside reported ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from gateway.errors import Refused
from gateway.ledger.database import Record
from gateway.services.downlink import LIFE_MS, Order
from gateway.web import words
from gateway.web.deps import Downlink, WebDeps

BUILT_IN = {"ping": "Ping", "diagnostics": "Diagnostics"}
TITLES = {
    "sample_every": "Samples every", "flush_every": "Sends every", "log_level": "Log lines from",
    "log_lines_per_minute": "Log lines a minute", "sensors": "Sensors",
}  # fmt: skip
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}  # as the agent reads durations
LONGEST_S = 86_400.0
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d)", re.ASCII)
REFUSALS = {
    "unknown_command": "The device has no hook of that name.",
    "busy": "Another hook still runs on the device.",
    "repeated": "The device had carried it out before.",
    "disk_error": "The device's disk takes nothing more, so it could not note the command.",
    "bad_field": "The device could not read the command.",
}
FAILURES = {
    "timed_out": "The program did not end in time and was killed.",
    "not_started": "The program could not be started.",
}

CommandName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")]
OrderState: TypeAlias = Literal["waiting", "started", "done", "failed", "refused", "no_answer"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]
Sensor: TypeAlias = Literal["cpu", "memory", "disk", "temperature", "network", "wifi", "battery", "system", "agent"]


def _at_least(low_s: float) -> AfterValidator:
    def check(text: str) -> str:
        found = _DURATION.fullmatch(text)
        if not found or not low_s <= float(found[1]) * SECONDS[found[2]] <= LONGEST_S:
            raise ValueError(f"write a time such as 10s, 5m or 1h, from {low_s:g} s to a day")
        return text

    return AfterValidator(check)


class DesiredSettings(BaseModel):
    """The settings wanted of an agent; what is left out stays as the device's own file says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sample_every: Annotated[str, _at_least(0.1)] | None = Field(None, description="Between readings, as `10s`.")
    flush_every: Annotated[str, _at_least(1)] | None = Field(None, description="Between batches, as `60s`.")
    log_level: LogLevel | None = Field(None, description="Least severity of log lines that are sent.")
    log_lines_per_minute: int | None = Field(None, ge=1, le=100_000, description="Most lines of one source a minute.")
    sensors: tuple[Sensor, ...] | None = Field(None, description="Host sensors to read.")

    def as_wire(self) -> dict[str, object]:
        """As it goes to the device."""
        return self.model_dump(mode="json", exclude_none=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting: what is wanted, what the device says it has, why it refused; "" where nothing is known."""

    key: str
    wanted: str
    reported: str
    refused: str

    @property
    def title(self) -> str:
        """For people."""
        return TITLES.get(self.key, self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Desired and reported settings of one device."""

    wanted: Mapping[str, object]
    reported: Mapping[str, object]
    version: int  # of the desired settings; 0: none were ever wanted
    reported_version: int | None  # None: the device has reported nothing
    rows: tuple[Setting, ...]

    @property
    def state(self) -> Literal["own", "waiting", "refused", "applied", "unknown"]:
        """`own`: nothing is wanted; `waiting`: the device has not answered the newest; `unknown`: it never reports."""
        if self.version == 0:
            return "unknown" if self.reported_version is None else "own"
        if (self.reported_version or 0) < self.version:
            return "waiting"
        return "refused" if any(row.refused for row in self.rows) else "applied"


def settings_of(device: Record) -> Settings:
    """From a device's ledger row."""
    desired, reported = _table(device.desired), _table(device.reported)
    wanted, held, refused = (
        _table(t) for t in (desired.get("settings"), reported.get("settings"), reported.get("refused"))
    )
    keys = list(dict.fromkeys([*TITLES, *wanted, *refused]))
    return Settings(
        wanted=wanted,
        reported=held,
        version=int(desired.get("version", 0)),
        reported_version=int(reported["version"]) if "version" in reported else None,
        rows=tuple(
            Setting(
                key=key, wanted=_text(wanted.get(key)), reported=_text(held.get(key)), refused=str(refused.get(key, ""))
            )
            for key in keys
            if key in wanted or key in held or key in refused
        ),
    )


def downlink(deps: WebDeps) -> Downlink:
    """The way to devices. Raises Refused (`no_downlink`) for a console without a gateway behind it."""
    if deps.downlink is None:
        raise Refused("no_downlink", "this console is not joined to a gateway that reaches devices")
    return deps.downlink


def state_of(order: Order, now_ms: int) -> OrderState:
    """How far a command has come."""
    if order.answered_ms is None:
        return "no_answer" if now_ms > order.sent_ms + LIFE_MS else "waiting"
    if order.code == "started":
        return "started"
    if order.ok:
        return "done"
    return "refused" if order.code in REFUSALS else "failed"


def told(order: Order, now_ms: int) -> str:
    """A sentence on how a command fared; "" where its state says it all."""
    match state_of(order, now_ms):
        case "waiting":
            return "The command waits up to five minutes for the device."
        case "no_answer":
            return "The device was away, or does not run our agent. The command is void; send it again."
        case "refused":
            return REFUSALS[order.code]
        case "failed":
            return FAILURES.get(order.code, f"It ended with {order.code.replace('_', ' ')}.")
        case _:
            return ""


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    """A setting for people; durations in the unit that fits, so that `1m` and `60s` read alike."""
    if value is None:
        return ""
    if isinstance(value, str) and (found := _DURATION.fullmatch(value)):
        seconds = float(found[1]) * SECONDS[found[2]]
        return words.amount(seconds, "setting_s") if seconds <= LONGEST_S else "when asked"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return ", ".join(str(one) for one in value) if isinstance(value, list | tuple) else str(value)
