"""Which part of a device fails within the horizon: one model for all parts, as the parts fail in like ways.

What differs between parts is learned as counts, which a few failures suffice for: which log code comes before failures
of which part, and which gauge shifts. What is common is learned from the failures of all of them at once: how much it
means that a part's own code has come, that it was serviced lately, or that its own gauge has shifted. So each failure
teaches every part, and a few devices with telemetry teach what a shift means beside what logs and service say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from gateway.model import Flags, Floats, Integers
from gateway.prognosis.calibration import TINY, Calibration, calibrate
from gateway.prognosis.features import Rows
from gateway.prognosis.risk import ENOUGH_LABELS, PARTS, REACHES, SETS
from gateway.prognosis.trees import Judge, form_for, grow

NEAR = 1.0 / 3.0  # horizons before a failure in which its signs are counted
EDGES = np.array([1.0 / 12.0, 1.0 / 3.0, 2.0 / 3.0, 1.0, 2.0])  # horizons since the last line of a code
STATES = EDGES.size + 1
USUAL = 3.0  # failures that what is usual of a code or gauge weighs beside those seen
LONG_AGO = 2.0  # horizons since a code; what lies further back tells of the visits of service staff, not of wear
OWN = 2  # codes of a part that trees see one by one
NOTHING = -9.0  # log odds; where there is no other part, nothing speaks for it
ROOM = 10_000  # healthy rows that trees see, each once for every part; 30,000 were no better (measured: machines)
SHIFT_ROOM = 20_000  # rows from which it is learned what a shift means
TOLD = 3.0  # independent looks at one failure, as neighbouring looks are alike
RIDGE = 0.1  # towards what logs and service say alone (measured: 1.0 gave .87 of PR-AUC, .3 .93, .1 .95; machines)
MOST = 30.0  # log odds


@dataclass(frozen=True, slots=True)
class Signs:
    """What came before failures of which part, as log likelihood ratios, and what each gauge speaks of."""

    codes: tuple[str, ...]
    tells: Floats  # (codes, parts, STATES) log of how much likelier before a failure of the part than else
    own: Integers  # (parts, OWN) the codes that tell most of it
    gauges: tuple[str, ...]  # features "shift:<metric>.up" and "shift:<metric>.down"
    share: Floats  # (parts, gauges) of a part's failures, how many the gauge shifted before


@dataclass(frozen=True, slots=True)
class PartsModel:
    """A trained model of all parts; `failures` says from how many failures it has learned."""

    names: tuple[str, ...]  # features of the device that trees see as they are
    parts: tuple[str, ...]
    signs: Signs
    trees: tuple[Judge, ...]
    calibration: Calibration
    beside: Floats  # (4,) log odds = dot of 1, log odds by logs and service, shift, and product of both
    failures: int

    def probability(self, rows: Rows, names: Sequence[str]) -> Floats:
        """(rows, parts) probability that each part fails within the horizon. A row is judged by itself."""
        x = _instances(self.signs, self.parts, self.names, rows, names)
        odds = _odds(self.calibration, [judge(_flat(x)) for judge in self.trees]).reshape(len(rows), -1)
        return _sigmoid(_told(odds, _shifted(self.signs, rows, names), self.beside))


def train(
    rows: Rows,
    names: Sequence[str],
    device: Integers,
    left: Floats,
    *,
    parts: tuple[str, ...],
    weight: Floats | None = None,
    seed: int = 0,
) -> PartsModel | None:
    """A model of the failures of all parts, or None where fewer than 50 are known, or of fewer than three devices.

    Args:
        rows: (rows, features) by device, then time.
        names: (features,).
        device: (rows,).
        left: (rows, parts) horizons to the next failure of each part; inf where none is known.
        parts: as services name them.
        weight: (rows,) what each tells trees and calibration beside the others; None: one.
        seed: of the drawing of rows and of the trees.

    Sources: counts of signs as naive Bayes with a Dirichlet prior (T. Mitchell 1997, Machine Learning, ch. 6); pooling
    of tasks as in R. Caruana (1997), Multitask learning, Machine Learning 28, 41-75; trees and calibration as in
    `risk.train`.
    """
    failed: Flags = np.asarray(left <= 1.0)
    failures = _count(failed, device)
    if failures < ENOUGH_LABELS or np.unique(device).size < PARTS:
        return None
    signs = _signs(rows, names, device, left, parts)
    plain = tuple(name for name in names if "." not in name)
    picked, weight = _drawn(np.asarray(failed.any(axis=1)), np.ones(len(rows)) if weight is None else weight, seed)
    x = _instances(signs, parts, plain, rows[picked], names)
    form = replace(form_for(failures * len(parts) * (PARTS - 1) // PARTS), rising=_rising(x.shape[2]))

    def grown(seen: Flags, seed: int) -> tuple[Judge, ...]:
        due, w = left[picked][seen].ravel(), np.repeat(weight[seen], len(parts))
        return tuple(grow(_flat(x[seen]), due <= reach, w, replace(form, seed=seed)) for reach in REACHES)

    part = _part_of(device)[picked]
    others = [grown(part != k, seed + k) for k in range(PARTS)]
    across = np.empty((picked.size, len(parts)))
    for k, judges in enumerate(others):
        across[part == k] = _mean([judge(_flat(x[part == k])) for judge in judges]).reshape(-1, len(parts))
    curve = calibrate(_sigmoid(across.ravel()), failed[picked].ravel(), np.repeat(weight, len(parts)))
    blind = PartsModel(plain, parts, signs, (), curve, np.array([0.0, 1.0, 0.0, 0.0]), failures)
    beside = _beside(blind, others, (rows, names, device, failed))
    every = np.ones(picked.size, bool)
    return replace(blind, trees=sum((grown(every, seed + PARTS + k) for k in range(SETS)), ()), beside=beside)


def _signs(rows: Rows, names: Sequence[str], device: Integers, left: Floats, parts: Sequence[str]) -> Signs:
    codes = tuple(n.removesuffix(".since_change") for n in names if n.startswith("code:") and n.endswith("_change"))
    gauges = tuple(name for name in names if name.startswith("shift:"))
    state, shifted = _states(rows, names, codes), np.nan_to_num(_of(rows, names, gauges))
    calm: Flags = np.asarray(left.min(axis=1) > 1.0)
    usual = (
        np.stack([(np.bincount(s[calm], minlength=STATES) + 0.5) for s in state.T]) if codes else np.empty((0, STATES))
    )
    usual /= usual.sum(axis=1, keepdims=True)
    seen = _known(rows, names, gauges)
    base = shifted[calm & seen].mean(axis=0) if (calm & seen).any() else np.zeros(len(gauges))
    tells, share = np.zeros((len(codes), len(parts), STATES)), np.zeros((len(parts), len(gauges)))
    for c in range(len(parts)):
        near = np.flatnonzero(left[:, c] <= NEAR)
        weight = _each_once(near, device)
        for j in range(len(codes)):
            count = np.bincount(state[near, j], weights=weight, minlength=STATES)
            tells[j, c] = np.log((count + USUAL * usual[j]) / (count.sum() + USUAL) / usual[j])
        there = near[seen[near]]
        weight = _each_once(there, device)
        more = np.maximum((weight[:, None] * (shifted[there] - base)).sum(axis=0), 0.0)
        share[c] = (1.0 / max(len(gauges), 1) + more) / (1.0 + weight.sum())
    best = tells[:, :, :3].max(axis=2, initial=NOTHING) if codes else np.zeros((0, len(parts)))
    return Signs(codes, tells, np.argsort(-best, axis=0, kind="stable")[:OWN].T, gauges, np.minimum(share, 1.0))


def _instances(signs: Signs, parts: Sequence[str], plain: Sequence[str], rows: Rows, names: Sequence[str]) -> Rows:
    """(rows, parts, features) what trees see of each part: the first three may only raise its odds."""
    state = _states(rows, names, signs.codes)
    since = np.minimum(_since(rows, names, signs.codes), LONG_AGO)
    newest = np.sort(np.column_stack([since, np.full((len(rows), 2), LONG_AGO)]), axis=1)[:, :2]
    tells = np.stack([signs.tells[j][:, state[:, j]].T for j in range(len(signs.codes))], 2) if signs.codes else (
        np.zeros((len(rows), len(parts), 0))
    )  # fmt: skip
    evidence = tells.sum(axis=2)
    ages = _of(rows, names, [f"service:{part}.age_doublings" for part in parts])
    out = []
    for c in range(len(parts)):
        others = np.delete(np.arange(len(parts)), c)
        age = ages[:, others]
        columns = [evidence[:, c], ages[:, c], _least(age), evidence[:, others].max(axis=1, initial=NOTHING)]
        columns.append(-_least(-age))
        for j in signs.own[c]:
            fresh = _of(rows, names, [f"{signs.codes[j]}.rise_short", f"{signs.codes[j]}.rise"])
            columns += [*fresh.T, since[:, j], tells[:, c, j]]
        out.append(np.column_stack([*columns, newest, _of(rows, names, plain), np.full(len(rows), c)]))
    return np.stack(out, axis=1).astype(np.float32)


def _rising(width: int) -> tuple[int, ...]:
    """More evidence of a part, and more time since any service, never make it safer: no grid of visits is learned."""
    return (1, 1, 1) + (0,) * (width - 3)


def _shifted(signs: Signs, rows: Rows, names: Sequence[str]) -> Floats:
    """(rows, parts) probability that a gauge of the part's own has shifted; NaN where no gauge is known."""
    p = _of(rows, names, signs.gauges)
    known = _known(rows, names, signs.gauges)
    calm = np.prod(1.0 - signs.share * np.nan_to_num(p)[:, None, :], axis=2)
    return np.where(known[:, None], 1.0 - calm, np.nan)


def _beside(
    model: PartsModel, trees: Sequence[tuple[Judge, ...]], past: tuple[Rows, Sequence[str], Integers, Flags]
) -> Floats:
    """(4,) what a shift of a part's gauge adds to its log odds, from rows of devices whose gauges are known.

    A shift without the code, the code without a shift, and both together each mean something else: a logistic model of
    both and their product, held towards the odds without gauges.
    """
    rows, names, device, failed = past
    start = model.beside
    known = np.flatnonzero(_known(rows, names, model.signs.gauges))
    some = known[np.linspace(0, known.size - 1, min(known.size, SHIFT_ROOM)).astype(int)] if known.size else known
    part = _part_of(device)[some]
    rows, device, failed = rows[some], device[some], failed[some]
    failures = _count(failed, device)
    if failures == 0:
        return start
    x = _instances(model.signs, model.parts, model.names, rows, names)
    odds = np.empty(failed.shape)
    for k, grown in enumerate(trees):
        mine = part == k
        if mine.any():
            odds[mine] = _odds(model.calibration, [judge(_flat(x[mine])) for judge in grown]).reshape(-1, odds.shape[1])
    shift, truth = _shifted(model.signs, rows, names).ravel(), failed.ravel()
    told = np.stack([np.ones(odds.size), odds.ravel(), shift, odds.ravel() * shift])
    weight = TOLD * failures / max(int(truth.sum()), 1)

    def loss(theta: Floats) -> tuple[float, Floats]:
        z = theta @ told
        far = theta - start
        value = weight * (np.logaddexp(0.0, z) - truth * z).sum() + RIDGE * (far @ far)
        return float(value), np.asarray(weight * (told @ (_sigmoid(z) - truth)) + 2.0 * RIDGE * far)

    bounds = [(None, None), (0.0, None), (0.0, None), (0.0, None)]
    return np.asarray(minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x)


def _told(odds: Floats, shift: Floats, beside: Floats) -> Floats:
    """Log odds with what the gauges tell; as they are where no gauge is known."""
    a, b, c, d = beside
    return np.where(np.isnan(shift), odds, a + b * odds + (c + d * odds) * np.nan_to_num(shift))


def _odds(curve: Calibration, judged: Sequence[Floats]) -> Floats:
    p = np.clip(curve(_sigmoid(_mean(judged))), TINY, 1.0 - TINY)
    return np.asarray(np.log(p) - np.log1p(-p))


def _mean(judged: Sequence[Floats]) -> Floats:
    return np.asarray(np.mean(judged, axis=0))


def _sigmoid(z: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(z, -MOST, MOST))))


def _flat(x: Rows) -> Rows:
    return x.reshape(-1, x.shape[2])


def _drawn(failed: Flags, told: Floats, seed: int) -> tuple[Integers, Floats]:
    """Rows for trees, in order: all before failures, and some of the others, weighted back."""
    calm = np.flatnonzero(~failed)
    some = np.random.default_rng(seed).choice(calm, min(calm.size, ROOM), replace=False)
    picked = np.sort(np.concatenate([np.flatnonzero(failed), some]))
    weight = np.where(failed[picked], 1.0, calm.size / max(some.size, 1)) * told[picked]
    return picked, weight / weight.mean()


def _part_of(device: Integers) -> Integers:
    """(rows,) which part of the devices, in turn, so that few devices part evenly."""
    return np.asarray(np.unique(device, return_inverse=True)[1] % PARTS)


def _count(failed: Flags, device: Integers) -> int:
    """How many failures (rows, parts) tell of."""
    return int(sum(_runs(np.flatnonzero(of), device).max(initial=0) for of in failed.T))


def _runs(rows: Integers, device: Integers) -> Integers:
    """(rows,) which failure each row stands before, from 1: rows of one device that follow each other."""
    new = (np.diff(rows, prepend=-2) > 1) | (np.diff(device[rows], prepend=-1) != 0)
    return np.asarray(np.cumsum(new))


def _each_once(rows: Integers, device: Integers) -> Floats:
    """(rows,) weights by which every failure counts once."""
    run = _runs(rows, device)
    return np.asarray(1.0 / np.bincount(run)[run]) if rows.size else np.empty(0)


def _states(rows: Rows, names: Sequence[str], codes: Sequence[str]) -> Integers:
    return np.asarray(np.searchsorted(EDGES, _since(rows, names, codes) + 1e-6))


def _since(rows: Rows, names: Sequence[str], codes: Sequence[str]) -> Floats:
    """(rows, codes) horizons since the last line of each code; long where there is none."""
    return np.nan_to_num(_of(rows, names, [f"{code}.since_change" for code in codes]), nan=-NOTHING)


def _known(rows: Rows, names: Sequence[str], gauges: Sequence[str]) -> Flags:
    """(rows,) any gauge of the device is followed."""
    return np.asarray(np.isfinite(_of(rows, names, gauges)).any(axis=1))


def _least(ages: Floats) -> Floats:
    """(rows,) the least that is known; NaN where nothing is."""
    return np.asarray(np.fmin.reduce(ages, axis=1, initial=np.nan))


def _of(rows: Rows, names: Sequence[str], wanted: Sequence[str]) -> Floats:
    """(rows, wanted) columns by name; NaN where there is none."""
    place = {name: i for i, name in enumerate(names)}
    out = np.full((len(rows), len(wanted)), np.nan)
    for i, name in enumerate(wanted):
        if name in place:
            out[:, i] = rows[:, place[name]]
    return out
