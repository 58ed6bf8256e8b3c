"""Three and a half years of real disks as they came: tickets a month, precision and lead time.

    python -m bench.replay_disks --data SHARED/data/failures/backblaze --json FILE --plot docs/img/replay_disks.png

Each half year a model is trained on what was known by then: rows whose 30 days were over, disks that had failed. A
ticket opens where it gives a disk one chance in four or more to fail within 30 days, as the rule library has it: what
that takes is learned with the model, whose probabilities are calibrated on disks it has not seen. Nothing from later is
used, and nothing is tuned to this fleet.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.detection.fleets import Fleet, disks
from gateway.model import Flags, Floats, Integers
from gateway.prognosis import risk

LEAST = 0.25  # probability from which a ticket opens (rules/library/disk.yaml)
STEP_H = 4383.0  # between trainings: half a year
YEAR_H = 8766.0


@dataclass(frozen=True)
class Tickets:
    """Opened tickets; `lead_h` is NaN where the disk did not fail within 30 days."""

    at_h: Floats
    device: Integers
    lead_h: Floats
    decided: Flags  # the disk was watched long enough to tell


def scores(fleet: Fleet) -> Floats:
    """(looks,) the probability given at the time; 0 until ten failures were known."""
    out = np.zeros(fleet.device.size)
    left = fleet.left_h()
    watched = fleet.decided()
    for start in np.arange(STEP_H, fleet.at_h.max(), STEP_H):
        now = (fleet.at_h >= start) & (fleet.at_h < start + STEP_H)
        over = watched & (fleet.at_h + fleet.horizon_h <= start)
        model = risk.train(fleet.examples(over, np.where(fleet.at_h + left <= start, left, np.inf)))
        if model is not None:
            out[now] = model.probability(fleet.rows[now], fleet.names)
    return out


def tickets(fleet: Fleet, score: Floats) -> Tickets:
    """Tickets that open where a look gives a disk LEAST or more; one for each disk and 30 days."""
    left, watched = fleet.left_h(), fleet.decided()
    opened: list[int] = []
    until: dict[int, float] = {}
    for i in np.flatnonzero(score >= LEAST).tolist():
        device = int(fleet.device[i])
        if fleet.at_h[i] >= until.get(device, -1.0):
            until[device] = float(fleet.at_h[i]) + fleet.horizon_h
            opened.append(i)
    these = np.array(opened, np.int64)
    lead = np.where(left[these] <= fleet.horizon_h, left[these], np.nan)
    return Tickets(fleet.at_h[these], fleet.device[these], lead, watched[these])


def by_month(found: Tickets, last_h: float) -> dict[str, list[float]]:
    """Tickets, precision (of decided tickets, over three months) and median lead in days, by month since 2013-04."""
    month = (found.at_h // (YEAR_H / 12)).astype(int)
    out: dict[str, list[float]] = {"tickets": [], "precision": [], "lead_days": []}
    for m in range(int(last_h // (YEAR_H / 12)) + 1):
        near = (month > m - 3) & (month <= m) & found.decided
        out["tickets"].append(float((month == m).sum()))
        out["precision"].append(float(np.isfinite(found.lead_h[near]).mean()) if near.any() else float("nan"))
        leads = found.lead_h[near & np.isfinite(found.lead_h)]
        out["lead_days"].append(float(np.median(leads)) / 24.0 if leads.size else float("nan"))
    return out


def draw(months: dict[str, list[float]], disks_seen: int, file: Path) -> None:
    """The three curves under one another."""
    import matplotlib.pyplot as plt  # noqa: PLC0415  (a development dependency)
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    figure, axes = plt.subplots(3, 1, figsize=(9, 7), sharex=True, constrained_layout=True)
    x = 2013.25 + np.arange(len(months["tickets"])) / 12.0
    axes[0].bar(x, months["tickets"], width=0.07, color="#2f6f8f")
    axes[0].set_ylabel("tickets a month")
    axes[1].plot(x, months["precision"], color="#2f6f8f")
    axes[1].set_ylim(0.0, 1.0)
    axes[1].set_ylabel("failed within 30 days\n(of tickets, 3 months)")
    axes[2].plot(x, months["lead_days"], color="#2f6f8f")
    axes[2].set_ylim(0.0, 30.0)
    axes[2].set_ylabel("median lead time, days")
    axes[2].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(f"{disks_seen:,} disks, models learned from the past only. Data: Backblaze")
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=110)


def main() -> None:
    """Replay, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.replay_disks", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--share", type=float, default=1.0, help="of the disks")
    options = parser.parse_args()
    fleet = disks(options.data, share=options.share)
    score = scores(fleet)
    found = tickets(fleet, score)
    months = by_month(found, float(fleet.at_h.max()))
    true = np.isfinite(found.lead_h)
    caught = np.unique(found.device[true & (found.lead_h >= fleet.min_lead_h)]).size
    total = {
        "disks": len(fleet.exposure),
        "tickets": int(found.at_h.size),
        "precision": float(true[found.decided].mean()),
        "failures": len(fleet.failures),
        "failures_foreseen_a_day_ahead": int(caught),
        "median_lead_days": float(np.median(found.lead_h[true]) / 24.0),
    }
    print(json.dumps(total, indent=1))
    if options.json:
        options.json.write_text(json.dumps({"total": total, "months": months}, indent=1) + "\n")
    if options.plot:
        draw(months, len(fleet.exposure), options.plot)


if __name__ == "__main__":
    main()
