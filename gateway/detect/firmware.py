"""Firmware versions against each other: has what runs one version changed, where what runs the others has not?

Two comparisons in one. An open episode compares a device with its own past, so a version on which a metric has moved
the same way on many devices is worse than what they ran before; and a stratified test compares how many have moved with
the devices of the same type on other versions at the same time. Strata are model and hardware, so that a version which
only one model runs is not blamed for the model, and yet a roll-out over a handful of each cohort is seen.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, ndtr

from gateway.detect.detector import State
from gateway.detect.series import climbing
from gateway.model import Flags, Floats, Integers, Roster

LEAST = 8  # settled devices of a type on other versions: fewer are no comparison
LEAST_MARKED = 3  # devices that moved alike: two may be chance or one household
RARE = 1e-5  # a score of 1.0: with a test an hour on each of three versions less than one in ten years of a fleet
MOST_EXACT = 2_000  # marked devices up to which the distribution is exact

Marks = NDArray[np.int8]


def strata_of(roster: Roster) -> tuple[Integers, Integers, Integers]:
    """(devices,) numbers of types, of strata (type, model and hardware), and of versions; -1 where none is known."""
    known: dict[tuple[str, ...], int] = {}
    columns = [((d.type,), (d.type, d.model, d.hardware, ""), (d.type, d.firmware)) for d in roster.devices]
    numbers = np.array([[known.setdefault(key, len(known)) for key in row] for row in columns], np.int64).reshape(-1, 3)
    nameless = np.array([not device.firmware for device in roster.devices], np.bool_)
    return numbers[:, 0], numbers[:, 1], np.where(nameless, -1, numbers[:, 2])


def standing(roster: Roster, moved: Marks, settled: Flags) -> Floats:
    """(devices,) how surely the device's version changes devices, 1.0 being one chance in 1 / RARE; NaN where unknown.

    Args:
        roster: of the fleet.
        moved: (series,) of `moves`: 1 and -1 where an open episode holds the series above and below its own past, 2
            where it is unusual without a direction, 0 where nothing is open.
        settled: (series,) whose own past is known; others do not count on either side.

    Source of counting only outcomes that could be told: R. E. Tarone (1990), A modified Bonferroni method for discrete
    data, Biometrics 46, 515-522.
    """
    found = np.full(len(roster.devices), np.nan)
    if not any(device.firmware for device in roster.devices):
        return found
    kind, stratum, version = strata_of(roster)
    marks, judged = _outcomes(roster, moved, settled)
    counted = judged & (version >= 0)
    for number in np.unique(version[counted]).tolist():
        own = version == number
        alike = counted & (kind == kind[np.argmax(own)])
        if (alike & ~own).sum() >= LEAST:
            tested = np.flatnonzero(marks[alike].sum(axis=0) >= LEAST_MARKED)
            chances = [chance(own[alike], marks[alike, k], stratum[alike]) for k in tested.tolist()]
            adjusted = min(1.0, *(len(chances) * c for c in chances), 1.0)  # Bonferroni
            found[own] = np.log(max(adjusted, 1e-300)) / np.log(RARE)
    return found


def moves(tables: Mapping[str, State], value: Floats) -> Marks:
    """(series,) where open episodes hold series, as `standing` takes it.

    Args:
        tables: of the engine, those of level and drift among them.
        value: (series,) the newest.
    """
    found = np.zeros(value.size, np.int8)
    for table, state in tables.items():
        if table.startswith("series.") and table.endswith(".episodes") and "silence" not in table:
            found[state["episodes"]["open"][: value.size]] = 2
    level, drift = (tables[f"series.{name}"][name][: value.size] for name in ("level", "drift"))
    for name, away in (("drift", drift["fast"] - drift["slow"]), ("level", value - level["mean"])):
        held = tables[f"series.{name}.episodes"]["episodes"]["open"][: value.size] & (away != 0.0)
        found[held] = np.sign(away[held])
    return found


def _outcomes(roster: Roster, moved: Marks, settled: Flags) -> tuple[Flags, Flags]:
    """(devices, outcomes) what may have befallen devices, and (devices,) which have a past to compare with.

    Outcomes: each metric above and below its own past, and anything unusual at all.
    """
    metrics, devices = len(roster.metrics), len(roster.devices)
    steady = ~climbing(roster)  # which any update moves, by the restart that it needs
    metric, device = roster.series_metric, roster.series_device
    used = settled & steady[metric] if metrics else settled
    marks, judged = np.zeros((devices, 2 * metrics + 1), np.bool_), np.zeros(devices, np.bool_)
    judged[device[used]] = True
    for column, way in ((0, 1), (metrics, -1)):
        rows = np.flatnonzero(used & (moved == way))
        marks[device[rows], column + metric[rows]] = True
    marks[device[used & (moved != 0)], -1] = True
    return marks[:, marks.any(axis=0)], judged


def chance(own: Flags, marked: Flags, stratum: Integers) -> float:
    """How probably chance alone marks so many devices of one version, given how many are marked in each stratum.

    Args:
        own: (devices,) which run the version.
        marked: (devices,) which have moved.
        stratum: (devices,) in which they are compared.

    Returns:
        One-sided; 1.0 where fewer than LEAST_MARKED of the version are marked, or no more than expected.

    Source: N. Mantel and W. Haenszel (1959), Statistical aspects of the analysis of data from retrospective studies,
    Journal of the National Cancer Institute 22, 719-748, with the exact distribution over 2 x 2 tables of fixed margins
    for small counts: J. J. Gart (1970), Biometrika 57, 471-475.
    """
    hit = int((own & marked).sum())
    if hit < LEAST_MARKED:
        return 1.0
    strata = np.unique(stratum, return_inverse=True)[1]
    total, mine, sick = (np.bincount(strata, weights=w) for w in (np.ones(own.size), own, marked))
    expected = float((mine * sick / total).sum())
    if hit <= expected:
        return 1.0
    if sick.sum() > MOST_EXACT:
        spread = (mine * sick * (total - mine) * (total - sick) / (total**2 * np.maximum(total - 1.0, 1.0))).sum()
        return float(ndtr((expected + 0.5 - hit) / np.sqrt(max(float(spread), 1e-12))))
    least, law = 0, np.ones(1)
    for n, k, m in zip(total, mine, sick, strict=True):
        low = int(max(0, k + m - n))
        x = np.arange(low, int(min(k, m)) + 1)
        log = _choose(m, x) + _choose(n - m, k - x) - _choose(n, np.array([k]))
        least, law = least + low, np.convolve(law, np.exp(log))
    return float(min(1.0, law[hit - least :].sum()))


def _choose(n: float, k: Floats | Integers) -> Floats:
    """Logarithm of the number of ways to choose k of n."""
    ways: Floats = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
    return ways
