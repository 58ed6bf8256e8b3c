from __future__ import annotations

import sys

import numpy as np
import pytest

from gateway.prognosis.trees import Form, form_for, grow

FORM = Form(trees=30, leaves=6, rising=(0, 1, 0))


@pytest.fixture(params=["lightgbm", "scikit-learn"])
def library(request, monkeypatch):
    """Either library: where the first does not load, the second grows the trees."""
    if request.param == "scikit-learn":
        monkeypatch.setitem(sys.modules, "lightgbm", None)
    return request.param


def examples(rows=3000, *, seed=0):
    """(rows, 3) features of which the first two tell, with gaps and a column that nobody knows; and the odds."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.normal(size=(rows, 2)), np.full(rows, np.nan)]).astype(np.float32)
    odds = 2.0 * x[:, 0] + np.where(x[:, 1] > 0.0, 1.0, -1.0)
    truth = rng.random(rows) < 1.0 / (1.0 + np.exp(-odds))
    x[rng.random(rows) < 0.1, 0] = np.nan
    return x, truth, odds


def test_trees_find_what_tells_on_rows_they_have_not_seen(library):
    x, truth, _ = examples()
    other, _, odds = examples(seed=1)

    judged = grow(x, truth, np.ones(truth.size), FORM)(other)

    known = np.isfinite(other[:, 0])
    assert np.corrcoef(judged[known], odds[known])[0, 1] > 0.9


def test_the_same_rows_give_the_same_trees(library):
    x, truth, _ = examples()

    judges = [grow(x, truth, np.ones(truth.size), FORM) for _ in range(2)]

    np.testing.assert_array_equal(judges[0](x), judges[1](x))


def test_a_rising_feature_never_lowers_the_odds(library):
    x, truth, _ = examples()
    against = truth ^ (x[:, 1] > 1.0)
    row = np.repeat(x[:1], 50, axis=0)
    row[:, 1] = np.linspace(-3.0, 3.0, 50)

    judged = grow(x, against, np.ones(truth.size), FORM)(row)

    assert (np.diff(judged) >= -1e-12).all()


def test_a_heavier_row_counts_for_more(library):
    x, truth, _ = examples()

    light = grow(x, truth, np.ones(truth.size), FORM)(x)
    heavy = grow(x, truth, np.where(truth, 3.0, 1.0), FORM)(x)

    assert heavy.mean() - light.mean() > 0.5


def test_more_failures_bear_more_trees():
    few, many = form_for(50), form_for(5000)

    assert few.trees < many.trees <= 160
    assert few.leaves < many.leaves <= 31
