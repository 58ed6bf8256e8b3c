"""Logs: templates, throughput, next alarms and sessions on public data, one row for each line of the table.

Expects below the root's `logs/` (a README beside the data gives sources and licences):
`loghub_2k/*_2k.structured.csv.gz`, `loghub2_full/*_full.structured.csv.gz`, `raw/*.log.gz`, `alpi/windows.npz`,
`hdfs_100k/sessions.csv.gz`. What is not there is not measured. No figure needs training on another root: miners start
empty for every system, and a machine's alarms are forecast from its own past, in the order of time (`logs_alpi`).
"""

from __future__ import annotations

import csv
import gzip
import random
import resource
import string
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.detection.log_score import TemplateScore, f1, mean_average_precision, score_templates
from bench.detection.logs_alpi import CODES, HORIZON_MIN, Window, machines
from bench.detection.row import Row
from gateway.detect.logs.miner import Miner
from gateway.detect.logs.next_alarm import SOUND, NextAlarms
from gateway.detect.logs.sequence import Sessions
from gateway.model import Flags, Floats

BLOCK = 2_000  # lines a call, as blocks hand them over
LINES = 20_000  # of the made-up log
QUICK_WINDOWS = 1_600  # of a machine that `quick` leaves out
MINUTE_MS = 60_000
PENDING = 32  # questions of eight hours; windows end at most every 20 minutes

_DRAIN = {"ga": 0.803, "fga": 0.820, "pa": 0.302, "fta": 0.343}  # Drain3 with the masks of its examples
_TUNED = {"ga": 0.871}  # Drain, settings tuned per system
_REACH = {"ga": 0.93, "fga": 0.90, "pa": 0.75, "fta": 0.65}
_WHOLE = {"ga": (0.802, 0.95), "fga": (0.790, 0.92)}
_NAMES = {"ga": "grouping accuracy", "fga": "F1 of groups", "pa": "line accuracy", "fta": "F1 of templates"}


def run(data_root: Path, *, train_root: Path | None = None, quick: bool = False) -> list[Row]:
    """Every line of the Logs table for the data under `data_root`; `train_root` changes nothing (see above)."""
    root = data_root / "logs" if (data_root / "logs").is_dir() else data_root
    parts: Sequence[Callable[[], list[Row]]] = (
        lambda: _templates(sorted((root / "loghub_2k").glob("*.structured.csv.gz"))),
        lambda: _whole(sorted((root / "loghub2_full").glob("*.structured.csv.gz"))),
        lambda: _throughput(sorted((root / "raw").glob("*.log.gz"))),
        lambda: _next_alarm(root / "alpi" / "windows.npz", quick=quick),
        lambda: _sessions(root / "hdfs_100k" / "sessions.csv.gz"),
    )
    return [row for part in parts for row in part()]


def mine(lines: Sequence[str]) -> tuple[list[str], Miner, float]:
    """The template of every line as known at the end of the log, the miner, and the processor seconds it took."""
    miner, slots = Miner(), []
    started = time.process_time()
    for k in range(0, len(lines), BLOCK):
        slots += miner.mine(lines[k : k + BLOCK])
    seconds = time.process_time() - started
    texts = {slot: miner.text(slot) for slot in set(slots)}
    return [texts[slot] for slot in slots], miner, seconds


def _system(file: Path) -> tuple[TemplateScore, float]:
    with gzip.open(file, "rt", encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    truth = [row.get("EventTemplateCorrected") or row["EventTemplate"] for row in rows]
    found, _, seconds = mine([row["Content"] for row in rows])
    return score_templates(truth, found), seconds


def _templates(files: Sequence[Path]) -> list[Row]:
    if not files:
        return []
    scores = [_system(file) for file in files]
    seconds = sum(s for _, s in scores)
    return [
        _row(
            f"logs.templates.{key}",
            f"templates of {len(files)} systems: {name}",
            float(np.mean([getattr(score, key) for score, _ in scores])),
            baseline=_DRAIN[key],
            published=_TUNED.get(key),
            reach=_REACH[key],
            seconds=seconds,
        )
        for key, name in _NAMES.items()
    ]


def _whole(files: Sequence[Path]) -> list[Row]:
    rows = []
    for file in files:
        score, seconds = _system(file)
        system = file.name.split("_")[0]
        for key, (baseline, reach) in _WHOLE.items():
            rows.append(
                _row(
                    f"logs.whole.{key}" if len(files) == 1 else f"logs.whole.{system.lower()}.{key}",
                    f"whole log of {system}: {_NAMES[key]}",
                    getattr(score, key),
                    baseline=baseline if system == "Linux" else None,
                    reach=reach,
                    seconds=seconds,
                )
            )
    return rows


def _throughput(files: Sequence[Path]) -> list[Row]:
    logs = {"made-up": glued_lines(LINES)}
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8", errors="replace") as handle:
            logs[file.name.split("_")[0]] = handle.read().splitlines()
    measured = {name: mine(lines) for name, lines in logs.items()}
    speed = {name: len(logs[name]) / seconds for name, (_, _, seconds) in measured.items()}
    seconds = sum(s for _, _, s in measured.values())
    clusters = max(sum(t is not None for t in miner.templates) for _, miner, _ in measured.values())
    typical = float(np.median(list(speed.values())))
    least = min(speed, key=lambda name: speed[name])
    return [
        _row(
            "logs.lines_per_cpu_s",
            "lines a processor second, typical",
            typical,
            published=74_000,  # Drain3
            reach=40_000,
            seconds=seconds,
        ),
        _row("logs.lines_per_cpu_s.least", f"the same, least ({least})", speed[least], 1_000, 20_000, seconds=seconds),
        _row("logs.clusters", "most templates held on these logs", float(clusters), 6_561, seconds=seconds),
    ]


def glued_lines(count: int) -> list[str]:
    """Lines with numbers glued to words, ids and free words, as health apps write: what breaks unmasked miners."""
    rng = random.Random(1)  # the same lines always
    words = ["".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, 9))) for _ in range(3_000)]

    def number(digits: int) -> int:
        return rng.randrange(10**digits)

    forms: Sequence[Callable[[], str]] = (
        lambda: f"onStepChanged {number(4)}",
        lambda: f"onExtend:15140{number(8)} {number(2)} 0 {number(1)}",
        lambda: f"getTotal = 15140{number(8)}##{number(4)}##{number(5)}##{number(4)}##{number(7)}",
        lambda: f"calculate total={number(6)} mode={rng.choice(words)}",
        lambda: f"upload {rng.getrandbits(128):032x} by user {rng.choice(words)} took {number(3)}ms",
        lambda: f"broadcast action:android.intent.action.{rng.choice(words).upper()}_{rng.choice(words).upper()}",
        lambda: f"session {rng.choice(words)}-{number(3)}.{rng.choice(words)}.net closed: {rng.choice(words)}",
        lambda: f"cache {rng.choice(words)} {rng.choice(words)} size={number(3)}KB",
    )
    return [forms[k % len(forms)]() for k in range(count)]


def _next_alarm(file: Path, *, quick: bool) -> list[Row]:
    if not file.exists():
        return []
    started = time.process_time()
    chosen = list(machines(file, most=QUICK_WINDOWS if quick else None))
    found = [forecasts(windows) for windows in chosen]
    truth, score = (np.concatenate(parts) for parts in zip(*found, strict=True))
    seconds = time.process_time() - started
    of = f"alarm codes of the next 8 h, {len(chosen)} logs"
    precision = mean_average_precision(truth, score)
    called = f1(truth, score >= SOUND)
    beside = ((None, None), (None, None)) if quick else ((0.231, 0.31), (0.712, 0.75))  # of all machines
    return [
        _row("logs.next_alarm.map", f"{of}: mean average precision", precision, *beside[0], seconds=seconds),
        _row("logs.next_alarm.f1", f"{of}: micro F1", called, *beside[1], seconds=seconds),
    ]


def forecasts(windows: Sequence[Window]) -> tuple[Flags, Floats]:
    """What sounded after the windows asked about, and how likely it was said to be, (asked windows, CODES) each.

    The device is walked through in the order of time; an outcome is told when its hours are over.
    """
    device = NextAlarms(room=CODES, pending=PENDING)
    told, truth, score = 0, [], []
    for k, window in enumerate(windows):
        while told < k and windows[told].end_min + HORIZON_MIN <= window.end_min:
            device.sounded(windows[told].end_min * MINUTE_MS, np.flatnonzero(windows[told].outcome).tolist())
            told += 1
        count = len(window.fresh)
        ago = np.linspace(window.since_min * MINUTE_MS, 0, count + 2)[1:-1]
        device.hear(list(window.fresh), window.end_min * MINUTE_MS - ago.astype(np.int64))
        chance = device.ask(window.end_min * MINUTE_MS)
        if window.asked:
            truth.append(window.outcome)
            score.append(np.zeros(CODES))
            score[-1][device.codes[device.codes >= 0]] = chance[device.codes >= 0]
    return np.array(truth, np.bool_).reshape(-1, CODES), np.array(score).reshape(-1, CODES)


def _sessions(file: Path) -> list[Row]:
    if not file.exists():
        return []
    with gzip.open(file, "rt", encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    started = time.process_time()
    sessions = Sessions()
    score = np.array([sessions.score([int(e) for e in row["events"].split()]) for row in rows])
    seconds = time.process_time() - started
    truth = np.array([row["anomaly"] == "1" for row in rows])
    return [_row("logs.sessions.f1", "HDFS sessions in one pass: F1", f1(truth, score >= 1.0), 0.64, seconds=seconds)]


def _row(
    key: str,
    figure: str,
    ours: float,
    baseline: float | None = None,
    reach: float | None = None,
    *,
    seconds: float,
    published: float | None = None,
) -> Row:
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Row(key, figure, round(ours, 4), baseline, published, reach, round(seconds, 2), round(peak_mb, 1))
