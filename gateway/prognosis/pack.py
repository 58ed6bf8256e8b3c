"""What was learned, as arrays: so that a snapshot can hold a model, and reading one runs no code.

A model is made of records of known kinds, tuples, arrays, numbers and text. Its outline is kept as JSON, its arrays
beside it. Reading makes nothing but those records: a snapshot that was tampered with may tell nonsense, not act.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

OUTLINE = "outline"


def packed(value: object) -> dict[str, NDArray[Any]]:
    """Named arrays that `unpacked` reads.

    Raises:
        TypeError: where a part is nothing that could be kept.
    """
    arrays: list[NDArray[Any]] = []
    text = json.dumps(_outline(value, arrays))
    return {OUTLINE: np.frombuffer(text.encode(), np.uint8), **{str(i): array for i, array in enumerate(arrays)}}


def unpacked(held: Mapping[str, NDArray[Any]], kinds: Sequence[type]) -> Any:
    """The value that was packed, with records of these kinds alone.

    Raises:
        TypeError, KeyError, ValueError: where another version, or nobody, has written it.
    """
    return _made(json.loads(held[OUTLINE].tobytes()), held, {kind.__name__: kind for kind in kinds})


def _outline(value: object, arrays: list[NDArray[Any]]) -> object:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case np.ndarray() if value.dtype != object:
            arrays.append(value)
            return {"array": len(arrays) - 1}
        case tuple():
            return [_outline(part, arrays) for part in value]
        case _ if is_dataclass(value):
            parts = {f.name: _outline(getattr(value, f.name), arrays) for f in fields(value) if f.init}
            return {"kind": type(value).__name__, "of": parts}
    raise TypeError(f"{type(value).__name__} cannot be kept")


def _made(outline: Any, held: Mapping[str, NDArray[Any]], kinds: Mapping[str, type]) -> Any:
    match outline:
        case {"array": number}:
            return np.array(held[str(number)])
        case {"kind": name, "of": parts}:
            return kinds[name](**{key: _made(part, held, kinds) for key, part in parts.items()})
        case list():
            return tuple(_made(part, held, kinds) for part in outline)
    return outline
