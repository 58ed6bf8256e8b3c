"""Boosted trees of one size for one amount of evidence, whichever library is there to grow them.

LightGBM where it loads. Its wheel leaves OpenMP to the system (`libgomp1` on Debian, `libomp` on a Mac); where that is
missing scikit-learn grows trees by the same settings, ten times slower (measured: 120,000 rows of 112 features).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from gateway.model import Flags, Floats
from gateway.prognosis.features import Rows
from gateway.prognosis.forest import Forest, of_boosted


@dataclass(frozen=True, slots=True)
class Boosted:
    """Trees of LightGBM, as its own text.

    Raises:
        ImportError, OSError: where LightGBM does not load.
    """

    text: str
    _booster: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        import lightgbm  # noqa: PLC0415  (not every system can load it)

        object.__setattr__(self, "_booster", lightgbm.Booster(model_str=self.text))

    def __call__(self, rows: Rows) -> Floats:
        """(rows,) log odds."""
        return np.asarray(self._booster.predict(rows, raw_score=True, num_threads=1))


Judge: TypeAlias = Boosted | Forest
"""(rows, features) to (rows,) log odds."""


@dataclass(frozen=True, slots=True)
class Form:
    """How many trees, how large, and of what kind."""

    trees: int
    leaves: int
    rate: float = 0.08
    least: int = 40  # rows in a leaf
    shrink: float = 5.0  # l2 penalty of leaves
    share: float = 0.3  # of the features that a split may choose from
    rising: tuple[int, ...] = ()  # (features,) 1 where more may only raise the odds
    seed: int = 0


def form_for(failures: int) -> Form:
    """Trees as many and as large as the failures known can bear.

    Measured (PR-AUC): with 1,300 failures 250 trees of 31 leaves gave .283, 100 of 24 .272 (disks); with 90 a part 60
    of 12 gave .84, 100 of 24 .76 (machines); a rate of .08 needs three fifths of the trees of .05, and is as good.
    """
    root = float(np.sqrt(failures))
    return Form(trees=int(np.clip(5.4 * root, 36, 160)), leaves=int(np.clip(1.2 * root, 6, 31)))


def grow(x: Rows, truth: Flags, weight: Floats, form: Form) -> Judge:
    """Trees grown on (rows, features); the same rows give the same trees.

    Args:
        x: (rows, features), NaN where nothing is known.
        truth: (rows,).
        weight: (rows,) about 1 each.
        form: of the trees.

    Source: J. H. Friedman (2001), Greedy function approximation: a gradient boosting machine, Annals of Statistics 29,
    1189-1232; G. Ke et al. (2017), LightGBM: a highly efficient gradient boosting decision tree, NeurIPS.
    """
    try:
        import lightgbm  # noqa: PLC0415  (not every system can load it)
    except (ImportError, OSError):
        return _slow(x, truth, weight, form)
    settings = {
        "objective": "binary", "num_leaves": form.leaves, "learning_rate": form.rate, "min_data_in_leaf": form.least,
        "lambda_l2": form.shrink, "feature_fraction_bynode": form.share, "monotone_constraints": list(form.rising),
        "num_threads": 1, "force_col_wise": True, "deterministic": True, "seed": form.seed, "verbosity": -1,
    }  # fmt: skip
    booster = lightgbm.train(settings, lightgbm.Dataset(x, truth.astype(float), weight=weight), form.trees)
    return Boosted(booster.model_to_string())


def _slow(x: Rows, truth: Flags, weight: Floats, form: Form) -> Forest:
    model = HistGradientBoostingClassifier(
        max_iter=form.trees, max_leaf_nodes=form.leaves, learning_rate=form.rate, min_samples_leaf=form.least,
        l2_regularization=form.shrink, max_features=form.share, early_stopping=False, monotonic_cst=list(form.rising),
        random_state=form.seed,
    )  # fmt: skip
    # scikit-learn 1.9 cannot cut a column into bins in which nothing is known; no tree splits there.
    known = np.where(np.isnan(x).all(axis=0), np.float32(0.0), x)
    with threadpool_limits(1):  # training runs beside ingest; a second thread would wait for it more than work
        return of_boosted(model.fit(known, truth, weight))
