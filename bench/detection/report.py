"""`python -m bench.detection.report`: the measured figures of docs/detection.md, written anew from bench/results.

Between the markers `<!-- NAME: begin -->` and `<!-- NAME: end -->` of the document stand `anomaly`, `failures` and
`logs` (every file of `bench.detection`; of a key that several hold, the row of the newest commit counts), `simulated`
(sim_table.json of `bench.sim_table`), `cost` (detect_cost.json of `bench.detect_cost`) and `disks` (replay_disks.json
of `bench.replay_disks`, with docs/img/replay_disks.png where it is there). With `--check` nothing is
written, and the exit code says whether the document is as fresh as the results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.detection.row import Row
from bench.sim_table import mode_row

ROOT = Path(__file__).parents[2]
RESULTS, DOCUMENT = ROOT / "bench" / "results", ROOT / "docs" / "detection.md"
SAYS = {True: "yes", False: "**no**", None: ""}
DISKS_PICTURE = "img/replay_disks.png"
COSTS = {
    "values_per_s": ("values a second, 100,000 series", "1,000,000"),
    "habit_values_per_s": ("the same with a habit for every device", ""),
    "state_bytes_per_series": ("bytes of state a series", "1,024"),
    "all_bytes_per_series": ("the same with what belongs to devices", ""),
    "habit_bytes_per_series": ("bytes of a habit, for each of its series", ""),
    "train_seconds_10000_devices": ("seconds to train the habits of 10,000 devices", "60"),
    "cohort_seconds_10000_devices": ("seconds for baselines and fleet models of 10,000 devices", "60"),
    "peak_rss_mb": ("MB of memory at 1,000,000 series", ""),
}
WHOLE = 100.0  # from which a figure is shown without decimals
MODE_TITLES = (
    "Fault mode", "Occasions", "Recall", "Before the owner noticed", "Right cause", "Median lead", "Least lead",
)  # fmt: skip


def main() -> int:
    """Write the document, or check it."""
    parser = argparse.ArgumentParser(prog="python -m bench.detection.report", description="Refresh docs/detection.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the document is stale")
    check = parser.parse_args().check
    held = DOCUMENT.read_text("utf-8")
    fresh = refreshed(held, sections(RESULTS))
    if not check:
        DOCUMENT.write_text(fresh, "utf-8")
    return int(check and fresh != held)


def refreshed(text: str, parts: Mapping[str, str]) -> str:
    """The document with every part put between its markers; a part whose markers are not there is left out."""
    for name, part in parts.items():
        head, tail = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        if head in text and tail in text:
            before, _, rest = text.partition(head)
            text = f"{before}{head}\n{part}\n{tail}{rest.partition(tail)[2]}"
    return text


def sections(folder: Path) -> dict[str, str]:
    """Every part by its name, from the results in a folder."""
    files = {path.name: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}
    rows = _newest(files)
    return {
        **{part: _figures(part, rows) for part in ("anomaly", "failures", "logs")},
        "simulated": _simulated(files.get("sim_table.json")),
        "cost": _cost(files.get("detect_cost.json")),
        "disks": _disks(files.get("replay_disks.json")),
    }


def _newest(files: Mapping[str, Any]) -> dict[str, tuple[Row, str]]:
    """Row and commit of every key; of several the one of the newest commit, then of the last file."""
    found: dict[str, tuple[Row, str]] = {}
    held = [document for document in files.values() if "rows" in document and not document.get("quick")]
    for document in sorted(held, key=lambda document: _when(document["commit"])):
        found |= {key: (Row(**row), document["commit"]) for key, row in document["rows"].items()}
    return found


def _when(commit: str) -> int:
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct", commit]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return int(told) if told.isdigit() else 0


def _figures(part: str, rows: Mapping[str, tuple[Row, str]]) -> str:
    mine = [(row, commit) for key, (row, commit) in rows.items() if key.startswith(f"{part}.")]
    if not mine:
        return f"Not measured yet: `python -m bench.detection --only {part} --json bench/results/{part}.json`."
    short = [row.figure for row, _ in mine if row.reached is False]
    commits = ", ".join(sorted({f"`{commit}`" for _, commit in mine}))
    asked = sum(row.reached is not None for row, _ in mine)
    return "\n".join(
        [
            *_table(
                ("Figure", "Ours", "Best simple baseline", "Best published", "To reach", "Reached"),
                [
                    (row.figure, *map(number, (row.ours, row.baseline, row.published, row.reach)), SAYS[row.reached])
                    for row, _ in mine
                ],
            ),
            "",
            f"{asked - len(short)} of {asked} reached. Measured at commit {commits}.",
            *_for_a_thousand(row for row, _ in mine),
        ]
    )


def _for_a_thousand(rows: Iterable[Row]) -> list[str]:
    """What a thousand series cost to judge and keep, over the data sets."""
    costs = {row.per_thousand for row in rows if row.per_thousand}
    if not costs:
        return []
    seconds, kept = ((f"{min(x):.2g} to {max(x):.2g}") for x in zip(*costs, strict=True))
    return [f"By data set, a thousand series took {seconds} s of one core, and {kept} MB are kept of them."]


def _simulated(found: Any) -> str:
    if found is None:
        return "Not measured yet: `python -m bench.sim_table --json bench/results/sim_table.json`."
    modes = [(f"`{name}`", *rest) for name, *rest in map(mode_row, found["modes"])]
    cuts = [
        (
            f"`{cut['least']}`", share(cut["recall"]), share(cut["beforehand_ratio"]),
            f"{cut['false_per_100_device_months']:.2f}",
        )
        for cut in found["cuts"]
    ]  # fmt: skip
    return "\n".join(
        [
            *_table(MODE_TITLES, modes),
            "",
            *_in_all(found),
            "",
            *_table(("Least that becomes a ticket", "Recall", "Before noticed", "False per 100 device-months"), cuts),
        ]
    )


def _in_all(found: Any) -> list[str]:
    causes = ", ".join(f"{cause} {count}" for cause, count in found["false_causes"])
    best, seeds = found["recall_at_one_false"], ", ".join(str(held["seed"]) for held in found["seeds"])
    within = "no cut stays within it" if best is None else f"{share(best)} (cut `{found['cut_at_one_false']}`)"
    return [
        f"Together: {share(found['recall'])} of {found['due']} occasions found, {share(found['beforehand_ratio'])} "
        f"before the owner noticed, median lead {found['median_lead_hours']:.0f} h. {found['false_tickets']} of "
        f"{found['tickets']} tickets were false in {found['device_months']:,.0f} device-months of healthy life: "
        f"{found['false_per_100_device_months']:.2f} per 100" + (f" ({causes})." if causes else _none_seen(found)),
        f"**Recall at one false ticket per 100 device-months: {within}.**",
        f"Fleets of seeds {seeds}, {found['devices']} devices and {found['days']} days each, at commit "
        f"`{found['commit']}`.",
    ]


def _none_seen(found: Any) -> str:
    """What no false ticket at all proves: B. D. Jovanovic and P. S. Levy (1997), A look at the rule of three."""
    return f" (95 % certain: under {300.0 / found['device_months']:.2f})."


def _cost(found: Any) -> str:
    if found is None:
        return "Not measured yet: `python -m bench.detect_cost --json bench/results/detect_cost.json`."
    rows = [(COSTS[name][0], number(float(found[name])), COSTS[name][1]) for name in COSTS if name in found]
    rows += [(f"values a second, {int(size):,} series", f"{speed:,}", "") for size, speed in found["curve"].items()]
    return "\n".join(_table(("One core", "Measured", "To reach"), rows))


def _disks(found: Any) -> str:
    if found is None:
        return "Not measured yet: `python -m bench.replay_disks --data DISKS --played PLAYED`."
    total = found["total"]
    told = (
        f"{total['tickets']:,} tickets over three and a half years, of which {share(total['precision'])} were followed "
        f"by a failure within 30 days; {total['failures_foreseen_a_day_ahead']:,} of {total['failures']:,} failures "
        f"foreseen at least a day ahead, median lead {total['median_lead_days']:.0f} days. Data: Backblaze."
    )
    opened = ", ".join(
        f'"{name}" {row["tickets"]:,.0f} ({share(row["precision"])})' for name, row in found["opened_by"].items()
    )
    rows = [
        (
            str(1 + year), f"{row['tickets']:,}", share(row["precision"]), f"{row['failures']:,}",
            f"{row['failures_foreseen_a_day_ahead']:,}", f"{row['median_lead_days']:.0f} days",
        )
        for year, row in enumerate(found["years"])
    ]  # fmt: skip
    titles = ("Year", "Tickets", "Failed within 30 days", "Failures", "Foreseen a day ahead", "Median lead")
    table = f"By title: {opened}.\n\n" + "\n".join(_table(titles, rows))
    there = (DOCUMENT.parent / DISKS_PICTURE).is_file()
    picture = f"\n\n![Tickets a month, precision and lead time of real disks]({DISKS_PICTURE})" if there else ""
    return f"{told}\n\n{table}{picture}"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    line = [f"| {' | '.join(row)} |" for row in (titles, *rows)]
    return [line[0], "|---" + "|--:" * (len(titles) - 1) + "|", *line[1:]]


def share(ratio: float | None) -> str:
    """A ratio in per cent."""
    return "-" if ratio is None else f"{100 * ratio:.0f} %"


def number(x: float | None) -> str:
    """A figure as the tables show it: three digits, - where there is none."""
    if x is None or x != x:
        return "-"
    return f"{x:,.0f}" if abs(x) >= WHOLE else f"{x:.3g}"


if __name__ == "__main__":
    raise SystemExit(main())
