"""Probabilities and intervals that mean what they say: calibration of scores, conformal intervals, and their record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from gateway.model import Flags, Floats

TINY = 1e-6


@dataclass(frozen=True, slots=True)
class Calibration:
    """A monotone map from a model's probability to the observed one: logit q = a ln p - b ln(1 - p) + c.

    Source: M. Kull, T. M. Silva Filho, P. Flach (2017), Beyond sigmoids: how to obtain well-calibrated probabilities
    from binary classifiers with beta calibration, Electronic Journal of Statistics 11, 5052-5080.
    """

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def __call__(self, p: Floats) -> Floats:
        """(rows,) calibrated probabilities."""
        p = np.clip(p, TINY, 1.0 - TINY)
        return np.asarray(1.0 / (1.0 + np.exp(-(self.a * np.log(p) - self.b * np.log1p(-p) + self.c))))


def calibrate(p: Floats, truth: Flags, weight: Floats) -> Calibration:
    """The calibration that makes (rows,) probabilities `p` of rows not trained on fit the truth.

    Slopes are held at or above nought, so the order of rows never turns. With fewer than 10 of either kind the
    probabilities are left as they are.
    """
    if min(int(truth.sum()), int((~truth).sum())) < 10:
        return Calibration()
    p = np.clip(p, TINY, 1.0 - TINY)
    x = np.stack([np.log(p), -np.log1p(-p), np.ones_like(p)])
    w = weight / weight.sum()

    def loss(theta: Floats) -> tuple[float, Floats]:
        z = theta @ x
        q = 1.0 / (1.0 + np.exp(-np.clip(z, -40.0, 40.0)))
        return float((w * (np.logaddexp(0.0, z) - truth * z)).sum()), np.asarray(x @ (w * (q - truth)))

    start, bounds = np.array([1.0, 1.0, 0.0]), [(0.0, None), (0.0, None), (None, None)]
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B")
    return Calibration(*(float(v) for v in found.x))


def deciles(p: Floats, truth: Flags, weight: Floats | None = None, *, bins: int = 10) -> Floats:
    """(bins, 3) mean prediction, observed share and weight, in bins that hold equal shares of the predicted failures.

    Bins by rank would put all failures of a rare kind into the last one.
    """
    weight = np.ones_like(p) if weight is None else weight
    order = np.argsort(p)
    mass = np.cumsum((p * weight)[order])
    bin_of = np.minimum((mass / mass[-1] * bins).astype(int), bins - 1)
    out = np.zeros((bins, 3))
    for b in range(bins):
        mine = order[bin_of == b]
        w = weight[mine].sum()
        out[b] = ((p * weight)[mine].sum() / w, (truth * weight)[mine].sum() / w, w) if w > 0 else (np.nan, np.nan, 0.0)
    return out


@dataclass(frozen=True, slots=True)
class Intervals:
    """Offsets from a prediction to a 90 % interval, by how large the prediction is."""

    edges: Floats  # (bins - 1,) of the prediction
    low: Floats  # (bins,) added to the prediction
    high: Floats  # (bins,)

    def __call__(self, prediction: Floats) -> tuple[Floats, Floats]:
        """(rows,) low and high ends."""
        b = np.searchsorted(self.edges, prediction, side="right")
        return prediction + self.low[b], prediction + self.high[b]


def conform(prediction: Floats, truth: Floats, unit: Floats, *, cover: float = 0.9, bins: int = 8) -> Intervals:
    """Intervals that held `cover` of the truths of units not trained on, in each range of predictions.

    Args:
        prediction: (rows,) made for units that the model had not seen.
        truth: (rows,).
        unit: (rows,) which unit; each unit weighs the same within a bin, as its rows are no independent tries.
        cover: share of truths to hold.
        bins: ranges of predictions.

    Source: V. Vovk, A. Gammerman, G. Shafer (2005), Algorithmic Learning in a Random World, ch. 4 (Mondrian conformal
    prediction); R. J. Tibshirani et al. (2019), Conformal prediction under covariate shift, NeurIPS (weights).
    """
    edges = np.unique(np.quantile(prediction, np.linspace(0.0, 1.0, bins + 1)[1:-1]))
    b = np.searchsorted(edges, prediction, side="right")
    low, high = np.zeros(edges.size + 1), np.zeros(edges.size + 1)
    for k in range(edges.size + 1):
        error, of = (truth - prediction)[b == k], unit[b == k]
        if not error.size:
            continue
        _, place, rows = np.unique(of, return_inverse=True, return_counts=True)
        weight = 1.0 / rows[place]
        slack = 1.0 / (rows.size + 1.0)  # the unit to come counts as one more
        tail = max(0.0, (1.0 - cover) / 2.0 - slack / 2.0)
        low[k], high[k] = _quantile(error, weight, tail), _quantile(error, weight, 1.0 - tail)
    return Intervals(edges, low, high)


def _quantile(value: Floats, weight: Floats, share: float) -> float:
    order = np.argsort(value)
    mass = np.cumsum(weight[order])
    return float(value[order][min(int(np.searchsorted(mass, share * mass[-1])), value.size - 1)])


@dataclass(slots=True)
class Coverage:
    """How often the truth lay within the interval, on the operator's own devices: shown beside every forecast."""

    held: int = 0
    below: int = 0  # came sooner than the low end
    above: int = 0  # came later than the high end

    def note(self, low: Floats, high: Floats, truth: Floats) -> None:
        """Take (rows,) intervals whose truth has come out."""
        self.below += int((truth < low).sum())
        self.above += int((truth > high).sum())
        self.held += int(((low <= truth) & (truth <= high)).sum())

    @property
    def known(self) -> int:
        """Truths that have come out."""
        return self.held + self.below + self.above

    @property
    def ratio(self) -> float:
        """Share held; NaN before the first truth."""
        return self.held / self.known if self.known else float("nan")
