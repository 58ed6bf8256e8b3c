"""The agent's settings: one TOML file, read once into frozen values; unknown keys are errors.

`reference()` writes the table in docs/agent.md, and a test holds the two together.
"""
# ruff: noqa: RUF009  # `setting` makes a field, as `field` does

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from edge import parse

SENSORS = ("cpu", "memory", "disk", "temperature", "network", "wifi", "battery", "system", "agent")


class ConfigError(Exception):
    """The settings cannot be used; the message names the key, the value's fault and the way out."""


def setting(parser: parse.Parser, default: object = MISSING, *, doc: str, hidden: bool = False) -> Any:
    """A field of a settings class: how its TOML value is read, its TOML default, and a sentence; secrets are hidden."""
    metadata = {"parse": parser, "toml": default, "doc": doc}
    if default is MISSING:
        return field(metadata=metadata)
    return field(default_factory=lambda: parser(default), metadata=metadata, repr=not hidden)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Who this device is."""

    id: str = setting(parse.device_id, doc="The id the gateway gave: 1 to 64 letters, digits, `_` or `-`.")
    type: str = setting(parse.text, "", doc="Product type, as `smart_lock`; chooses rules.")
    model: str = setting(parse.text, "", doc="Model name.")
    hardware: str = setting(parse.text, "", doc="Hardware revision.")
    firmware: str = setting(parse.text, "", doc="Firmware version.")
    firmware_file: Path | None = setting(
        parse.path, "", doc="A file whose first line is the firmware version; wins over `firmware`."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """The MQTT link to the gateway's broker."""

    host: str = setting(parse.text, doc="Name or address of the broker.")
    port: int = setting(parse.whole(1, 65535), 8883, doc="TCP port of its MQTT listener.")
    username: str = setting(parse.text, "", doc="MQTT user; empty: the device id.")
    password: str = setting(parse.text, "", doc="Its password; keep this file to the agent.", hidden=True)
    password_file: Path | None = setting(parse.path, "", doc="A file holding the password; wins over `password`.")
    tls: bool = setting(parse.flag, True, doc="Use TLS. Without it anyone on the way can read and forge.")
    ca_file: Path | None = setting(parse.path, "", doc="Certificates to trust; empty: those of the system.")
    ca_pem: str = setting(parse.text, "", doc="The same as PEM text within this file.")
    cert_file: Path | None = setting(parse.path, "", doc="The device's own certificate, where the broker asks for one.")
    key_file: Path | None = setting(parse.path, "", doc="The key of `cert_file`.")
    keepalive: float = setting(parse.duration(5, 3600), "60s", doc="A silent link is found dead within twice this.")
    retry_first: float = setting(parse.duration(0.1, 600), "2s", doc="Longest wait before the first new try.")
    retry_longest: float = setting(parse.duration(1, 86400), "5m", doc="Longest wait between tries; waits are random.")
    window: int = setting(parse.whole(1, 1000), 32, doc="Most batches sent and not yet marked `stored`.")
    mark_timeout: float = setting(parse.duration(1, 86400), "60s", doc="A batch is sent again if unmarked for so long.")


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferSettings:
    """The disk buffer."""

    folder: Path = setting(parse.folder, "/var/lib/beforehand", doc="Where batches and the agent's state rest.")
    size: int = setting(parse.size, "32MiB", doc="Most bytes of batches kept while offline.")
    sync: str = setting(
        parse.choice("always", "alarms", "never"), "always", doc="Which batches are synced to the disk at once."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Collect:
    """What is collected, and how often. The gateway's desired configuration may change all of this but the last two."""

    sample_every: float = setting(parse.duration(0.1, 86400), "10s", doc="Time between two readings.")
    flush_every: float = setting(parse.duration(1, 86400), "60s", doc="Time between two batches.")
    sensors: tuple[str, ...] = setting(parse.choices(*SENSORS), list(SENSORS), doc="Host sensors to read.")
    log_level: int = setting(parse.severity, "info", doc="Least severity of log lines that are sent.")
    log_lines_per_minute: int = setting(parse.whole(1, 100_000), 60, doc="Most lines of one source in a minute.")
    disk: Path = setting(parse.folder, "/", doc="A path on the file system whose space is watched.")
    redact: tuple[re.Pattern[str], ...] = setting(
        parse.patterns, [], doc="Regular expressions of further personal data to take out of log lines."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """The local Unix datagram socket through which firmware pushes metrics and events."""

    path: Path | None = setting(parse.path, "", doc="Its path, as `/run/beforehand/agent.sock`; empty: none.")
    mode: int = setting(parse.whole(0, 0o777), 0o660, doc="Its permissions (TOML writes octal as `0o660`).")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """A log file to follow; any number of `[[log]]` tables."""

    path: Path = setting(parse.folder, doc="The file; it may be missing, rotated or truncated.")
    source: str = setting(parse.text, "", doc="Name of the source; empty: the file's name without its ending.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecSensor:
    """A program to run; each line it prints is a line of the socket's protocol. Any number of `[[exec]]` tables."""

    name: str = setting(parse.text, doc="Name of the sensor, for messages.")
    argv: tuple[str, ...] = setting(parse.argv, doc="Program and arguments; no shell.")
    every: float = setting(parse.duration(1, 86400), "60s", doc="Time between two runs.")
    timeout: float = setting(parse.duration(0.1, 3600), "10s", doc="The program is killed after so long.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSensor:
    """A file that holds one number, as many in /sys do. Any number of `[[file]]` tables."""

    metric: str = setting(parse.metric, doc="The metric it becomes.")
    path: Path = setting(parse.folder, doc="The file.")
    scale: float = setting(parse.number, 1.0, doc="The number is multiplied by this (0.001: millidegrees to degrees).")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSettings:
    """Commands from the gateway."""

    key: bytes = setting(
        parse.secret, "", doc="Key that signs commands, in hex; none: every command is refused.", hidden=True
    )
    key_file: Path | None = setting(parse.path, "", doc="A file holding it; wins over `key`.")
    timeout: float = setting(parse.duration(1, 3600), "60s", doc="A hook is killed after so long.")
    hooks: dict[str, tuple[str, ...]] = setting(
        parse.hooks, {}, doc='Programs behind commands, as `reboot = ["/sbin/reboot"]` or `selftest = [...]`.'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of it."""

    device: Device
    link: LinkSettings
    buffer: BufferSettings = field(default_factory=BufferSettings)
    collect: Collect = field(default_factory=Collect)
    socket: Socket = field(default_factory=Socket)
    command: CommandSettings = field(default_factory=CommandSettings)
    log: tuple[LogFile, ...] = ()
    exec: tuple[ExecSensor, ...] = ()
    file: tuple[FileSensor, ...] = ()


TABLES: dict[str, type[Any]] = {
    "device": Device,
    "link": LinkSettings,
    "buffer": BufferSettings,
    "collect": Collect,
    "socket": Socket,
    "command": CommandSettings,
}
LISTS: dict[str, type[Any]] = {"log": LogFile, "exec": ExecSensor, "file": FileSensor}

S = TypeVar("S")


def read_table(kind: type[S], table: object, name: str) -> S:
    """The settings of one TOML table.

    Raises:
        ConfigError: a key is unknown, missing, or not what it should be.
    """
    if not isinstance(table, Mapping):
        raise ConfigError(f"[{name}]: expected a table")
    known: dict[str, Field[Any]] = {one.name: one for one in fields(kind)}  # type: ignore[arg-type]  # settings classes
    if unknown := sorted(set(table) - set(known)):
        raise ConfigError(f"{name}.{unknown[0]}: unknown; known are {', '.join(known)}")
    if missing := [key for key, one in known.items() if one.metadata["toml"] is MISSING and key not in table]:
        raise ConfigError(f"{name}.{missing[0]}: missing")
    return kind(**{key: _value(known[key], value, f"{name}.{key}") for key, value in table.items()})


def _value(one: Field[Any], value: object, name: str) -> object:
    try:
        return one.metadata["parse"](value)
    except ValueError as exc:
        shown = f"{str(value)[:60]!r}: " if one.repr else ""
        raise ConfigError(f"{name}: {shown}{exc}") from None


def read_settings(text: str) -> Settings:
    """The settings in a TOML text; secrets that are in files are read.

    Raises:
        ConfigError: with the key and what was expected.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"not TOML: {exc}") from None
    if unknown := sorted(set(document) - set(TABLES) - set(LISTS)):
        raise ConfigError(f"[{unknown[0]}]: unknown; known are {', '.join([*TABLES, *LISTS])}")
    found: dict[str, Any] = {name: read_table(kind, document.get(name, {}), name) for name, kind in TABLES.items()}
    for name, kind in LISTS.items():
        tables = document.get(name, [])
        if not isinstance(tables, list):
            raise ConfigError(f"[[{name}]]: expected a list of tables, with double brackets")
        found[name] = tuple(read_table(kind, table, name) for table in tables)
    return _with_files(Settings(**found))


def _with_files(settings: Settings) -> Settings:
    device, link, command = settings.device, settings.link, settings.command
    if device.firmware_file is not None:
        device = replace(device, firmware=_first_line(device.firmware_file, "device.firmware_file"))
    if link.password_file is not None:
        link = replace(link, password=_first_line(link.password_file, "link.password_file"))
    if not link.username:
        link = replace(link, username=device.id)
    if command.key_file is not None:
        line = _first_line(command.key_file, "command.key_file")
        command = replace(command, key=read_table(CommandSettings, {"key": line}, "command").key)
    return replace(settings, device=device, link=link, command=command)


def _first_line(path: Path, name: str) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline().strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{name}: {exc}") from None


def reference() -> str:
    """Every setting as Markdown: one table a section, with default and meaning."""
    parts = []
    for name, kind in [*TABLES.items(), *LISTS.items()]:
        title = f"[[{name}]]" if name in LISTS else f"[{name}]"
        doc = " ".join((kind.__doc__ or "").split())
        rows = [f"| `{one.name}` | {_default(one)} | {one.metadata['doc']} |" for one in fields(kind)]
        parts.append("\n".join([f"### `{title}`", "", doc, "", "| Key | Default | Meaning |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _default(one: Field[Any]) -> str:
    match one.metadata["toml"]:
        case default if default is MISSING:
            return "required"
        case bool() as default:
            return f"`{str(default).lower()}`"
        case int() as default if one.name == "mode":
            return f"`{default:#o}`"
        case str() as default:
            return f'`"{default}"`'
        case list() as default:
            return "`[" + ", ".join(f'"{each}"' for each in default) + "]`"
        case default:
            return f"`{default}`"
