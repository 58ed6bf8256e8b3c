from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.tree import DecisionTreeRegressor

from gateway.prognosis.forest import of_boosted, of_tree


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2_000, 4)).astype(np.float32)
    return x, x[:, 0] * x[:, 1] + rng.normal(0.0, 0.1, len(x))


def test_a_tree_tells_what_its_library_tells(rows):
    x, y = rows
    tree = DecisionTreeRegressor(max_leaf_nodes=12, random_state=0).fit(x, y)

    np.testing.assert_array_equal(of_tree(tree.tree_)(x), tree.predict(x))


def test_boosted_trees_tell_what_their_library_tells_of_unknown_values_too(rows):
    x, y = rows
    gaps = np.where(np.random.default_rng(1).random(x.shape) < 0.2, np.float32(np.nan), x)
    regressor = HistGradientBoostingRegressor(max_iter=20, random_state=0).fit(gaps, y)
    classifier = HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(gaps, y > 0.0)

    np.testing.assert_array_equal(of_boosted(regressor)(gaps), regressor.predict(gaps))
    np.testing.assert_array_equal(of_boosted(classifier)(gaps), classifier.decision_function(gaps))
