"""A simulated fleet as a recorded one: the folder that `beforehand replay` plays (docs/replay.md)."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from firmware_sim.fleet import Fleet, Telemetry, Truth

REGISTRY: Final = ("device", "type", "model", "hardware", "firmware", "customer", "zone", "site")
BIRTHS: Final = ("device", "t_ms", "boot", "firmware")
TRUTH: Final = ("device", "mode", "onset_ms", "noticed_ms", "failed_ms")


def export(folder: Path, fleet: Fleet, *, step_ms: int = 900_000, window_ms: int = 3_600_000) -> None:
    """Write what the fleet sends in its whole history, and nothing of what is true.

    Args:
        folder: made where it is not there; files in it are replaced.
        fleet: whose history.
        step_ms: between samples.
        window_ms: event time in one window of the replay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about = {"name": f"simulated fleet, seed {fleet.seed}", "source": "firmware_sim", "window_ms": window_ms}
    (folder / "fleet.json").write_text(json.dumps(about, indent=2) + "\n", "utf-8")
    rows = [
        (u.device, u.type, u.model, u.hardware, u.firmware, u.owner.customer, u.zone, u.site) for u in fleet.registry()
    ]
    _write_csv(folder / "registry.csv", REGISTRY, rows)
    names = np.array([unit.device for unit in fleet.registry()])
    writers: dict[str, Any] = {}
    for part in fleet.telemetry(fleet.start_ms, fleet.end_ms, step_ms):
        table = _table(part, names)
        if part.type not in writers:
            writers[part.type] = pa.parquet.ParquetWriter(folder / f"telemetry-{part.type}.parquet", table.schema)
        writers[part.type].write_table(table)
    for writer in writers.values():
        writer.close()
    _write_csv(folder / "births.csv", BIRTHS, _births(fleet))
    lines = fleet.lines(fleet.start_ms, fleet.end_ms)
    logs = pa.table(
        {
            "device": [str(names[line.number]) for line in lines],
            "t_ms": [line.t_ms for line in lines],
            "severity": [line.severity for line in lines],
            "source": [line.source for line in lines],
            "text": [line.text for line in lines],
        }
    )
    pa.parquet.write_table(logs, folder / "logs.parquet")


def _births(fleet: Fleet) -> list[tuple[object, ...]]:
    """Every start within the history, and one at its beginning for those who run already."""
    found: list[tuple[object, ...]] = []
    for number, unit in enumerate(fleet.registry()):
        starts = [int(t) for t in fleet.boots[number] if fleet.start_ms < t < fleet.end_ms]
        found += [
            (unit.device, t_ms, fleet.boot_count(number, t_ms), fleet.firmware_at(number, t_ms))
            for t_ms in (fleet.start_ms, *starts)
        ]
    return found


def write_truth(path: Path, truth: Sequence[Truth]) -> None:
    """Write the ground truth as CSV, apart from what devices send."""
    _write_csv(path, TRUTH, [(t.device, t.mode, t.onset_ms, t.noticed_ms, t.failed_ms) for t in truth])


def _table(part: Telemetry, names: np.ndarray[Any, np.dtype[np.str_]]) -> Any:
    """One chunk in wide form, rows in which a device was silent left out."""
    device = np.repeat(names[part.number], part.t_ms.size)
    columns = {name: values.ravel() for name, values in part.columns.items()}
    sent = ~np.isnan(next(iter(columns.values())))
    wide = {"device": device[sent], "t_ms": np.tile(part.t_ms, part.number.size)[sent]}
    return pa.table(wide | {name: values[sent] for name, values in columns.items()})


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
