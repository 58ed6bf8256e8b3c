"""The tables of a recorded fleet, read as the gateway's own columns; see `recording` for the folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from gateway.errors import ConfigError
from gateway.model import SEVERITIES, Birth, CustomerId, Device, DeviceId, Floats, Integers, LogLines, Roster

Table: TypeAlias = Any  # pyarrow.Table, which has no types

SUFFIXES = (".csv", ".csv.gz", ".parquet")
TEXT = (
    "device",
    "metric",
    "severity",
    "source",
    "text",
    "component",
    "type",
    "model",
    "hardware",
    "firmware",
    "reboot_reason",
)
PLACE = ("customer", "zone", "site")


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasions:
    """Things that happened to devices and their parts, by time; all columns have shape (rows,)."""

    device: Integers  # device numbers
    t_ms: Integers
    component: tuple[str, ...]  # "" where the record names none

    def __len__(self) -> int:
        return len(self.component)


def registry(folder: Path) -> Roster:
    """The devices of a recording. Raises ConfigError `recording_malformed`."""
    tables = _tables(folder, "registry")
    if not tables:
        raise ConfigError("recording_malformed", f"{folder} has no registry table")
    table = tables[0]
    _need(table, folder / "registry", ("device", "type"))
    known = ("device", "type", "model", "hardware", "firmware", *PLACE)
    columns = {name: table[name].to_pylist() for name in known if name in table.column_names}
    roster = Roster()
    for number, device_id in enumerate(columns["device"]):
        row = {name: str(columns[name][number] or "") for name in columns}
        device = Device(
            device_id=DeviceId(device_id), number=number, type=row["type"], model=row.get("model", ""),
            hardware=row.get("hardware", ""), firmware=row.get("firmware", ""), zone=row.get("zone") or "UTC",
            site=row.get("site", ""),
        )  # fmt: skip
        if row.get("customer"):
            device = replace(device, customer_id=CustomerId(row["customer"]))
        try:
            roster.put_device(device)
        except ValueError as exc:
            raise ConfigError("recording_malformed", f"registry: {exc}") from exc
    return roster


def samples(folder: Path, roster: Roster) -> tuple[Integers, Integers, Floats]:
    """(series, t_ms, value) of all telemetry tables, in no order; new series are entered into the roster."""
    series: list[Integers] = []
    times: list[Integers] = []
    values: list[Floats] = []
    for table in _tables(folder, "telemetry"):
        _need(table, folder / "telemetry", ("device", "t_ms"))
        device = _devices(table, roster)
        t_ms = _integers(table["t_ms"])
        if {"metric", "value"} <= set(table.column_names):
            coded = table["metric"].combine_chunks().dictionary_encode()
            number = np.array([roster.metric(name) for name in coded.dictionary.to_pylist()], np.int64)
            pieces = [(device, t_ms, number[coded.indices.to_numpy()], _floats(table["value"]))]
        else:
            names = [name for name in table.column_names if name not in {"device", "t_ms"}]
            pieces = [(device, t_ms, np.full(t_ms.size, roster.metric(n)), _floats(table[n])) for n in names]
        for of, at, metric, value in pieces:
            there = np.isfinite(value)
            series.append(_series(roster, of[there], metric[there]))
            times.append(at[there])
            values.append(value[there])
    none = np.empty(0, np.int64)
    return np.concatenate([none, *series]), np.concatenate([none, *times]), np.concatenate([np.empty(0), *values])


def _series(roster: Roster, device: Integers, metric: Integers) -> Integers:
    pairs, place = np.unique(device * len(roster.metrics) + metric, return_inverse=True)
    made = [roster.series(*divmod(pair, len(roster.metrics))) for pair in pairs.tolist()]
    return np.asarray(made, np.int64)[place]


def log_lines(folder: Path, roster: Roster) -> LogLines:
    """All log lines by time, then device; the stable order keeps lines of one moment as they were written."""
    tables = _tables(folder, "logs")
    if not tables:
        return LogLines.none()
    for table in tables:
        _need(table, folder / "logs", ("device", "t_ms", "text"))
    device = np.concatenate([_devices(table, roster) for table in tables])
    t_ms = np.concatenate([_integers(table["t_ms"]) for table in tables])
    text, source, severity = (
        [str(row or "") for table in tables for row in _column(table, name)] for name in ("text", "source", "severity")
    )
    level = {name: place for place, name in enumerate(SEVERITIES)}
    order = np.lexsort((device, t_ms))
    return LogLines(
        device=device[order],
        t_ms=t_ms[order],
        severity=np.array([level.get(severity[i], level["info"]) for i in order], np.int8),
        source=tuple(source[i] for i in order),
        text=tuple(text[i] for i in order),
    )


def cut(logs: LogLines, first: int, end: int) -> LogLines:
    """Some lines of a recording as a block wants them: by device, then time."""
    order = first + np.lexsort((logs.t_ms[first:end], logs.device[first:end]))
    return LogLines(
        device=logs.device[order],
        t_ms=logs.t_ms[order],
        severity=logs.severity[order],
        source=tuple(logs.source[i] for i in order),
        text=tuple(logs.text[i] for i in order),
    )


def occasions(folder: Path, stem: str, roster: Roster) -> Occasions:
    """What one table of occasions tells; nothing where there is none."""
    tables = _tables(folder, stem)
    if not tables:
        return Occasions(device=np.empty(0, np.int64), t_ms=np.empty(0, np.int64), component=())
    table = tables[0]
    _need(table, folder / stem, ("device", "t_ms"))
    device, t_ms = _devices(table, roster), _integers(table["t_ms"])
    component = [str(row or "") for row in _column(table, "component")]
    order = np.lexsort((np.array(component), device, t_ms))
    return Occasions(device=device[order], t_ms=t_ms[order], component=tuple(component[i] for i in order))


def births(folder: Path, roster: Roster) -> list[Birth]:
    """What devices said of themselves when they started, by time; a cell that is empty leaves what is known."""
    found = []
    for table in _tables(folder, "births"):
        _need(table, folder / "births", ("device", "t_ms", "boot"))
        firmware, reason = _column(table, "firmware"), _column(table, "reboot_reason")
        rows = zip(_devices(table, roster), _integers(table["t_ms"]), _integers(table["boot"]), strict=True)
        for at, (number, t_ms, boot) in enumerate(rows):
            device = roster.devices[int(number)]
            found.append(
                Birth(
                    device_id=device.device_id, boot=int(boot), t_ms=int(t_ms), type=device.type, model=device.model,
                    hardware=device.hardware, firmware=str(firmware[at] or device.firmware),
                    reboot_reason=str(reason[at] or ""),
                )
            )  # fmt: skip
    return sorted(found, key=lambda birth: (birth.t_ms, birth.device_id))


def _tables(folder: Path, stem: str) -> list[Table]:
    """All tables whose file name begins with `stem`, by file name."""
    return [_read(path) for path in sorted(folder.glob(f"{stem}*")) if path.name.endswith(SUFFIXES)]


def _read(path: Path) -> Table:
    """One table: texts as text, times as integers, all else as floats.

    Raises:
        ConfigError: `recording_malformed`, with the file and what is wrong.
    """
    try:
        if path.suffix == ".parquet":
            return pyarrow.parquet.read_table(path)
        with pa.input_stream(str(path), compression="detect") as stream:
            head = bytes(stream.read(65_536)).split(b"\n", 1)[0].decode("utf-8").strip()
        names = [name.strip().strip('"') for name in head.split(",")]
        kinds = {name: pa.string() if name in {*TEXT, *PLACE} else pa.float64() for name in names}
        kinds["t_ms"] = pa.int64()
        options = pyarrow.csv.ConvertOptions(column_types=kinds, strings_can_be_null=False)
        parsing = pyarrow.csv.ParseOptions(newlines_in_values=True)
        return pyarrow.csv.read_csv(path, convert_options=options, parse_options=parsing)
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as exc:
        raise ConfigError("recording_malformed", f"{path}: {exc}") from exc


def _need(table: Table, path: Path, names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise ConfigError("recording_malformed", f"{path} lacks {', '.join(missing)}; it has {table.column_names}")


def _devices(table: Table, roster: Roster) -> Integers:
    """(rows,) device numbers."""
    ids = pa.array([device.device_id for device in roster.devices], pa.string())
    place = pc.index_in(table["device"].cast(pa.string()).combine_chunks(), value_set=ids)
    if place.null_count:
        unknown = table["device"].filter(place.is_null())[0]
        raise ConfigError("recording_malformed", f"device {unknown} is in no registry row")
    return np.asarray(place.to_numpy(), np.int64)


def _integers(column: Any) -> Integers:
    return np.asarray(column.cast(pa.int64()).to_numpy(), np.int64)


def _floats(column: Any) -> Floats:
    values: NDArray[np.float64] = np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
    return values


def _column(table: Table, name: str) -> list[Any]:
    found: list[Any] = table[name].to_pylist() if name in table.column_names else [""] * table.num_rows
    return found
