"""Tickets against the truth on simulated fleets that nobody developed with.

    python -m bench.sim_table [--quick] [--seeds N ...] [--json FILE] [--pictures DIR]

Fleets of three product types (seeds 101, 202 and 303; 300 devices, 90 days each; `--quick`: one of 60 devices, 45 days)
are exported as recordings and played through `gateway.services.replay`, which is the path that live devices take. The
tickets are scored by `firmware_sim.score`, whose words are used here: an occasion is *due*, a ticket is *false*.

The trade-off that the rules allow is how much of what they say becomes a ticket. Cuts run from `urgent` tickets alone
to `low` (the library as it comes) to `recorded` (also what it only records, such as `DeviceUnusual`). Each is scored,
and `recall_at_one_false` is the best recall among those with at most one false ticket per 100 device-months.

Keys of the JSON:

    commit, quick, devices, days      what was run; devices and days of one fleet
    seeds                             `seed` and the keys of `beforehand sim score` but `modes`, of each fleet
    device_months, due, tickets, false_tickets, false_per_100_device_months, false_causes, recall, beforehand_ratio,
    right_cause_ratio, median_lead_hours
                                      of all fleets together, with the library as it comes
    modes                             by fault mode: `mode`, `due`, `found`, `beforehand`, `right_cause`,
                                      `median_lead_hours`, `shortest_lead_hours`, `lead_hours`
    cuts                              by cut: `least` priority, `recall`, `beforehand_ratio`, `false_tickets`,
                                      `false_per_100_device_months`
    recall_at_one_false, cut_at_one_false
                                      the best recall at one false ticket per 100 device-months, and its cut

`--pictures` draws the cases of `bench.pictures` and the lead times of this table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
import structlog
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import firmware_sim
import rules
from firmware_sim import ModeScore, Opened, ScoreReport
from gateway.model import TicketPriority
from gateway.services.recording import open_recording
from gateway.services.replay import replay
from rules.schema import TicketAsked

SEEDS = (101, 202, 303)
DEVICES, DAYS = 300, 90
DAY_MS = 86_400_000
END_MS = 1_780_272_000_000  # 2026-06-01: a seed always means the same fleet
CUTS = (*reversed(get_args(TicketPriority)), "recorded")
SHIPPED = "low"
BUDGET = 1.0  # false tickets per 100 device-months
WARNING = 30  # of the standard library's levels

Cut = str


def main() -> int:
    """Play, score, print, and write what was asked for."""
    options = _parser().parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(WARNING))
    devices, days = (60, 45) if options.quick else (DEVICES, DAYS)
    seeds = options.seeds or SEEDS[: 1 if options.quick else None]
    console = Console(width=120)
    about = {"commit": _commit(), "quick": options.quick, "devices": devices, "days": days}
    reports: dict[int, dict[Cut, ScoreReport]] = {}
    found: dict[str, Any] = {}
    library = rules.load()
    for seed in seeds:
        reports[seed] = scored(seed, devices, days, library, console)
        found = summary(reports) | about
        if options.json:  # after each fleet, since one takes minutes
            Path(options.json).write_text(json.dumps(found, indent=1) + "\n")
    console.print(table(found))
    for line in told(found):
        console.print(line, markup=False, highlight=False)
    if options.pictures:
        from bench import pictures  # noqa: PLC0415  (matplotlib is a development dependency)

        pictures.draw_all(Path(options.pictures), found)
    return 0


def scored(seed: int, devices: int, days: int, library: rules.RuleSet, console: Console) -> dict[Cut, ScoreReport]:
    """One fleet's report at every cut."""
    fleet = firmware_sim.Fleet(seed, devices, start_ms=END_MS - days * DAY_MS, end_ms=END_MS)
    library, recorded = _telling_all(library)
    with tempfile.TemporaryDirectory(prefix="beforehand-sim-") as folder, Progress(console=console) as bars:
        firmware_sim.export(Path(folder), fleet)
        task = bars.add_task(f"seed {seed}", total=1.0)
        played = replay(
            open_recording(Path(folder)), library, progress=lambda share, _: bars.update(task, completed=share)
        )
    opened = [
        ("recorded" if played.causes[t.ticket_id] in recorded else t.priority, _opened(t, played.causes[t.ticket_id]))
        for t in played.tickets
    ]
    truth = fleet.truth()
    return {
        cut: firmware_sim.score(
            truth, [ticket for at, ticket in opened if CUTS.index(at) <= place],
            devices=devices, start_ms=fleet.start_ms, end_ms=fleet.end_ms,
        )
        for place, cut in enumerate(CUTS)
    }  # fmt: skip


def _opened(ticket: Any, cause: str) -> Opened:
    return Opened(device=ticket.device_id, t_ms=ticket.opened_ms, cause=cause)


def _telling_all(library: rules.RuleSet) -> tuple[rules.RuleSet, set[str]]:
    """The library with tickets for what it only records, and the causes of those alone.

    Incidents are kept by device and cause, so these tickets change none of the others.
    """
    quiet = {rule.cause for rule in library.rules if rule.ticket is None}
    quiet -= {rule.cause for rule in library.rules if rule.ticket is not None}
    changed = tuple(
        rule.model_copy(update={"ticket": TicketAsked(priority="low", title=rule.alert)})
        if rule.cause in quiet
        else rule
        for rule in library.rules
    )
    return rules.RuleSet(changed, library.forecasts), quiet


def summary(reports: dict[int, dict[Cut, ScoreReport]]) -> dict[str, Any]:
    """All fleets together, under the documented keys."""
    cuts = [_cut(cut, [by_cut[cut] for by_cut in reports.values()]) for cut in CUTS]
    within = [cut for cut in cuts if cut["false_per_100_device_months"] <= BUDGET and cut["recall"] is not None]
    best = max(within, key=lambda cut: (cut["recall"], cut["beforehand_ratio"]), default=None)
    shipped = [by_cut[SHIPPED] for by_cut in reports.values()]
    modes = merged(shipped)
    leads = [lead for mode in modes for lead in mode.lead_hours]
    found, causes = sum(m.found for m in modes), Counter[str]()
    for report in shipped:
        causes.update(dict(report.false_causes))
    return {
        **next(cut for cut in cuts if cut["least"] == SHIPPED),
        "device_months": round(sum(r.device_months for r in shipped), 1),
        "due": sum(m.due for m in modes),
        "tickets": sum(r.tickets for r in shipped),
        "false_causes": causes.most_common(),
        "right_cause_ratio": sum(m.right_cause for m in modes) / found if found else None,
        "median_lead_hours": round(float(np.median(leads)), 1) if leads else None,
        "modes": [asdict(mode) for mode in modes],
        "cuts": cuts,
        "recall_at_one_false": best and best["recall"],
        "cut_at_one_false": best and best["least"],
        "seeds": [
            {"seed": seed} | {k: v for k, v in by_cut[SHIPPED].to_json().items() if k != "modes"}
            for seed, by_cut in reports.items()
        ],
    }


def _cut(cut: Cut, reports: Sequence[ScoreReport]) -> dict[str, Any]:
    due, modes = sum(r.due for r in reports), [mode for r in reports for mode in r.modes]
    false, months = sum(r.false_tickets for r in reports), sum(r.device_months for r in reports)
    return {
        "least": cut,
        "recall": sum(m.found for m in modes) / due if due else None,
        "beforehand_ratio": sum(m.beforehand for m in modes) / due if due else None,
        "false_tickets": false,
        "false_per_100_device_months": round(100 * false / months, 3),
    }


def merged(reports: Sequence[ScoreReport]) -> list[ModeScore]:
    """Every fault mode over all reports, in the order of `firmware_sim.MODES`."""
    found = []
    for name in (mode.name for mode in firmware_sim.MODES):
        held = [mode for report in reports for mode in report.modes if mode.mode == name]
        leads = tuple(sorted(lead for mode in held for lead in mode.lead_hours))
        if held:
            found.append(
                ModeScore(
                    mode=name, due=sum(m.due for m in held), found=sum(m.found for m in held),
                    beforehand=sum(m.beforehand for m in held), right_cause=sum(m.right_cause for m in held),
                    median_lead_hours=round(float(np.median(leads)), 1) if leads else None,
                    shortest_lead_hours=leads[0] if leads else None, lead_hours=leads,
                )
            )  # fmt: skip
    return found


def table(found: dict[str, Any]) -> Table:
    """By fault mode, for a terminal."""
    shown = Table(title="with the library as it comes", title_justify="left")
    shown.add_column("fault mode")
    for title in ("due", "recall", "before noticed", "right cause", "median lead", "least lead"):
        shown.add_column(title, justify="right")
    for mode in found["modes"]:
        shown.add_row(*mode_row(mode))
    return shown


def mode_row(mode: dict[str, Any]) -> tuple[str, ...]:
    """One line of the table, as text."""
    ratios = (_ratio(mode["found"], mode["due"]), _ratio(mode["beforehand"], mode["due"]))
    leads = (_hours(mode["median_lead_hours"]), _hours(mode["shortest_lead_hours"]))
    return (mode["mode"], str(mode["due"]), *ratios, _ratio(mode["right_cause"], mode["found"]), *leads)


def told(found: dict[str, Any]) -> list[str]:
    """The figures of all modes together, as sentences."""
    causes = ", ".join(f"{cause} {count}" for cause, count in found["false_causes"])
    lines = [
        f"Recall {found['recall']:.0%} of {found['due']} occasions, {found['beforehand_ratio']:.0%} before the owner "
        f"noticed; right cause {found['right_cause_ratio'] or 0:.0%}; median lead {found['median_lead_hours']} h.",
        f"{found['false_tickets']} of {found['tickets']} tickets false in {found['device_months']:.0f} device-months: "
        f"{found['false_per_100_device_months']:.2f} per 100" + (f" ({causes})." if causes else "."),
    ]
    lines += [
        f"  cut at {cut['least']:<9} recall {cut['recall']:.0%}, before noticed {cut['beforehand_ratio']:.0%}, "
        f"false {cut['false_per_100_device_months']:.2f} per 100"
        for cut in found["cuts"]
    ]
    if found["recall_at_one_false"] is not None:
        cut = found["cut_at_one_false"]
        lines.append(f"Recall at one false ticket per 100 device-months: {found['recall_at_one_false']:.0%} ({cut}).")
    return lines


def _ratio(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def _hours(hours: float | None) -> str:
    return "-" if hours is None else f"{hours:.0f} h"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.sim_table", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="one fleet of 60 devices and 45 days")
    parser.add_argument("--seeds", type=int, nargs="+", help="fleets to play instead of 101, 202 and 303")
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--pictures", help="folder for pictures")
    return parser


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


if __name__ == "__main__":
    raise SystemExit(main())
