"""Backblaze Drive Stats, as the change log `hds` of the R package dynamichazard, as a recorded fleet.

Source: devices, events and failures as CSV: `time` in hours since 2013-04-10, a row only where a SMART value changed.
Data: Backblaze, free for any use when Backblaze is named as the source and the data are not sold.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway.services.importers.table import Table, read_csv, write_fleet

START_MS = 1_365_552_000_000  # 2013-04-10 00:00 UTC
HOUR_MS = 3_600_000

METRICS = {
    "smart_9": "disk_power_on_hours",
    "smart_5": "disk_reallocated_sectors",
    "smart_10": "disk_spin_retries_total",
    "smart_12": "disk_power_cycles_total",
    "smart_187": "disk_uncorrectable_errors_total",
    "smart_188": "disk_command_timeouts_total",
    "smart_189": "disk_high_fly_writes_total",
    "smart_196": "disk_reallocations_total",
    "smart_197": "disk_pending_sectors",
    "smart_198": "disk_offline_uncorrectable_sectors",
}
"""Our name of each SMART attribute's raw value (ATA/ATAPI names)."""

ABOUT = {
    "name": "Backblaze disks",
    "source": "Backblaze Drive Stats 2013-04-10 to 2016-09-30. Data: Backblaze (https://www.backblaze.com/)",
    "licence": "free for any use when Backblaze is named as the source and the data are not sold",
    "window_ms": 86_400_000,
    "change_rows": True,
}


def convert(source: Path, target: Path, *, only: Collection[str] | None = None, csv: bool = False) -> int:
    """Write the recorded fleet of the disks in `source` to `target`; how many disks there are.

    Args:
        source: folder with devices.csv.gz, events.csv.gz and failures.csv.gz.
        target: folder to write.
        only: serial numbers to take; all where None.
        csv: write CSV rather than Parquet.

    Raises:
        ConfigError: `import_source`, `import_target`.
    """
    devices, events, failures = (
        _chosen(read_csv(source / f"{stem}.csv.gz", text=("device",)), only)
        for stem in ("devices", "events", "failures")
    )
    metrics = {ours: events[theirs].cast(pa.float64()) for theirs, ours in METRICS.items()}
    disks = len(devices)
    tables = {
        "registry": {
            "device": devices["device"],
            "type": pa.array(["disk"] * disks, pa.string()),
            "model": devices["model"],
        },
        "telemetry": {"device": events["device"], "t_ms": _t_ms(events), **metrics},
        "failures": {
            "device": failures["device"],
            "t_ms": _t_ms(failures),
            "component": pa.array(["disk"] * len(failures), pa.string()),
        },
    }
    if (source / "exposure.csv.gz").is_file():
        served = _chosen(read_csv(source / "exposure.csv.gz", text=("device",)), only)
        tables["departures"] = _departures(served, failures)
    write_fleet(target, ABOUT, tables, csv=csv)
    return disks


def _departures(served: Table, failures: Table) -> dict[str, Any]:
    """Disks that were last seen before the record ends, and did not fail."""
    last = served.group_by("device").aggregate([("end", "max")])
    early = pc.less(last["end_max"], pc.max(served["end"]))
    failed = pc.is_in(last["device"], value_set=failures["device"].combine_chunks())
    left = last.filter(pc.and_(early, pc.invert(failed)))
    return {"device": left["device"], "t_ms": _t_ms(left.rename_columns(["device", "time"]))}


def _chosen(table: Table, only: Collection[str] | None) -> Table:
    if only is None:
        return table
    return table.filter(pc.is_in(table["device"], value_set=pa.array(sorted(only), pa.string())))


def _t_ms(table: Table) -> pa.Array:
    hours = np.asarray(table["time"].to_numpy(), np.int64)
    return pa.array(START_MS + hours * HOUR_MS)
