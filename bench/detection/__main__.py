"""`python -m bench.detection`: ours beside baseline, published and reach, as a table and as JSON.

Without `--data`, the data are looked for in `$BEFOREHAND_SHARED/data`, else in `../shared/data`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.detection.row import Row
from bench.detection.scorer import shared

PARTS = ("anomaly", "failures", "logs")
SECTIONS = ("failures.disks", "failures.machines", "failures.runs")
PER_1000 = ("s for 1,000 series", "MB kept for 1,000 series")
SAYS = {True: "yes", False: "no", None: ""}


def main() -> int:
    """Run the parts that were asked for, print the table, and write the JSON."""
    options = _parser().parse_args()
    data = Path(options.test or options.data or shared() / "data")
    train = Path(options.train) if options.train else None
    rows: list[Row] = []
    for name in [options.only] if options.only else PARTS:
        part, _, section = name.partition(".")
        try:
            module = importlib.import_module(f"bench.detection.{part}")
        except ModuleNotFoundError as exc:
            if exc.name != f"bench.detection.{part}":
                raise
            continue
        only = {"section": section} if section else {}
        rows += module.run(data, train_root=train, quick=options.quick, **only)
    Console(width=160).print(_table(rows))
    if options.json:
        document = {"commit": _commit(), "quick": options.quick, "rows": {row.key: asdict(row) for row in rows}}
        Path(options.json).write_text(json.dumps(document, indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.detection", description=__doc__)
    parser.add_argument("--only", choices=PARTS + SECTIONS)
    parser.add_argument("--data", help="root of the data")
    parser.add_argument("--train", help="root on which thresholds and models are learned")
    parser.add_argument("--test", help="root to which they are applied")
    parser.add_argument("--quick", action="store_true", help="a small part of everything, under 45 s")
    parser.add_argument("--json", help="file for the figures")
    return parser


def _table(rows: list[Row]) -> Table:
    table = Table("figure", "ours", "baseline", "published", "reach", "reached", "seconds", "MB", *PER_1000)
    for row in rows:
        figures = ("-" if x is None else f"{x:.3g}" for x in (row.ours, row.baseline, row.published, row.reach))
        table.add_row(
            row.figure, *figures, SAYS[row.reached], f"{row.seconds:.1f}", f"{row.memory_mb:.0f}",
            *(f"{x:.2f}" for x in row.per_thousand or ()),
        )  # fmt: skip
    return table


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


if __name__ == "__main__":
    raise SystemExit(main())
