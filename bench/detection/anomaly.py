"""Anomalies: the engine over public, labelled telemetry, one row for each line of the table.

Expects `anomaly/` below the root (index.csv, events.json and the series; a README beside the data gives sources and
licences), and above a root or in the shared folder the scorer `bench/anomaly_score.py`. Every series is one device,
every column one of its metrics. The engine sees the rows in time order; where a series has a training part of several
metrics, the device's habit is trained on it once, as the schedule would. One configuration serves all; the bench only
chooses which product of the engine answers which question: `state` (how long something is wrong) for VUS-PR, AUC-PR and
F1, `event` (that something set in) for events and budgets, `alarm` (one per event) for the NAB, which counts every row.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bench.detection import scorer as scorers
from bench.detection.row import Row, peak_mb
from gateway.detect import Engine
from gateway.model import Block, Device, DeviceId, Floats, Roster

BLOCK_ROWS = 2_000  # rows of a device that come in one block
SKAB_FAR = 0.15
DAY, WEEK = 1.0, 1.0 / 7.0
PICKS = {"nab": "alarm", "skab": "event", "smd": "event", "asd": "event", "jsd2": "event"}
Scores = dict[str, dict[str, Floats]]  # series id: product: (rows,)

# key: (what it is, the best simple baseline, the best published on this half, what to reach)
TABLE: dict[str, tuple[str, float | None, float | None, float | None]] = {
    "nab_standard": ("NAB standard score", 31.9, 75.0, 70.0),
    "nab_low_fp": ("NAB low-FP score", None, 66.3, 60.0),
    "nab_recall_week": ("NAB event recall at 1 false alarm a week", 0.64, 0.90, 0.85),
    "skab_f1": ("SKAB F1 at a false-alarm rate of at most 15 %", 0.70, 0.767, 0.80),
    "skab_auc_pr": ("SKAB AUC-PR", 0.84, None, 0.90),
    "smd_vus_pr": ("SMD VUS-PR", 0.565, 0.565, 0.60),
    "smd_fc1": ("SMD event F1 (Fc1)", 0.67, None, 0.75),
    "smd_recall_day": ("SMD event recall at 1 false alarm a day", 0.53, None, 0.70),
    "asd_vus_pr": ("ASD VUS-PR", 0.60, None, 0.62),
    "asd_recall_day": ("ASD event recall at 1 false alarm a day", 0.76, None, 0.82),
    "jsd2_fc1": ("JSD2 event F1 (Fc1)", 0.58, None, 0.65),
    "jsd2_recall_day": ("JSD2 event recall at 1 false alarm a day", 0.78, None, 0.85),
    "smap_vus_pr": ("SMAP VUS-PR", 0.23, 0.428, 0.30),
    "msl_vus_pr": ("MSL VUS-PR", 0.22, 0.519, 0.35),
    "unseen_false_alarms_day": ("false alarms a day on unseen series, threshold of 1 a week", 1.5, None, 0.20),
}


def run(data_root: Path, *, train_root: Path | None = None, quick: bool = False) -> list[Row]:
    """Every line of the Anomalies table for the data under `data_root`.

    With `train_root`, the threshold of the last line is picked there and applied here; without it, by ten splits of the
    series of each set in halves. `quick` takes the two smallest series of each set.

    Raises:
        FileNotFoundError: there are data and no scorer.
    """
    root = _root(data_root)
    if not (root / "index.csv").exists():
        return []
    scorer = scorers.load("anomaly_score", root, train_root)
    measured: dict[str, float] = {}
    timing: dict[str, float] = {}
    spent: dict[str, Counter[str]] = {}
    parts: dict[str, tuple[list[Any], Scores]] = {}
    for dataset in ("nab", "skab", "smd", "asd", "jsd2", "smap", "msl"):
        started = time.process_time()
        series = _chosen(scorer, root, dataset, quick=quick)
        if not series:
            continue
        spent[dataset] = Counter()
        scores = {s.id: score(s, spent[dataset]) for s in series}
        parts[dataset] = (series, scores)
        timing[dataset] = time.process_time() - started
        measured |= FIGURES[dataset](scorer, series, scores)
    elsewhere = {} if train_root is None else _elsewhere(scorer, _root(train_root), quick=quick)
    measured["unseen_false_alarms_day"] = _unseen(scorer, parts, elsewhere)
    none: Counter[str] = Counter()
    return [
        Row(
            f"anomaly.{key}", *_named(key, value), timing.get(of, 0.0), peak_mb(),
            spent.get(of, none)["series"], spent.get(of, none)["bytes"] / 2**20,
        )
        for key, value in measured.items()
        for of in [key.split("_")[0]]
    ]  # fmt: skip


def score(series: Any, spent: Counter[str] | None = None) -> dict[str, Floats]:
    """What the engine says of every row of one series of the suite: `state`, `event` and `alarm`.

    `spent` counts the metrics as `series`, and the bytes that were kept of them.
    """
    rows, metrics = series.X.shape
    roster = Roster()
    roster.put_device(Device(device_id=DeviceId(series.id), number=0, type=series.dataset))
    numbers = np.array([roster.series(0, roster.metric(name)) for name in series.names], np.int64)
    engine = Engine(roster)
    t_ms = series.t * 1000
    found = {name: np.zeros(rows) for name in ("state", "event", "alarm")}
    cuts = sorted({*range(0, rows, BLOCK_ROWS), series.n_train, rows})
    for window, (start, end) in enumerate(pairwise(cuts), 1):
        if start == series.n_train:
            engine.train(0, numbers, series.X[:start].astype(float), np.zeros(start, np.bool_))
        count = end - start
        block = Block(
            window=window,
            received_ms=int(t_ms[end - 1]),
            series=np.repeat(numbers, count),
            t_ms=np.tile(t_ms[start:end], metrics),
            value=series.X[start:end].T.astype(float).ravel(),
            late=np.zeros(count * metrics, np.bool_),
        )
        told = engine.advance(block, int(t_ms[end - 1])).rows
        at = start + np.searchsorted(t_ms[start:end], told.t_ms)
        for name, product in (("state", told.state), ("event", told.event), ("alarm", told.alarm)):
            found[name][at] = product
    if spent is not None:
        kept = {k: a.nbytes for k, a in engine.snapshot().items() if k.startswith(("series.", "device.", "habits/"))}
        spent.update(series=metrics, bytes=sum(kept.values()))
    return found


def _nab(scorer: Any, series: list[Any], scores: Scores) -> dict[str, float]:
    files = [(scores[s.id]["alarm"], s.windows, s.n_train) for s in series]
    return {
        "nab_standard": scorer.nab_score(files)["score"],
        "nab_low_fp": scorer.nab_score(files, "reward_low_FP_rate")["score"],
        "nab_recall_week": _recall(scorer, series, scores, "nab", WEEK),
    }


def _skab(scorer: Any, series: list[Any], scores: Scores) -> dict[str, float]:
    score = np.concatenate([scores[s.id]["state"][s.n_train :] for s in series])
    label = np.concatenate([s.label[s.n_train :] for s in series]) > 0
    order = np.argsort(-score, kind="stable")
    hits, count = np.cumsum(label[order]), np.arange(1, label.size + 1)
    f1 = 2.0 * hits / (count + label.sum())
    allowed = (count - hits) <= SKAB_FAR * (~label).sum()
    return {"skab_f1": float(f1[allowed].max()), "skab_auc_pr": _mean_ap(scorer, series, scores)}


def _smd(scorer: Any, series: list[Any], scores: Scores) -> dict[str, float]:
    known = [s for s in series if s.stratum == "mapped"] or series
    return {
        "smd_vus_pr": _mean_vus(scorer, known, scores),
        "smd_fc1": _fc1(scorer, series, scores),
        "smd_recall_day": _recall(scorer, series, scores, "smd", DAY),
    }


def _asd(scorer: Any, series: list[Any], scores: Scores) -> dict[str, float]:
    recall = _recall(scorer, series, scores, "asd", DAY)
    return {"asd_vus_pr": _mean_vus(scorer, series, scores), "asd_recall_day": recall}


def _jsd2(scorer: Any, series: list[Any], scores: Scores) -> dict[str, float]:
    recall = _recall(scorer, series, scores, "jsd2", DAY)
    return {"jsd2_fc1": _fc1(scorer, series, scores), "jsd2_recall_day": recall}


FIGURES: dict[str, Callable[[Any, list[Any], Scores], dict[str, float]]] = {
    "nab": _nab,
    "skab": _skab,
    "smd": _smd,
    "asd": _asd,
    "jsd2": _jsd2,
    "smap": lambda scorer, series, scores: {"smap_vus_pr": _mean_vus(scorer, series, scores)},
    "msl": lambda scorer, series, scores: {"msl_vus_pr": _mean_vus(scorer, series, scores)},
}


def _pairs(series: list[Any], scores: Scores, product: str) -> list[tuple[Any, Floats]]:
    return [(s, scores[s.id][product]) for s in series]


def _recall(scorer: Any, series: list[Any], scores: Scores, dataset: str, budget: float) -> float:
    pairs = _pairs(series, scores, PICKS[dataset])
    return float(scorer.recall_at_budget(pairs, (budget,), scorer.REFRACTORY_S[dataset])[budget]["recall"])


def _fc1(scorer: Any, series: list[Any], scores: Scores) -> float:
    return float(scorer.best_f1(_pairs(series, scores, "event"))["fc1"])


def _mean_vus(scorer: Any, series: list[Any], scores: Scores) -> float:
    found = [
        scorer.vus_pr(s.label[s.n_train :], scores[s.id]["state"][s.n_train :], scorer.acf_window(s.X[s.n_train :, 0]))
        for s in series
        if s.label[s.n_train :].any()
    ]
    return float(np.mean(found)) if found else float("nan")


def _mean_ap(scorer: Any, series: list[Any], scores: Scores) -> float:
    labelled = [s for s in series if s.label[s.n_train :].any()]
    found = [scorer.average_precision(s.label[s.n_train :], scores[s.id]["state"][s.n_train :]) for s in labelled]
    return float(np.mean(found)) if found else float("nan")


def _unseen(scorer: Any, parts: dict[str, tuple[list[Any], Scores]], elsewhere: dict[str, float]) -> float:
    """False alarms a day where the threshold was picked on other series, mean over the sets with a weekly budget."""
    found = []
    for dataset in ("nab", "smd", "asd", "jsd2"):
        if dataset not in parts:
            continue
        pairs = _pairs(*parts[dataset], PICKS[dataset])
        refractory = scorer.REFRACTORY_S[dataset]
        if dataset in elsewhere:
            found.append(_alarms(scorer, pairs, elsewhere[dataset], refractory))
            continue
        for seed in range(5 if len(pairs) > 1 else 0):
            order = np.random.default_rng(seed).permutation(len(pairs))
            halves = [[pairs[i] for i in order[k::2]] for k in (0, 1)]
            for here, there in (halves, halves[::-1]):
                found.append(_alarms(scorer, there, _threshold(scorer, here, refractory), refractory))
    return float(np.mean(found)) if found else float("nan")


def _threshold(scorer: Any, pairs: list[tuple[Any, Floats]], refractory: float) -> float:
    return float(scorer.recall_at_budget(pairs, (WEEK,), refractory)[WEEK]["threshold"])


def _alarms(scorer: Any, pairs: list[tuple[Any, Floats]], threshold: float, refractory: float) -> float:
    fleet = scorer.make_fleet(pairs, refractory)
    return float(scorer.alarms_at(fleet, threshold, refractory)["fa_per_series_day"])


def _elsewhere(scorer: Any, root: Path, *, quick: bool) -> dict[str, float]:
    """Thresholds of one false alarm a week on the series of another root, by data set."""
    found = {}
    for dataset in ("nab", "smd", "asd", "jsd2"):
        series = _chosen(scorer, root, dataset, quick=quick)
        if series:
            pairs = _pairs(series, {s.id: score(s) for s in series}, PICKS[dataset])
            found[dataset] = _threshold(scorer, pairs, scorer.REFRACTORY_S[dataset])
    return found


def _chosen(scorer: Any, root: Path, dataset: str, *, quick: bool) -> list[Any]:
    series = [s for s in scorer.load_suite(str(root), [dataset]) if len(s.label) > s.n_train]
    return sorted(series, key=lambda s: s.X.size)[:2] if quick else series


def _named(key: str, value: float) -> tuple[str, float, float | None, float | None, float | None]:
    figure, baseline, published, reach = TABLE[key]
    return figure, value, baseline, published, reach


def _root(data_root: Path) -> Path:
    return data_root / "anomaly" if (data_root / "anomaly").is_dir() else data_root
