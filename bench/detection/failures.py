"""Failures and time left: one row for each line of the table, by the code that runs live.

Two-fold by device where a root is its own training set; with `train_root`, models learned there are applied to
`data_root` whole. Scored by the shared scorer (`failure_score.py`, in the shared folder), with one configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bench.detection import scorer as scorers
from bench.detection.fleets import Fleet, disks, hash_of, hours, in_share, machines
from bench.detection.row import Row, noting
from bench.detection.runs import time_left
from gateway.model import Flags, Floats
from gateway.prognosis import parts, prior, risk
from gateway.prognosis.calibration import deciles

FOLDS = {"disks": 2, "machines": 5}  # few machines: five-fold, still by machine
ALERTED = 0.01  # probability below which no alert is handed to the scorer; far below every budget
LEVELS = 119  # thresholds that the scorer tries, less one
Scores = Floats
Model = TypeVar("Model")


def run(data_root: Path, *, train_root: Path | None = None, quick: bool = False, section: str = "") -> list[Row]:
    """Every line of the table "Failures and time left" whose data are under `data_root`, or those of one section."""
    root, train = _failures(data_root), _failures(train_root) if train_root else None
    sections = {"disks": _disk_rows, "machines": _machine_rows, "runs": time_left}
    rows: list[Row] = []
    for measure in [sections[section]] if section else sections.values():
        rows += measure(root, train, quick)
    return rows


def cross_risk(fleet: Fleet, *, folds: int, trained_on: Fleet | None = None) -> Floats:
    """(looks,) probability of failure, each device judged by a model that never saw it."""
    out = np.zeros(fleet.device.size)
    for judged, model in _crossed(fleet, folds, trained_on, _train):
        out[judged] = model.probability(fleet.rows[judged], fleet.names) if model else 0.0
    return out


def cross_parts(
    fleet: Fleet, components: Sequence[str], views: Sequence[Fleet], *, folds: int, trained_on: Fleet | None = None
) -> list[Floats]:
    """(looks, components) probability of failure for each view of the same looks, by models that learned from all.

    Each device is judged by a model that never saw it.
    """
    out = [np.zeros((fleet.device.size, len(components))) for _ in views]

    def train(known: Fleet, chosen: Flags) -> parts.PartsModel | None:
        left = np.stack([known.left_h(component) for component in components], 1)[chosen & known.decided()]
        past = known.only(chosen & known.decided())
        return parts.train(past.rows, past.names, past.device, left / known.horizon_h, parts=tuple(components))

    for judged, model in _crossed(fleet, folds, trained_on, train):
        for view, p in zip(views, out, strict=True):
            p[judged] = model.probability(view.rows[judged], view.names) if model else 0.0
    return out


def _crossed(
    fleet: Fleet, folds: int, trained_on: Fleet | None, train: Callable[[Fleet, Flags], Model | None]
) -> Iterator[tuple[Flags, Model | None]]:
    """Which looks to judge, and the model to judge them."""
    if trained_on is not None:
        yield np.ones(fleet.device.size, bool), train(trained_on, np.ones(trained_on.device.size, bool))
        return
    fold = (hash_of(fleet.device) * folds).astype(int)
    for k in range(folds):
        yield fold == k, train(fleet, fold != k)


def without_labels(fleet: Fleet, *, folds: int, trained_on: Fleet | None = None) -> Scores:
    """(looks,) prior scores by what is usual on the other devices; no failure is ever seen."""
    if trained_on is not None:
        return prior.learn(trained_on.rows, trained_on.names).score(fleet.rows, fleet.names)
    out = np.zeros(fleet.device.size)
    fold = (hash_of(fleet.device) * folds).astype(int)
    for k in np.unique(fold):
        known = prior.learn(fleet.rows[fold != k], fleet.names)
        out[fold == k] = known.score(fleet.rows[fold == k], fleet.names)
    return out


def curve(
    fleet: Fleet, score: Scores, *, least: float, component: Sequence[str] | None = None, match: bool = False
) -> dict[str, Any]:
    """The shared scorer's alert curve of one score for each look; `component` names what each look points at."""
    scorer = scorers.load("failure_score")
    picked = np.flatnonzero(score >= least)
    alerts = [
        (int(fleet.device[i]), float(fleet.at_h[i]), component[i] if component else None, float(score[i]))
        for i in picked.tolist()
    ]
    watched = {device: (start, end) for device, start, end in fleet.exposure}
    failures = [f for f in fleet.failures if f[0] in watched and watched[f[0]][0] <= f[1] <= watched[f[0]][1]]
    result: dict[str, Any] = scorer.alert_curve(
        alerts, failures, fleet.exposure, fleet.horizon_h, fleet.min_lead_h, match_component=match,
        blackout=fleet.blackout_h, budgets=(0.02, 0.05, 1.0, 2.0),
    )  # fmt: skip
    return result


def _disk_rows(root: Path, train: Path | None, quick: bool) -> list[Row]:
    if not (root / "backblaze").is_dir():
        return []
    note = noting("failures")
    share = 0.05 if quick else 1.0
    other = disks(train / "backblaze", share=share) if train else None
    fleet = disks(root / "backblaze", share=share, like=other)
    p = cross_risk(fleet, folds=FOLDS["disks"], trained_on=other)
    least = max(ALERTED, float(np.quantile(p, 0.95)))
    found = curve(fleet, _levelled(fleet, p, least), least=least)
    bins = deciles(p[fleet.decided()], fleet.left_h()[fleet.decided()] <= fleet.horizon_h)
    off = bins[:, 1] / bins[:, 0]
    unlabelled = without_labels(fleet, folds=FOLDS["disks"], trained_on=other)
    least = float(np.quantile(unlabelled, 0.97))
    blind = curve(fleet, _levelled(fleet, unlabelled, least), least=least)
    rows = [
        note("disks.pr_auc", "disks, trained across disks: PR-AUC", found["pr_auc"], 0.267, 0.36),
        note("disks.recall_at_02", "the same: recall at .02 false alarms a year", _at(found, 0.02), 0.337, 0.46),
        note("disks.recall_at_05", "the same: recall at .05", _at(found, 0.05), 0.490, 0.60),
        note("disks.lead_days", "the same: median lead at .05, days", _lead(found, 0.05) / 24.0, 17.0, 10.0),
        note("disks.calibration_low", "the same: observed / predicted, lowest decile", float(off.min()), None, 0.8),
        note("disks.calibration_high", "the same: observed / predicted, highest decile", float(off.max()), None, 1.25),
        note("disks.blind.pr_auc", "disks, no failure ever seen: PR-AUC", blind["pr_auc"], 0.195, 0.25),
        note("disks.blind.recall_at_02", "the same: recall at .02", _at(blind, 0.02), 0.292, 0.34),
        note("disks.blind.recall_at_05", "the same: recall at .05", _at(blind, 0.05), 0.416, 0.46),
    ]
    return _with_cost(rows, fleet)


def _machine_rows(root: Path, train: Path | None, quick: bool) -> list[Row]:
    if not (root / "azure_pdm").is_dir():
        return []
    note = noting("failures")
    whole = machines(root / "azure_pdm")
    other = machines(train / "azure_pdm") if train else None
    fleet = whole.only(in_share(whole.device, 0.2)) if quick else whole
    components = sorted({component for _, _, component in whole.failures})
    logs = fleet.without("metric:", "shift:")
    by_logs, by_all = cross_parts(fleet, components, (logs, fleet), folds=FOLDS["machines"], trained_on=other)
    any_of, right, _ = _both(fleet, by_logs, components)
    rows = [
        note(
            "machines.logs.pr_auc",
            "machines, logs and service: PR-AUC any component",
            any_of["pr_auc"],
            0.758,
            0.88,
        ),
        note("machines.logs.right_pr_auc", "the same: PR-AUC right component", right["pr_auc"], 0.684, 0.86),
        note("machines.logs.recall_at_2", "the same: recall at 2 a year", _at(any_of, 2.0), 0.68, 0.85),
    ]
    if not (root / "azure_pdm" / "exposure_telemetry.csv.gz").is_file():
        return _with_cost(rows, fleet)
    measured = _measured(fleet, root / "azure_pdm")
    part = fleet.only(measured[0], exposure=measured[1])
    any_of, _, _ = _both(part, by_all[measured[0]], components)
    unlabelled = without_labels(part, folds=FOLDS["machines"], trained_on=other)
    blind = curve(part, unlabelled, least=float(np.quantile(unlabelled, 0.7)))
    rows += [
        note("machines.telemetry.pr_auc", "machines, telemetry and logs: PR-AUC", any_of["pr_auc"], 0.833, 0.93),
        note("machines.telemetry.recall_at_1", "the same: recall at 1 a year", _at(any_of, 1.0), 0.80, 0.92),
        note("machines.telemetry.lead_h", "the same: median lead at that, hours", _lead(any_of, 1.0), 24.0, 36.0),
        note("machines.blind.pr_auc", "machines with telemetry, no labels: PR-AUC", blind["pr_auc"], 0.633, 0.80),
    ]
    return _with_cost(rows, fleet)


def _with_cost(rows: Sequence[Row], fleet: Fleet) -> list[Row]:
    return [replace(row, series=fleet.courses, state_mb=fleet.state_mb) for row in rows]


def _both(fleet: Fleet, p: Floats, components: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any], Scores]:
    """Curves of any component and of the right one."""
    any_p = 1.0 - np.prod(1.0 - p, axis=1)
    any_of = curve(fleet, any_p, least=ALERTED, component=[components[c] for c in p.argmax(1)])
    stacked = fleet.repeated(len(components))
    named = np.repeat(components, fleet.device.size).tolist()
    return any_of, curve(stacked, p.T.ravel(), least=ALERTED, component=named, match=True), any_p


def _measured(fleet: Fleet, folder: Path) -> tuple[Flags, tuple[tuple[int, float, float], ...]]:
    """Which looks were while a machine had telemetry, and that exposure."""
    import pandas as pd  # noqa: PLC0415  (pandas is a development dependency of benchmarks only)

    number = {name: i for i, name in enumerate(pd.read_csv(folder / "machines.csv.gz").device)}
    table = pd.read_csv(folder / "exposure_telemetry.csv.gz")
    times = zip(table.device.map(number).tolist(), hours(table.start).tolist(), hours(table.end).tolist(), strict=True)
    exposure = tuple((d, s, e) for d, s, e in times if (fleet.device == d).any())
    inside = np.zeros(fleet.device.size, bool)
    for device, start, end in exposure:
        inside |= (fleet.device == device) & (fleet.at_h >= start) & (fleet.at_h <= end)
    return inside, exposure


def _train(fleet: Fleet, chosen: Flags) -> risk.RiskModel | None:
    left = fleet.left_h()
    over = fleet.at_h + fleet.horizon_h <= max(end for _, _, end in fleet.exposure)
    chosen = chosen & over & (fleet.decided() | (left <= fleet.horizon_h))
    return risk.train(fleet.examples(chosen, left))


def _levelled(fleet: Fleet, score: Scores, least: float) -> Scores:
    """(looks,) scores from `least` on, rounded down to as many levels as the scorer tries thresholds; 0 below.

    From one level to the next the same number of devices is added. Of more levels the scorer picks some, and its picks
    are far apart where budgets lie: of .05 false alarms a year .048 were used.
    """
    highest = np.zeros(int(fleet.device.max()) + 1)
    np.maximum.at(highest, fleet.device, score)
    if not (alerted := highest[highest >= least]).size:
        return score
    levels = np.unique(np.quantile(alerted, np.linspace(0.0, 1.0, LEVELS), method="lower"))
    return np.concatenate([[0.0], levels])[np.searchsorted(levels, score, side="right")]


def _at(found: dict[str, Any], budget: float) -> float:
    return float(found["recall_at_false_alarms_per_device_year"][str(budget)])


def _lead(found: dict[str, Any], budget: float) -> float:
    points = [p for p in found["curve"] if p["fa_per_device_year"] <= budget]
    return float(max(points, key=lambda p: p["recall"])["lead_median_h"]) if points else float("nan")


def _failures(root: Path) -> Path:
    return root / "failures" if (root / "failures").is_dir() else root
