"""Commands on recorded and simulated fleets: replay, import, sim."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gateway.cli.common import JsonPath, console, write_json
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from firmware_sim import Fleet
    from gateway.services.recording import Recording
    from gateway.services.replay import Replayed

sim_app = typer.Typer(help="Simulated fleets, whose faults are known.", no_args_is_help=True)
SHOWN = 20
WARNING = 30  # of the standard library's levels
DAY_MS = 86_400_000
SIM_END_MS = 1_780_272_000_000  # 2026-06-01

RulePaths = Annotated[
    list[Path] | None, typer.Option("--rules", help="Rule files or folders; repeatable. None: the library.")
]


class Source(Enum):
    """Public data sets there are importers for."""

    BACKBLAZE = "backblaze"
    AZURE = "azure_pdm"


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("replay")(replay)
    app.command("import")(convert)
    app.add_typer(sim_app, name="sim")


def replay(
    folder: Annotated[Path, typer.Argument(help="A recorded fleet; docs/replay.md describes the format.")],
    rule_paths: RulePaths = None,
    json_path: JsonPath = None,
) -> None:
    """Play a recorded fleet on event time and print the tickets it would have opened."""
    from gateway.services.recording import open_recording

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(WARNING))
    played = _play(open_recording(folder), rule_paths)
    write_json(json_path, played.as_json())
    _show(played)


def _play(recording: Recording, rule_paths: list[Path] | None) -> Replayed:
    import rules
    from gateway.services.replay import replay as run

    ruleset = rules.load(rule_paths or [rules.LIBRARY])
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[at]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(f"reading {recording.name}", total=None, at="")

        def progress(share: float, at_ms: int) -> None:
            bars.update(task, description="replaying", total=1.0, completed=share, at=_day(at_ms))

        return run(recording, ruleset, progress=progress)


def _show(played: Replayed) -> None:
    table = Table(title=f"{played.name}: {len(played.tickets)} tickets", title_justify="left", box=None, pad_edge=False)
    for title in ("opened", "device", "cause", "ticket"):
        table.add_column(title, overflow="fold")
    for ticket in played.tickets[:SHOWN]:
        table.add_row(_day(ticket.opened_ms), ticket.device_id, played.causes[ticket.ticket_id], ticket.title)
    console.print(table)
    if len(played.tickets) > SHOWN:
        console.print(f"... and {len(played.tickets) - SHOWN} more; --json FILE writes all of them")
    months = (played.end_ms - played.start_ms) / 86_400_000 / 30.44
    by_cause = ", ".join(f"{cause} {count}" for cause, count in Counter(played.causes.values()).most_common())
    console.print(
        f"{played.devices:,} devices, {played.values:,} values, {played.lines:,} log lines, {months:.1f} months"
        + (f"; {by_cause}" if by_cause else "")
    )
    if played.source:
        console.print(f"[dim]{played.source}[/]")


def convert(
    source: Annotated[Source, typer.Argument(help="Which data set.")],
    origin: Annotated[Path, typer.Argument(help="Folder of the original files.")],
    target: Annotated[Path, typer.Argument(help="Folder to write the recorded fleet to.")],
) -> None:
    """Convert a public data set to a recorded fleet."""
    from gateway.services.importers import azure, backblaze

    if not origin.is_dir():
        raise ConfigError("recording_missing", f"{origin} is no folder")
    run = backblaze.convert if source is Source.BACKBLAZE else azure.convert
    rows = run(origin, target)
    console.print(f"{target}: {rows:,} rows; play it with `beforehand replay {target}`")


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


Seed = Annotated[int, typer.Option(help="Of everything that is left to chance.")]


@sim_app.command("export")
def sim_export(
    folder: Annotated[Path, typer.Argument(help="Folder to write the recorded fleet to.")],
    seed: Seed = 1,
    devices: Annotated[int, typer.Option(help="How many devices.", min=3)] = 200,
    days: Annotated[int, typer.Option(help="How many days of history.", min=2)] = 60,
) -> None:
    """Write a simulated fleet as a recording, its truth apart in truth.csv."""
    import firmware_sim

    fleet = _fleet(seed, devices, days)
    firmware_sim.export(folder, fleet)
    firmware_sim.write_truth(folder / "truth.csv", fleet.truth())
    console.print(f"{folder}: {devices} devices, {days} days; play it with `beforehand replay {folder}`")


@sim_app.command("score")
def sim_score(
    seed: Seed = 1,
    devices: Annotated[int, typer.Option(help="How many devices.", min=3)] = 300,
    days: Annotated[int, typer.Option(help="How many days of history.", min=2)] = 90,
    quick: Annotated[bool, typer.Option("--quick", help="60 devices, 45 days: under 45 s.")] = False,
    rule_paths: RulePaths = None,
    json_path: JsonPath = None,
) -> None:
    """Play a simulated fleet and score its tickets against the truth: recall, false tickets, lead time."""
    import firmware_sim
    from gateway.services.recording import open_recording

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(WARNING))
    if quick:
        devices, days = 60, 45
    fleet = _fleet(seed, devices, days)
    with tempfile.TemporaryDirectory(prefix="beforehand-sim-") as folder:
        firmware_sim.export(Path(folder), fleet)
        played = _play(open_recording(Path(folder)), rule_paths)
    opened = [
        firmware_sim.Opened(device=t.device_id, t_ms=t.opened_ms, cause=played.causes[t.ticket_id])
        for t in played.tickets
    ]
    report = firmware_sim.score(fleet.truth(), opened, devices=devices, start_ms=fleet.start_ms, end_ms=fleet.end_ms)
    write_json(json_path, report.to_json() | {"seed": seed, "devices": devices, "days": days})
    for line in report.table():
        console.print(line, markup=False)


def _fleet(seed: int, devices: int, days: int) -> Fleet:
    """A simulated fleet whose history ends on a fixed day, so that a seed always means the same fleet."""
    import firmware_sim

    return firmware_sim.Fleet(seed, devices, start_ms=SIM_END_MS - days * DAY_MS, end_ms=SIM_END_MS)
