"""Pictures of typical cases for docs/detection.md, from the simulator with fixed seeds.

    python -m bench.pictures [--only NAME ...] [--table FILE] [DIR]

DIR is docs/img where it is left out; FILE is the JSON of `bench.sim_table`, of which `lead-times.png` is drawn.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
from PIL import Image

from bench import cases
from bench.cases import Course

mpl.use("agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "bench" / "results" / "sim_table.json"
INK, QUIET, FAINT = "#1f2d3a", "#8795a3", "#dde3e8"
OURS, TRUTH, ALARM, SHADE = "#1f6f8b", "#3c7a4e", "#c0532f", "#f6e7df"
COLORS = 64  # of a picture
STYLE = {
    "figure.dpi": 120, "figure.facecolor": "white", "font.family": "DejaVu Sans", "font.size": 10,
    "text.color": INK, "axes.edgecolor": QUIET, "axes.labelcolor": INK, "axes.spines.top": False,
    "axes.spines.right": False, "axes.titlelocation": "left", "axes.titlesize": 11, "axes.titlepad": 8,
    "axes.titlecolor": INK, "axes.grid": True, "axes.grid.axis": "y", "axes.axisbelow": True, "grid.color": FAINT,
    "xtick.color": QUIET, "ytick.color": QUIET, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "lines.linewidth": 1.6, "lines.solid_capstyle": "round",
}  # fmt: skip
SCORED = {"level": "level", "drift": "drift", "rhythm": "rhythm", "surprise": "something new", "silence": "silence"}


def compressor() -> Any:
    """A compressor climbs while its cohort stays level."""
    metric = "compressor_vibration_meters_per_second_squared"
    course = cases.simulated("compressor_wear", seed=11, days=60, facts=("cohort.score",))
    assert course.truth is not None
    until = course.days < course.day(course.truth.failed_ms)
    figure, (above, below) = plt.subplots(2, 1, figsize=(8.6, 5.0), sharex=True, height_ratios=(2, 1))
    values = _daily(course.values[metric])[:, until]
    low, high = np.nanquantile(values[1:], (0.0, 1.0), axis=0)
    days = course.days[until]
    above.fill_between(days, low, high, color=FAINT, lw=0)
    above.plot(days, np.nanmedian(values[1:], axis=0), color=QUIET, lw=1.2)
    above.plot(days, values[0], color=OURS, lw=2)
    above.set_ylim(0, 8.4)
    above.set_title("A compressor climbs while its cohort stays level")
    above.set_ylabel("vibration, m/s²\n(mean of a day)")
    above.text(
        days[0] + 0.5,
        high[:2000].max() + 0.35,
        f"its cohort: {len(values) - 1} healthy pumps of its model and hardware",
        color=QUIET,
    )
    drift = course.opened(course.truth.device, "drift", metric=metric)[0]
    ticket = next(a for a in course.alerts if a.rule == "CompressorWearing")
    moments = {
        "wear begins": (course.day(course.truth.onset_ms), TRUTH, 0.93),
        f"drift told, dated\nto day {course.day(drift[1].onset_ms):.0f}": (drift[0], OURS, 0.75),
        "ticket": (course.day(ticket.at_ms), ALARM, 0.93),
        "owner\nnotices": (course.day(course.truth.noticed_ms), TRUTH, 0.30),
    }
    for text, (day, color, height) in moments.items():
        for axes in (above, below):
            axes.axvline(day, color=color, lw=1, ls=(0, (4, 3)))
        side = "right" if text in ("wear begins", "ticket") else "left"
        _beside(above, day, height, text, color=color, side=side)
    standing = course.facts["cohort.score"][:, course.at_days < days[-1]]
    below.plot(course.at_days[: standing.shape[1]], standing[1:].T, color=FAINT, lw=0.7)
    below.plot(course.at_days[: standing.shape[1]], standing[0], color=OURS, lw=2)
    _threshold(below, "threshold 1.0")
    below.set(ylabel="cohort.score", xlabel="days", xlim=(0, days[-1] + 0.5), ylim=(0, None))
    return figure


def battery() -> Any:
    """The cone of a forecast closes on the truth."""
    names = [f"forecast.charge_days_{part}" for part in ("left", "low", "high")]
    course = cases.simulated("battery_ageing", seed=11, days=75, devices=120, facts=names)
    charge = course.values["battery_level_ratio"][0]
    truth = float(course.days[np.flatnonzero(_daily(charge[None, :], width=48)[0] < 0.1)[0]])
    median, low, high = (course.at_days + course.facts[name][0] for name in names)
    known = np.isfinite(median) & (course.at_days < truth)
    figure, (above, below) = plt.subplots(2, 1, figsize=(8.6, 5.6), sharex=True, height_ratios=(1.25, 1))
    first, last = 30.0, 84.0
    seen = (course.days > first) & (course.days < truth + 2)
    above.plot(course.days[seen], charge[seen], color=INK, lw=1.2)
    above.axhline(0.10, color=ALARM, lw=1)
    above.text(first + 0.4, 0.125, "limit: 10 %, the motor may no longer turn", color=ALARM, fontsize=9)
    asked = np.flatnonzero(known)
    for share, color in ((0.0, "#9cc5d3"), (0.45, "#5c9db3"), (0.85, OURS)):
        at = asked[int(share * (asked.size - 1))]
        now = course.at_days[at]
        level = charge[np.searchsorted(course.days, now)]
        above.fill([now, low[at], high[at]], [level, 0.10, 0.10], color=color, alpha=0.35, lw=0)
        above.plot([now, median[at]], [level, 0.10], color=color)
        above.plot([now], [level], "o", color=color, ms=5)
        above.annotate(
            f"asked on day {now:.0f}", (now, level), (8, 6), textcoords="offset points", color=INK, fontsize=9
        )
    above.set_title("A battery runs down: the forecast's 90 % interval closes on the truth")
    above.set(ylabel="charge", ylim=(0, 1.0))
    below.fill_between(
        course.at_days, np.where(known, low, np.nan), np.where(known, high, np.nan), color="#9cc5d3", lw=0
    )
    below.plot(course.at_days[known], median[known], color=OURS, lw=2)
    below.axhline(truth, color=TRUTH, lw=1.2)
    below.text(last - 0.4, truth + 1, f"limit really reached: day {truth:.0f}", color=TRUTH, fontsize=9, ha="right")
    below.axvspan(first, course.at_days[asked[0]], color="#f3f5f7", lw=0)
    below.text(
        (first + course.at_days[asked[0]]) / 2, 70, "says nothing:\nthe trend is not\nbeyond doubt", ha="center",
        va="center", fontsize=9, color=QUIET,
    )  # fmt: skip
    below.text(truth - 9, 84, "90 % interval and median", fontsize=9, color=OURS)
    below.set(ylabel="forecast: limit\nreached on day", xlabel="day of asking", xlim=(first, last), ylim=(52, 94))
    return figure


def rhythm() -> Any:
    """A weekly rhythm is learned, and its absence seen."""
    course, (begin, end) = cases.weekly()
    values = course.values["load"][0]
    figure, (above, below) = plt.subplots(2, 1, figsize=(8.6, 4.6))
    for axes, (first, last) in ((above, (0, 28)), (below, (42, 70))):
        shown = (course.days >= first) & (course.days < last)
        axes.plot(course.days[shown], values[shown], color=OURS, lw=1)
        for sunday in np.arange(first + 6, last, 7):
            axes.axvspan(sunday, sunday + 1, color="#eef2f5", lw=0)
        axes.set(xlim=(first, last), ylabel="load", ylim=(12, 68))
        axes.set_xticks(np.arange(first, last + 1, 7))
        for told, episode in course.opened("d0"):
            if first <= told < last:
                _flag(axes, told, episode.detector, value=62)
    below.axvspan(begin, end, color=SHADE, lw=0)
    below.text(
        (begin + end) / 2 - 0.5, 15.5, "a Sunday like a Monday: everyday values at the wrong hour of the week",
        fontsize=8.5, color=ALARM, ha="center", bbox={"fc": "white", "ec": "none", "pad": 1},
    )  # fmt: skip
    above.set_title("The first weeks: Sundays (grey) are calm, and learned as such")
    below.set_title("Later: a Sunday without its rest is told")
    below.set_xlabel("days")
    return figure


def logs() -> Any:
    """A burst of a known line and the first sight of a new one."""
    said = cases.lines()
    figure, axes = plt.subplots(figsize=(8.6, 4.4))
    rows = {text: place for place, text in enumerate(reversed(said.templates))}
    days, heights = np.array([day for day, _ in said.lines]), np.array([rows[text] for _, text in said.lines])
    axes.vlines(days, heights - 0.22, heights + 0.22, color=OURS, lw=0.5, alpha=0.65)
    told: set[str] = set()
    for episode in said.episodes:
        text = episode.reason.split('"')[1]
        day = (episode.onset_ms - said.start_ms) / cases.DAY_MS
        if text not in rows or text in told:
            continue
        told.add(text)
        burst = "burst: " + episode.reason.rpartition('" was logged ')[2]
        axes.text(
            day, rows[text] + 0.5, "new to this device" if episode.detector == "log_new" else burst, color=ALARM,
            fontsize=9, ha="center", va="center", bbox={"fc": "white", "ec": "none", "pad": 1},
        )  # fmt: skip
        axes.plot([day], [rows[text]], "o", mfc="none", mec=ALARM, ms=13, mew=1.6)
    axes.axvline(said.onset, color=TRUTH, lw=1, ls=(0, (4, 3)))
    axes.text(said.onset - 0.2, len(rows) - 0.35, "memory leak begins", color=TRUTH, fontsize=9, ha="right")
    short = [text if len(text) < 48 else text[:46] + "…" for text in rows]
    axes.set_yticks(list(rows.values()), short, family="DejaVu Sans Mono", fontsize=7.5)
    axes.set(xlabel="days", xlim=(0, 28), ylim=(-0.7, len(rows) - 0.1))
    axes.grid(visible=False)
    figure.suptitle("Four weeks of one router's log, by template: a stroke is a line", x=0.012, ha="left", fontsize=11)
    return figure


def cohort() -> Any:
    """A whole cohort shifts and nobody is alarmed, but for the one with a fault of its own."""
    course, (begin, end) = cases.together()
    values = course.values["load"]
    figure, (above, below) = plt.subplots(2, 1, figsize=(8.6, 4.8), sharex=True, height_ratios=(1.5, 1))
    shown = course.days > 14
    above.plot(course.days[shown], values[1:, shown].T, color="#c3ccd4", lw=0.4)
    above.plot(course.days[shown], values[0, shown], color=OURS, lw=1.2)
    above.set_title("A cold front moves thirty devices at once: only the one with a fault of its own is told")
    above.set(ylabel="load")
    above.text(14.3, 60, "30 of a cohort", color=QUIET, fontsize=9)
    above.text(21.2, 70, "this one breaks on day 19", color=OURS, fontsize=9)
    for axes in (above, below):
        axes.axvspan(begin, end, color="#eef2f5", lw=0)
    above.text((begin + end) / 2, 42, "cold front", color=QUIET, fontsize=9, ha="center")
    told = [(day, SCORED.get(e.detector, e.detector)) for day, e in course.opened("d0") if day > begin]
    _flag(above, told[0][0], ", ".join(dict.fromkeys(name for _, name in told)), value=values[0].max() + 3)
    standing = course.facts["cohort.score"]
    late = course.at_days > 14
    below.plot(course.at_days[late], standing[1:, late].T, color="#c3ccd4", lw=0.5)
    below.plot(course.at_days[late], standing[0, late], color=OURS, lw=1.6)
    _threshold(below, "threshold 1.0")
    others = sum(e.device_id != "d0" and day > begin for day, e in zip(course.told_days, course.episodes, strict=True))
    above.text(24.3, 60, f"episodes told of the other 29: {others}", color=QUIET, fontsize=9)
    below.set(ylabel="cohort.score", xlabel="days", xlim=(14, 28), ylim=(0, None))
    return figure


def day_one() -> Any:
    """A new router that is ill is told in its first hour; one in health is not."""
    course, join = cases.newcomers()
    values = course.values["temperature_celsius"]
    shown = (course.days >= join - 1.0) & (course.days < join + 2.0)
    hours = (course.days[shown] - join) * 24.0
    figure, axes = plt.subplots(figsize=(8.6, 3.6))
    axes.plot(hours, values[2:, shown].T, color="#c3ccd4", lw=0.6)
    axes.plot(hours, values[1, shown], color=TRUTH, lw=1.6)
    axes.plot(hours, values[0, shown], color=OURS, lw=2)
    axes.axvline(0, color=QUIET, lw=1, ls=(0, (4, 3)))
    told, episode = course.opened(course.names[0], "level")[0]
    _flag(axes, (told - join) * 24.0, f"told: {episode.reason}", value=float(np.nanmax(values[0, shown])) + 4)
    axes.text(-23.5, 62, f"{len(values) - 2} routers of its model,\nrunning for three weeks", color=QUIET, fontsize=9)
    axes.text(47.5, 82, "joins with heat that runs away", color=OURS, fontsize=9, ha="right")
    quiet = len(course.opened(course.names[1]))
    axes.text(47.5, 60, f"joins in health; episodes told: {quiet}", color=TRUTH, fontsize=9, ha="right")
    axes.set_title("Two new routers of a known model: the one that is ill is told in its first hour")
    axes.set(xlabel="hours since they joined", ylabel="temperature, °C", xlim=(-24, 48))
    return figure


def blind_spots() -> Any:
    """Six cases on which simple detectors fail, and what is told of each."""
    titles = {
        "weekly": "Weekly cycle: a Sunday without rest", "drifting": "A climb over four weeks",
        "missing": "Three days without a word", "lasting": "A level fault that lasts three days",
        "since_birth": "A fault since birth: 1 of 40", "together": "A cohort shifts at once",
    }  # fmt: skip
    figure, grid = plt.subplots(3, 2, figsize=(9.2, 7.2))
    for axes, case in zip(grid.ravel(), cases.BLIND_SPOTS, strict=True):
        course, (begin, end) = case()
        values = next(iter(course.values.values()))
        first = max(0.0, begin - 12.0)
        shown = (course.days >= first) & (course.days <= end + 8)
        axes.axvspan(begin, end, color=SHADE if case is not cases.together else "#eef2f5", lw=0)
        axes.plot(course.days[shown], values[1:, shown].T, color="#c3ccd4", lw=0.3)
        axes.plot(course.days[shown], values[0, shown], color=OURS, lw=0.9)
        axes.set_title(titles[case.__name__], fontsize=10)
        axes.set_xlim(first, min(end + 8, course.days[-1]))
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(6, integer=True))
        _room_above(axes, values[:, shown])
        _tell(axes, case, course, (begin, end + 1.0))
    for axes in grid[-1]:
        axes.set_xlabel("days")
    return figure


def lead_times(found: dict[str, Any]) -> Any:
    """How long before the owner notices the first ticket is opened, by fault mode."""
    modes = sorted(found["modes"], key=lambda mode: mode["median_lead_hours"] or -1e9)
    figure, axes = plt.subplots(figsize=(8.6, 0.7 + 0.31 * len(modes)))
    for place, mode in enumerate(modes):
        leads = np.array(mode["lead_hours"]) / 24.0
        axes.plot(leads, np.full(leads.size, place), "o", color=OURS, ms=5, alpha=0.45, mew=0)
        if leads.size:
            axes.plot([np.median(leads)] * 2, [place - 0.32, place + 0.32], color=INK, lw=2)
        missed = mode["due"] - mode["found"]
        if missed:
            axes.text(0.15, place, f"{missed} of {mode['due']} missed", color=ALARM, fontsize=9, va="center", ha="left")
    axes.axvline(0, color=ALARM, lw=1)
    axes.set_yticks(range(len(modes)), [mode["mode"].replace("_", " ") for mode in modes])
    axes.set(
        xlabel="days from the first ticket to the moment at which the owner would have noticed",
        ylim=(-0.7, len(modes) - 0.3),
    )
    axes.grid(axis="x", color=FAINT)
    axes.set_title(
        f"Lead time of every fault found (stroke: median); seeds {', '.join(str(s['seed']) for s in found['seeds'])}"
    )
    return figure


PICTURES: dict[str, Callable[[], Any]] = {
    "compressor": compressor, "battery": battery, "rhythm": rhythm, "logs": logs, "cohort": cohort,
    "day-one": day_one, "blind-spots": blind_spots,
}  # fmt: skip


def draw_all(folder: Path, table: dict[str, Any] | None = None, *, only: list[str] | None = None) -> None:
    """Draw the pictures into a folder; with a table of `bench.sim_table` its lead times too."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = dict(PICTURES) | ({"lead-times": lambda: lead_times(table)} if table else {})
    with mpl.rc_context(STYLE):
        for name in only or drawn:
            figure = drawn[name]()
            figure.tight_layout()
            figure.savefig(drawn_once := BytesIO())
            picture = Image.open(drawn_once).convert("RGB").quantize(COLORS)  # a third of the size, and nothing lost
            picture.save(folder / f"{name}.png", optimize=True)
            plt.close(figure)


def _daily(values: Any, *, width: int = 96) -> Any:
    """Running means over so many samples, the last at its own place."""
    filled = np.concatenate([np.repeat(values[:, :1], width - 1, axis=1), values], axis=1)
    return np.stack([np.convolve(row, np.full(width, 1.0 / width), "valid") for row in filled])


def _threshold(axes: Any, text: str) -> None:
    axes.axhline(1.0, color=ALARM, lw=1)
    axes.text(0.005, 1.0, text, color=ALARM, fontsize=8.5, va="bottom", transform=axes.get_yaxis_transform())


def _beside(axes: Any, day: float, height: float, text: str, *, color: str, side: str) -> None:
    axes.annotate(
        text, (day, height), (5 if side == "left" else -5, 0), xycoords=axes.get_xaxis_transform(),
        textcoords="offset points", color=color, fontsize=9, ha=side, va="center",
    )  # fmt: skip


def _flag(axes: Any, day: float, text: str, *, value: float) -> None:
    axes.plot([day], [value], "v", color=ALARM, ms=7)
    axes.annotate(text, (day, value), (7, 0), textcoords="offset points", va="center", color=ALARM, fontsize=9)


def _room_above(axes: Any, values: Any) -> None:
    low, high = np.nanmin(values), np.nanmax(values)
    axes.set_ylim(low - 0.05 * (high - low), high + 0.42 * (high - low))


def _tell(axes: Any, case: Callable[[], Any], course: Course, span: tuple[float, float]) -> None:
    """Flags of what was told of device 0, the first of each kind, and of the others where there are any."""
    told: dict[str, float] = {}
    for day, episode in course.opened("d0"):
        if span[0] <= day <= span[1]:
            told.setdefault(SCORED.get(episode.detector, episode.detector), day)
    if case is cases.since_birth:
        standing = course.facts["cohort.score"]
        told = {f"cohort.score {np.nanmax(standing[0]):.1f}; others at most {np.nanmax(standing[1:]):.1f}": 2.0}
    top = axes.get_ylim()[1]
    for (text, day), level in zip(list(told.items())[:3], (0.07, 0.16, 0.25), strict=False):
        _flag(axes, day, text, value=top - level * (top - axes.get_ylim()[0]))


def main() -> int:
    """Draw what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.pictures", description="Pictures for docs/detection.md.")
    parser.add_argument("folder", nargs="?", default=str(ROOT / "docs" / "img"))
    parser.add_argument("--only", nargs="+", help=f"of {', '.join(PICTURES)} and lead-times")
    parser.add_argument("--table", default=str(TABLE), help="JSON of bench.sim_table")
    options = parser.parse_args()
    table = json.loads(Path(options.table).read_text()) if Path(options.table).is_file() else None
    draw_all(Path(options.folder), table, only=options.only)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
