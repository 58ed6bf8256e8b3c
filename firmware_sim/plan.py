"""What will break, and when devices start: drawn once from the seed, before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from firmware_sim.fault import BY_NAME, LOCK, PUMP, ROUTER, SINGLE, TYPES, Fault, fault, ripening
from firmware_sim.noise import Integers
from firmware_sim.region import DAY_MS, HOUR_MS, REGIONS, Region, awake

ONSETS: Final = (0.3, 0.85)
"""Share of the history in which faults begin: after some normal life, and with time left to be seen."""

LOOPS: Final = 60  # starts of a boot loop between onset and failure

RIPENING: Final = (
    # mode, type, held at the start of the show, seconds until failure
    ("battery_ageing", LOCK, 0.80, 70),
    ("battery_ageing", LOCK, 0.82, 120),
    ("fan_bearing", ROUTER, 0.84, 60),
    ("thermal_runaway", ROUTER, 0.45, 150),
    ("refrigerant_leak", PUMP, 0.70, 120),
    ("reboot_loop", ROUTER, 0.08, 300),
)
"""The faults of the demo that come to a head within minutes."""


def faults(seed: int, kinds: Sequence[str], start_ms: int, end_ms: int, *, faulty_ratio: float) -> tuple[Fault, ...]:
    """Faults of single devices, every mode in turn, and one bad firmware on a cohort of routers where there are enough.

    A device has one fault at most.
    """
    rng = np.random.default_rng([seed, 1])
    free = {kind: rng.permutation([at for at, held in enumerate(kinds) if held == kind]).tolist() for kind in TYPES}
    wanted = round(faulty_ratio * len(kinds))
    found: list[Fault] = []
    cohort = free[ROUTER][: len(free[ROUTER]) // 6] if wanted >= len(SINGLE) else []
    if cohort:
        bad = BY_NAME["bad_firmware"]
        onset, days = _onset(rng, start_ms, end_ms), float(rng.uniform(*bad.days))
        found += [fault(device, bad, onset + int(rng.uniform(0, 8 * HOUR_MS)), days) for device in cohort]
        free[ROUTER] = free[ROUTER][len(cohort) :]
    modes = rng.permutation(len(SINGLE)).tolist()
    for turn in range(max(0, wanted - len(cohort))):
        mode = SINGLE[modes[turn % len(modes)]]
        kind = mode.types[(turn // len(modes)) % len(mode.types)]
        if free[kind]:
            found.append(fault(free[kind].pop(), mode, _onset(rng, start_ms, end_ms), float(rng.uniform(*mode.days))))
    return tuple(sorted(found, key=lambda held: (held.onset_ms, held.device)))


def with_ripening(
    held: tuple[Fault, ...], kinds: Sequence[str], regions: Sequence[int], start_ms: int, live_ms: int
) -> tuple[Fault, ...]:
    """The same faults and those of the demo, on devices that had none, for owners of either language in turn.

    Owners who are up at `live_ms` come first: what is not urgent waits for the morning, and would not be seen.
    """
    taken = {fault.device for fault in held}
    added = []
    for turn, (name, kind, progress, seconds) in enumerate(RIPENING):
        able = [at for at, held_kind in enumerate(kinds) if held_kind == kind and at not in taken]
        language = ("en", "zh")[turn % 2]
        able.sort(key=lambda at: _patience(REGIONS[regions[at]], language, live_ms))
        if not able:
            continue
        taken.add(able[0])
        onset = max(start_ms + DAY_MS, live_ms - 6 * DAY_MS)
        added.append(
            ripening(able[0], BY_NAME[name], onset_ms=onset, live_ms=live_ms, held=progress, within_ms=seconds * 1000)
        )
    return tuple(sorted((*held, *added), key=lambda held: (held.onset_ms, held.device)))


def _patience(region: Region, language: str, live_ms: int) -> tuple[bool, bool]:
    return not awake(region, live_ms), region.language != language


def boots(seed: int, built_ms: Integers, truth: Sequence[Fault], until_ms: int) -> list[Integers]:
    """(starts,) of each device, ascending: when it was built, power cuts, and what faults add."""
    rng = np.random.default_rng([seed, 2])
    found: list[Integers] = []
    for built in built_ms.tolist():
        gaps = rng.exponential(45 * DAY_MS, 60).astype(np.int64)
        cuts = built + np.cumsum(gaps + HOUR_MS)
        found.append(np.concatenate([[built], cuts[cuts < until_ms]]).astype(np.int64))
    for held in truth:
        found[held.device] = np.unique(np.concatenate([found[held.device], _starts(held, until_ms)]))
    return found


def _starts(held: Fault, until_ms: int) -> Integers:
    """The starts that one fault causes."""
    run = held.failed_ms - held.onset_ms
    match held.mode:
        case "memory_leak":  # out of memory, restart, and the leak begins anew
            return np.arange(held.failed_ms, until_ms, run, dtype=np.int64)
        case "bad_firmware":
            return np.array([held.onset_ms], np.int64)
        case "reboot_loop":
            times, heights = zip(*held.knots, strict=True)
            share = (np.arange(LOOPS) / LOOPS) ** 0.7
            loop = np.interp(share, heights, times).astype(np.int64)
            after = np.arange(held.failed_ms, until_ms, max(run // LOOPS, HOUR_MS // 4), dtype=np.int64)
            return np.concatenate([loop, after[:2000]])
        case _:
            return np.empty(0, np.int64)


def _onset(rng: np.random.Generator, start_ms: int, end_ms: int) -> int:
    low, high = ONSETS
    return int(start_ms + rng.uniform(low, high) * (end_ms - start_ms))
