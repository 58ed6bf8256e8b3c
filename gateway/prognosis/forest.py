"""Grown trees as plain arrays: what a library has learned, without the library, so that it can be kept and read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.model import Flags, Floats, Integers

LEAF = -1


class Nodes(NamedTuple):
    """Of all trees, in one row of arrays."""

    feature: Integers  # (nodes,) `LEAF` where a tree ends
    least: Floats  # (nodes,) values up to this one go left
    unknown_left: Flags  # (nodes,) where NaN goes
    left: Integers  # (nodes,)
    right: Integers  # (nodes,)
    leaf: Floats  # (nodes,)


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees whose leaves are summed up."""

    base: float  # what is told before the first tree
    root: Integers  # (trees,) nodes
    nodes: tuple[Any, ...]  # as `Nodes`

    def __call__(self, rows: NDArray[Any]) -> Floats:
        """(rows,) sums, in the order in which the trees were grown."""
        out = np.full(len(rows), self.base)
        _walk(rows, self.root, Nodes(*self.nodes), out)
        return out


def of_tree(tree: Any) -> Forest:
    """The `tree_` of a scikit-learn decision tree; it expects values in single precision, as it was grown on."""
    ends = tree.children_left < 0
    left, right = (side.clip(min=0).astype(np.int64) for side in (tree.children_left, tree.children_right))
    feature = np.where(ends, LEAF, tree.feature).astype(np.int64)
    unknown = np.asarray(tree.missing_go_to_left).astype(np.bool_)
    nodes = Nodes(feature, np.array(tree.threshold), unknown, left, right, np.array(tree.value[:, 0, 0]))
    return Forest(0.0, np.zeros(1, np.int64), tuple(nodes))


def of_boosted(model: Any) -> Forest:
    """A scikit-learn histogram gradient boosting model of one output, without categories.

    Its trees are in no public attribute: read as scikit-learn 1.9 keeps them, and held to what the model itself says by
    tests/unit/prognosis/test_forest.py.
    """
    trees = [grown.nodes for (grown,) in model._predictors]
    sizes = [len(tree) for tree in trees]
    root = (np.cumsum(sizes) - sizes).astype(np.int64)
    first, of = np.repeat(root, sizes), np.concatenate(trees)
    nodes = Nodes(
        feature=np.where(of["is_leaf"], LEAF, of["feature_idx"]).astype(np.int64),
        least=of["num_threshold"].astype(np.float64),
        unknown_left=of["missing_go_to_left"].astype(np.bool_),
        left=first + of["left"].astype(np.int64),
        right=first + of["right"].astype(np.int64),
        leaf=of["value"].astype(np.float64),
    )
    return Forest(float(np.ravel(model._baseline_prediction)[0]), root, tuple(nodes))


@njit(cache=True)
def _walk(rows: NDArray[Any], root: Integers, nodes: Nodes, out: Floats) -> None:
    """Add to (rows,) `out` the leaf of each tree that each row falls into."""
    for first in root:  # one tree stays in the cache while all rows pass through it
        for i in range(out.size):
            at = first
            while nodes.feature[at] >= 0:
                value = rows[i, nodes.feature[at]]
                goes_left = nodes.unknown_left[at] if np.isnan(value) else value <= nodes.least[at]
                at = nodes.left[at] if goes_left else nodes.right[at]
            out[i] += nodes.leaf[at]
