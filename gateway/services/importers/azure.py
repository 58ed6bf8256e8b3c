"""Microsoft's Azure Predictive Maintenance sample (100 machines, 2015) as a recorded fleet.

Source: machines, telemetry, errors, maint and failures as CSV with ISO times, taken as UTC. The sample states no
licence: convert it for yourself, publish nothing of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway.services.importers.table import Table, read_csv, write_fleet

METRICS = {
    "volt": "machine_volts",
    "rotate": "machine_rotation_rpm",
    "pressure": "machine_pressure",
    "vibration": "machine_vibration",
}

ABOUT = {
    "name": "Azure predictive maintenance",
    "source": "Microsoft Azure AI sample data, Predictive Maintenance (simulated)",
    "licence": "none stated: not to be passed on",
    "window_ms": 3_600_000,
    "change_rows": False,
    "risk_horizon_ms": 259_200_000,  # three days: half of the machines fail within a month
}


def convert(source: Path, target: Path) -> int:
    """Write the recorded fleet of the machines in `source` to `target`; how many machines there are.

    The age of a machine becomes a metric, reported once: the registry has no such field. Error codes become log lines.

    Raises:
        ConfigError: `import_source`, `import_target`.
    """
    machines, errors, maint, failures = (
        read_csv(source / f"{stem}.csv.gz", text=("device", "model", "error", "component"))
        for stem in ("machines", "errors", "maint", "failures")
    )
    tables: dict[str, dict[str, Any]] = {
        "registry": {"device": machines["device"], "type": _same("machine", machines), "model": machines["model"]},
        "telemetry_age": {
            "device": machines["device"],
            "t_ms": pa.array(np.full(len(machines), _t_ms(errors).to_numpy().min())),
            "machine_age_years": machines["age"].cast(pa.float64()),
        },
        "logs": {
            "device": errors["device"],
            "t_ms": _t_ms(errors),
            "severity": _same("error", errors),
            "source": _same("controller", errors),
            "text": errors["error"],
        },
        "service": _parts(maint),
        "failures": _parts(failures),
    }
    if (source / "telemetry.csv.gz").is_file():
        telemetry = read_csv(source / "telemetry.csv.gz", text=("device",))
        metrics = {ours: telemetry[theirs].cast(pa.float64()) for theirs, ours in METRICS.items()}
        tables["telemetry"] = {"device": telemetry["device"], "t_ms": _t_ms(telemetry), **metrics}
    write_fleet(target, ABOUT, tables, csv=False)
    return len(machines)


def _parts(table: Table) -> dict[str, Any]:
    return {"device": table["device"], "t_ms": _t_ms(table), "component": table["component"]}


def _same(text: str, table: Table) -> pa.Array:
    return pa.array([text] * len(table), pa.string())


def _t_ms(table: Table) -> pa.Array:
    return pc.cast(pc.cast(table["time"], pa.timestamp("ms")), pa.int64()).combine_chunks()
