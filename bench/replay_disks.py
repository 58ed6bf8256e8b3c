"""Three and a half years of real disks as they came: tickets a month, precision and lead time.

    beforehand import backblaze SHARED/data/failures/backblaze FOLDER
    beforehand replay FOLDER --json PLAYED
    python -m bench.replay_disks --data SHARED/data/failures/backblaze --played PLAYED --json FILE --plot PICTURE

What is held against the truth here are the tickets of `beforehand replay`, the very path that runs live: every half
year of event time, and whenever half as many failures more are known, it learns from what is known by then. Nothing is
tuned to this fleet. A ticket is right where its disk fails within 30 days; one whose disk was taken away before, or of
the record's last 30 days, is not counted either way.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gateway.model import Flags, Floats
from gateway.services.importers.backblaze import HOUR_MS, START_MS

HORIZON_H, LEAST_LEAD_H = 720.0, 24.0
END_H = 1270 * 24.0  # 30 September 2016, when all but a handful of disks were seen last
YEAR_H = 8766.0
MONTH_H = YEAR_H / 12
START_YEAR = 2013 + 99 / 365  # 10 April
BLUE, PALE = "#2f6f8f", "#c9dbe4"
NEAR = 3  # months that a share is taken over


@dataclass(frozen=True)
class Tickets:
    """Opened tickets, by time; `lead_h` is NaN where the disk did not fail within 30 days."""

    at_h: Floats
    device: tuple[str, ...]
    lead_h: Floats
    decided: Flags  # the disk was watched long enough to tell

    @property
    def true(self) -> Flags:
        """(tickets,) whose disk failed in time."""
        return np.isfinite(self.lead_h)

    def only(self, chosen: Flags) -> Tickets:
        """Some of them."""
        device = tuple(np.array(self.device)[chosen].tolist())
        return Tickets(self.at_h[chosen], device, self.lead_h[chosen], self.decided[chosen])


def judged(played: dict[str, Any], folder: Path) -> Tickets:
    """The tickets of a replay beside what became of their disks."""
    failed, ends = ({row.device: row[2] for row in table.itertuples()} for table in _truth(folder))
    device = tuple(str(ticket["device"]) for ticket in played["tickets"])
    at_h = np.array([(ticket["t_ms"] - START_MS) / HOUR_MS for ticket in played["tickets"]])
    left = np.array([failed.get(name, np.inf) for name in device]) - at_h
    watched = np.array([ends[name] for name in device]) - at_h
    true = (left >= 0.0) & (left <= HORIZON_H)
    judgeable = at_h + HORIZON_H <= END_H
    return Tickets(at_h, device, np.where(true, left, np.nan), judgeable & (true | (watched >= HORIZON_H)))


def _truth(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    failures, exposure = (pd.read_csv(folder / f"{stem}.csv.gz") for stem in ("failures", "exposure"))
    return failures[["device", "time"]], exposure.groupby("device", as_index=False).end.max()


def by_month(found: Tickets) -> dict[str, list[float]]:
    """Tickets, precision (of decided tickets) and lead in days, the last two over three months, by month."""
    month = (found.at_h // MONTH_H).astype(int)
    names = ("tickets", "true", "precision", "lead_days", "lead_low", "lead_high")
    out: dict[str, list[float]] = {name: [] for name in names}
    for m in range(int(END_H // MONTH_H) + 1):
        near = (month > m - NEAR) & (month <= m) & found.decided
        leads = found.lead_h[near & found.true] / 24.0
        out["tickets"].append(float((month == m).sum()))
        out["true"].append(float(((month == m) & found.true).sum()))
        out["precision"].append(float(found.true[near].mean()) if near.any() else float("nan"))
        spread = np.quantile(leads, (0.25, 0.5, 0.75)).tolist() if leads.size else [float("nan")] * 3
        for name, value in zip(("lead_low", "lead_days", "lead_high"), spread, strict=True):
            out[name].append(value)
    return out


def figures(found: Tickets, failed_h: Floats) -> dict[str, float | int]:
    """Tickets, precision and lead in days, and how many of (failures,) failures were told of a day ahead."""
    ahead = {name for name, lead in zip(found.device, found.lead_h, strict=True) if lead >= LEAST_LEAD_H}
    return {
        "tickets": len(found.device),
        "precision": float(found.true[found.decided].mean()),
        "failures": failed_h.size,
        "failures_foreseen_a_day_ahead": len(ahead),
        "median_lead_days": float(np.median(found.lead_h[found.true]) / 24.0),
    }


def by_year(found: Tickets, failed_h: Floats) -> list[dict[str, float | int]]:
    """The same for each year since the first day; a ticket counts in the year in which it opened."""
    years = int(failed_h.max() // YEAR_H) + 1
    return [
        figures(found.only(found.at_h // YEAR_H == year), failed_h[failed_h // YEAR_H == year]) for year in range(years)
    ]


def by_title(found: Tickets, played: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Tickets and precision by what opened them: the first words of the title."""
    rule = [ticket["title"].partition(":")[0] for ticket in played["tickets"]]
    true, decided = Counter[str](), Counter[str]()
    for name, is_true, is_decided in zip(rule, found.true, found.decided, strict=True):
        true[name] += int(is_true)
        decided[name] += int(is_decided)
    return {
        name: {"tickets": count, "precision": true[name] / max(decided[name], 1)}
        for name, count in Counter(rule).most_common()
    }


def draw(months: dict[str, list[float]], total: dict[str, float | int], file: Path) -> None:
    """Tickets, precision and lead time under one another, by month."""
    import matplotlib.pyplot as plt  # noqa: PLC0415  (a development dependency)
    from matplotlib.ticker import MaxNLocator, PercentFormatter  # noqa: PLC0415

    figure, (opened, right, lead) = plt.subplots(3, 1, figsize=(9, 7.5), sharex=True, constrained_layout=True)
    x = START_YEAR + (np.arange(len(months["tickets"])) + 0.5) / 12.0
    tickets, true = np.array(months["tickets"]), np.array(months["true"])
    opened.bar(x, true, width=0.07, color=BLUE, label="failed within 30 days")
    opened.bar(x, tickets - true, width=0.07, bottom=true, color=PALE, label="did not")
    opened.legend(frameon=False, loc="upper left")
    opened.set_ylabel("tickets a month")
    right.plot(x, months["precision"], color=BLUE)
    right.axhline(total["precision"], color=BLUE, lw=0.8, ls=":")
    right.set_ylim(0.0, 1.0)
    right.yaxis.set_major_formatter(PercentFormatter(1.0))
    right.set_ylabel("failed within 30 days\n(of tickets of 3 months)")
    lead.fill_between(x, months["lead_low"], months["lead_high"], color=PALE, label="half of them")
    lead.plot(x, months["lead_days"], color=BLUE, label="median")
    lead.set_ylim(0.0, 30.0)
    lead.set_ylabel("days from ticket to failure\n(3 months)")
    lead.legend(frameon=False, loc="upper left")
    lead.xaxis.set_major_locator(MaxNLocator(integer=True))
    lead.set_xlim(START_YEAR, x[-1] + 0.1)
    figure.suptitle(f"`beforehand replay` of {total['disks']:,} disks, learned from the past only. Data: Backblaze")
    for axis in (opened, right, lead):
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_axisbelow(True)
    figure.savefig(file, dpi=110)


def main() -> None:
    """Judge, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.replay_disks", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--played", type=Path, required=True, help="what `beforehand replay --json` wrote")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    played = json.loads(options.played.read_text("utf-8"))
    found = judged(played, options.data)
    failed_h = _truth(options.data)[0].time.to_numpy(np.float64)
    total = {"disks": played["devices"], **figures(found, failed_h)}
    result = {
        "total": total,
        "opened_by": by_title(found, played),
        "years": by_year(found, failed_h),
    }
    print(json.dumps(result, indent=1))
    months = by_month(found)
    if options.json:
        options.json.write_text(json.dumps(result | {"months": months}, indent=1) + "\n")
    if options.plot:
        draw(months, total, options.plot)


if __name__ == "__main__":
    main()
