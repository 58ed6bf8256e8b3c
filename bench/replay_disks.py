"""Three and a half years of real disks as they came: tickets a month, precision and lead time.

    python -m bench.replay_disks --data SHARED/data/failures/backblaze --json FILE --plot docs/replay_disks.png

Each quarter a model is trained on what was known by then: rows whose 30 days were over, disks that had failed. The
threshold of a quarter is the one that would have kept the budget of false tickets on the year before, by the scores
that were given at the time. Nothing from later is used, and nothing is tuned to this fleet.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.detection.fleets import Fleet, disks
from gateway.model import Flags, Floats, Integers
from gateway.prognosis import prior, risk

BUDGET = 0.03  # false tickets for each disk-year: 1 for each 400 disk-months
LEVELS = np.logspace(0.0, -3.0, 61)  # thresholds tried, highest first
QUARTER_H = 2190.0
YEAR_H = 8766.0


@dataclass(frozen=True)
class Tickets:
    """Opened tickets; `lead_h` is NaN where the disk did not fail within 30 days."""

    at_h: Floats
    device: Integers
    lead_h: Floats
    decided: Flags  # the disk was watched long enough to tell


def scores(fleet: Fleet) -> Floats:
    """(looks,) the score given at the time: the prior's until 50 failures were known, then the probability.

    The prior's is squeezed below any probability that could open a ticket beside it within one quarter.
    """
    out = np.zeros(fleet.device.size)
    left = fleet.left_h()
    watched = fleet.decided()
    for start in np.arange(QUARTER_H, fleet.at_h.max(), QUARTER_H):
        now = (fleet.at_h >= start) & (fleet.at_h < start + QUARTER_H)
        over = watched & (fleet.at_h + np.minimum(left, fleet.horizon_h) <= start)
        model = risk.train(fleet.examples(over, np.where(fleet.at_h + left <= start, left, np.inf)))
        if model is not None:
            out[now] = model.probability(fleet.rows[now], fleet.names)
        else:
            known = prior.learn(fleet.rows[fleet.at_h < start], fleet.names)
            out[now] = known.score(fleet.rows[now], fleet.names) * 1e-3
    return out


def tickets(fleet: Fleet, score: Floats, threshold: Floats) -> Tickets:
    """Tickets that open where a look is over its threshold; one for each disk and 30 days."""
    left, watched = fleet.left_h(), fleet.decided()
    opened: list[int] = []
    until: dict[int, float] = {}
    for i in np.flatnonzero(score >= threshold).tolist():
        device = int(fleet.device[i])
        if fleet.at_h[i] >= until.get(device, -1.0):
            until[device] = float(fleet.at_h[i]) + fleet.horizon_h
            opened.append(i)
    these = np.array(opened, np.int64)
    lead = np.where(left[these] <= fleet.horizon_h, left[these], np.nan)
    return Tickets(fleet.at_h[these], fleet.device[these], lead, watched[these])


def thresholds(fleet: Fleet, score: Floats) -> Floats:
    """(looks,) of each quarter: the lowest score that kept the budget in the year before, by what was known."""
    out = np.full(fleet.device.size, np.inf)
    ends = {device: (start, end) for device, start, end in fleet.exposure}
    starts, stops = (np.array([ends[d][k] for d in sorted(ends)]) for k in (0, 1))
    for start in np.arange(2 * QUARTER_H, fleet.at_h.max(), QUARTER_H):
        known = (fleet.at_h >= start - YEAR_H) & (fleet.at_h + fleet.horizon_h <= start)
        past = fleet.only(known, exposure=fleet.exposure)
        years = np.maximum(0.0, np.minimum(stops, start) - np.maximum(starts, start - YEAR_H)).sum() / YEAR_H
        chosen = np.inf
        for level in LEVELS:
            found = tickets(past, score[known], np.full(known.sum(), level))
            if (np.isnan(found.lead_h) & found.decided).sum() > BUDGET * years:
                break
            chosen = level
        out[(fleet.at_h >= start) & (fleet.at_h < start + QUARTER_H)] = chosen
    return out


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


def draw(months: dict[str, list[float]], file: Path) -> None:
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
    figure.suptitle("43,625 disks, thresholds and models learned from the past only. Data: Backblaze")
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
    threshold = thresholds(fleet, score)
    found = tickets(fleet, score, threshold)
    months = by_month(found, float(fleet.at_h.max()))
    true = np.isfinite(found.lead_h)
    caught = np.unique(found.device[true & (found.lead_h >= fleet.min_lead_h)]).size
    total = {
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
        draw(months, options.plot)


if __name__ == "__main__":
    main()
