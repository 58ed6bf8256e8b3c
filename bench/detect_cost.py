"""`python -m bench.detect_cost`: what detection costs: values a second, bytes a series, seconds of training.

One process, one core. Blocks come as the gateway hands them over: some samples of every series.
Keys of the JSON: `values_per_s` and `state_bytes_per_series` (100,000 series, all detectors on, no habits); with habits
of 10,000 devices `habit_values_per_s` and `habit_bytes_per_series`; `train_seconds_10000_devices` (their habits) and
`cohort_seconds_10000_devices` (baselines and fleet models); `curve`: values a second by number of series.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np

from gateway.detect import Engine
from gateway.detect.cohort import cohorts_of, learn_all, standing
from gateway.model import Block, Device, DeviceId, Floats, Roster

METRICS = 20  # of a device
SAMPLES = 6  # of a series in a block: a minute at one in ten seconds
BLOCKS = 12  # of which the first two warm up
TRAINED = 1_000  # rows that a habit learns from
START_MS = 1_700_000_000_000


def main() -> int:
    """Measure, print, and write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.detect_cost", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--json", help="file for the figures")
    options = parser.parse_args()
    share = 10 if options.quick else 1
    run(Engine(roster_of(10)))  # compiles
    found: dict[str, object] = {}
    sizes = [1_000, 10_000, 100_000, 1_000_000]
    found["curve"] = curve = {}
    for series in [size // share for size in sizes]:
        engine = Engine(roster_of(series // METRICS))
        curve[str(series)] = round(run(engine))
        if series == 100_000 // share:
            found["values_per_s"] = curve[str(series)]
            found["state_bytes_per_series"] = held_bytes(engine, "series.") / series
            found["all_bytes_per_series"] = held_bytes(engine, "") / series
    found |= with_habits(10_000 // share)
    found["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    print(json.dumps(found, indent=1))
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")
    return 0


def roster_of(devices: int) -> Roster:
    """Devices of one type with METRICS metrics each."""
    roster = Roster()
    names = [roster.metric(f"metric_{k}") for k in range(METRICS)]
    for number in range(devices):
        roster.put_device(Device(device_id=DeviceId(f"d{number}"), number=number, type="pump"))
        for name in names:
            roster.series(number, name)
    return roster


def run(engine: Engine, blocks: int = BLOCKS) -> float:
    """Values a second of processor time, behind the warm-up."""
    rng = np.random.default_rng(0)
    series = engine.roster.series_count
    spent, values = 0.0, 0
    for k in range(blocks):
        block = block_of(rng.normal(20.0, 1.0, size=(series, SAMPLES)), k)
        started = time.process_time()
        engine.advance(block, int(block.t_ms[-1]))
        if k >= 2:
            spent += time.process_time() - started
            values += len(block)
    return values / spent


def block_of(values: Floats, k: int) -> Block:
    """Block number `k` of (series, SAMPLES) values."""
    series, samples = values.shape
    t_ms = START_MS + (np.arange(samples) + k * samples) * 10_000
    return Block(
        window=k + 1,
        received_ms=int(t_ms[-1]),
        series=np.repeat(np.arange(series), samples),
        t_ms=np.tile(t_ms, series),
        value=values.ravel(),
        late=np.zeros(values.size, np.bool_),
    )


def held_bytes(engine: Engine, prefix: str) -> int:
    """Bytes of the engine's state whose names start so."""
    return sum(array.nbytes for name, array in engine.snapshot().items() if name.startswith(prefix))


def with_habits(devices: int) -> dict[str, float]:
    """Training of habits and cohorts, and values a second with them."""
    engine = Engine(roster_of(devices))
    rng = np.random.default_rng(1)
    rows, clean = rng.normal(20.0, 1.0, size=(TRAINED, METRICS)), np.zeros(TRAINED, np.bool_)
    engine.train(0, np.arange(METRICS), rows, clean)
    started = time.process_time()
    for device in range(devices):
        engine.train(device, np.arange(METRICS) + device * METRICS, rows + 0.01 * device, clean)
    trained = time.process_time() - started
    speed = run(engine)
    level = rng.normal(20.0, 1.0, size=engine.roster.series_count)
    started = time.process_time()
    cohorts = cohorts_of(engine.roster.devices)
    standing(engine.roster, cohorts, level, learn_all(engine.roster, cohorts, level))
    return {
        "habit_values_per_s": round(speed),
        "habit_bytes_per_series": held_bytes(engine, "habits/") / engine.roster.series_count,
        "train_seconds_10000_devices": trained * 10_000 / devices,
        "cohort_seconds_10000_devices": (time.process_time() - started) * 10_000 / devices,
    }


if __name__ == "__main__":
    raise SystemExit(main())
