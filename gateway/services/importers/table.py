"""Reading foreign tables and writing those of a recorded fleet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from gateway.errors import ConfigError

Table: TypeAlias = Any  # pyarrow.Table, which has no types
Tables: TypeAlias = Mapping[str, Mapping[str, Any]]  # stem of the file, column, pyarrow array


def read_csv(path: Path, *, text: tuple[str, ...] = ()) -> Table:
    """A CSV file, gzipped or not; `text` columns stay text, the rest is inferred.

    Raises:
        ConfigError: `import_source`, where it is missing or broken.
    """
    options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(text, pa.string()))
    try:
        return pyarrow.csv.read_csv(path, convert_options=options)
    except (OSError, pa.ArrowInvalid) as exc:
        raise ConfigError("import_source", f"{path}: {exc}") from exc


def write_fleet(
    target: Path, about: Mapping[str, object], tables: Mapping[str, Mapping[str, Any]], *, csv: bool
) -> None:
    """Write a recorded fleet: fleet.json and one file for each table, Parquet or CSV.

    Raises:
        ConfigError: `import_target`, where the folder cannot be written.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        (target / "fleet.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")
        for stem, columns in tables.items():
            table = pa.table(dict(columns))
            if csv:
                with pa.output_stream(str(target / f"{stem}.csv.gz"), compression="gzip") as stream:
                    pyarrow.csv.write_csv(table, stream)
            else:
                pyarrow.parquet.write_table(table, target / f"{stem}.parquet", compression="zstd")
    except OSError as exc:
        raise ConfigError("import_target", f"{target}: {exc}") from exc
