"""Chance that can be looked up: every random number is a function of a key and a count, never of what came before.

So a device's past can be computed in any order and any resolution, history and live running agree to the last digit,
and one seed gives one world. The generator is SplitMix64's finaliser over key plus count times the golden ratio.

Source: G. L. Steele, D. Lea, C. H. Flood (2014), Fast splittable pseudorandom number generators, OOPSLA, 453-472.
"""

from __future__ import annotations

import zlib
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Hashes: TypeAlias = NDArray[np.uint64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_IRWIN_HALL_SD: Final = 65536.0 * (4.0 / 12.0) ** 0.5


def mixed(key: Hashes, count: NDArray[np.int64] | NDArray[np.uint64]) -> Hashes:
    """Hashes of key and count, which broadcast against each other."""
    z = key + count.astype(np.uint64) * _GOLDEN
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def keys(seed: int, name: str, number: Integers) -> Hashes:
    """One key for each number (of a device, say) under a name."""
    named = np.uint64(zlib.crc32(name.encode())) << np.uint64(20)
    return mixed(mixed(np.array([seed], np.int64).astype(np.uint64), named.reshape(1)), number)


def uniform(key: Hashes, count: Integers) -> Floats:
    """Numbers in [0, 1)."""
    found: Floats = (mixed(key, count) >> np.uint64(11)) * np.float64(2.0**-53)
    return found


def normal(key: Hashes, count: Integers) -> Floats:
    """Numbers with mean 0 and deviation 1: the sum of four uniform ones (Irwin-Hall), so none beyond 3.5."""
    lanes = mixed(key, count).view(np.uint16).reshape((*np.broadcast_shapes(key.shape, count.shape), 4))
    total: Floats = np.add(lanes[..., 0], lanes[..., 1], dtype=np.float64)
    total += lanes[..., 2]
    total += lanes[..., 3]
    return (total - 4 * 32767.5) / _IRWIN_HALL_SD


def smooth(key: Hashes, t_ms: Integers, period_ms: int) -> Floats:
    """Noise that wanders: normal at knots `period_ms` apart, a cosine from each to the next.

    Args:
        key: (devices, 1).
        t_ms: (samples,) or (devices, samples).
        period_ms: between knots.

    Returns:
        (devices, samples).
    """
    knot = t_ms // period_ms
    first, last = (int(knot.min()), int(knot.max())) if knot.size else (0, 0)
    height = normal(key, np.arange(first, last + 2))
    rise = (1.0 - np.cos(np.pi * (t_ms % period_ms) / period_ms)) / 2.0
    if knot.ndim == 1:
        left, right = height[:, knot - first], height[:, knot - first + 1]
    else:
        left = np.take_along_axis(height, knot - first, axis=1)
        right = np.take_along_axis(height, knot - first + 1, axis=1)
    return np.add(left, (right - left) * rise)
