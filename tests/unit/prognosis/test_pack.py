from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from gateway.prognosis.pack import packed, unpacked


@dataclass(frozen=True, slots=True)
class Leaf:
    name: str
    weight: Any


@dataclass(frozen=True, slots=True)
class Tree:
    leaves: tuple[Leaf, ...]
    best: Leaf | None


def through_a_file(arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as held:
        return dict(held)


def test_what_was_packed_is_the_same_when_it_is_read_again_bit_by_bit():
    weight = np.array([[0.1, np.nan], [np.inf, -0.0]])
    tree = Tree((Leaf("a", weight), Leaf("b", (1 / 3, 7, True, float("inf")))), None)

    again = unpacked(through_a_file(packed(tree)), [Tree, Leaf])

    assert again.leaves[0].weight.tobytes() == weight.tobytes()
    assert (again.leaves[0].name, again.leaves[1], again.best) == ("a", tree.leaves[1], None)


def test_what_is_no_record_is_not_kept_and_no_record_of_an_unknown_kind_is_made():
    with pytest.raises(TypeError, match="set cannot be kept"):
        packed((1.0, {1, 2}))
    with pytest.raises(KeyError, match="Leaf"):
        unpacked(packed(Leaf("a", 1.0)), [Tree])


def test_a_record_of_another_version_does_not_fit():
    held = packed(Leaf("a", 1.0))
    held["outline"] = np.frombuffer(held["outline"].tobytes().replace(b"weight", b"height"), np.uint8)

    with pytest.raises(TypeError, match="height"):
        unpacked(held, [Leaf])
