"""What each device has said before, and what its type says: the surprise of a template that is new to a device.

A device remembers the templates it wrote in a Bloom filter of 2,048 bits with two hashes (under 1 % false memories at
100 templates: B. H. Bloom (1970), Space/time trade-offs in hash coding with allowable errors, CACM 13). Its type
remembers how many devices wrote each template, so that a template that is new to one device and common in the fleet is
no novelty.

The surprise is in decimal digits: how seldom the device meets something new (the share of new templates among its
recent lines, as I. J. Good (1953), The population frequencies of species, Biometrika 40, estimates it), how few
devices of its type know the template, and how severe the line is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gateway.model import Flags, Floats, Integers

BITS = 2_048
SURPRISE = 5.0  # digits that score 1.0: an error, one of 650 lines is new, and 1 of 20 devices knows it
GRAVE = np.array([-2.0, -1.0, 0.5, 2.0, 3.0])  # digits by severity: what only informs must be rarer
COMMON = 0.05  # share of a type's devices at which a template is no longer new
FORGET_LINES = 20_000.0  # lines over which the share of new templates is taken


def bits_of(names: list[str]) -> tuple[Integers, NDArray[np.uint8]]:
    """Byte positions and masks of the filter, (names, 2) each, from the hexadecimal names of templates."""
    hashes = np.array([int(name, 16) for name in names], np.int64).reshape(-1, 1)
    bit = np.concatenate([hashes % BITS, (hashes // BITS) % BITS], 1)
    return bit // 8, (1 << (bit % 8)).astype(np.uint8)


def knows(known: NDArray[np.uint8], device: Integers, names: list[str]) -> Flags:
    """(pairs,) whether each device has written each template before, by the names of both."""
    at, mask = bits_of(names)
    found: Flags = np.all(known[device[:, None], at] & mask, axis=1)
    return found


def learn(known: NDArray[np.uint8], device: Integers, names: list[str]) -> None:
    """Note that each device has written each template."""
    at, mask = bits_of(names)
    for k in range(2):
        np.bitwise_or.at(known, (device, at[:, k]), mask[:, k])


def inherit(known: NDArray[np.uint8], old: str, new: str) -> None:
    """Make every device that knows `old` know `new`: one template became the other."""
    if old != new:
        at, mask = bits_of([old, new])
        has = (known[:, at[0]] & mask[0]).all(1)
        for k in range(2):
            known[has, at[1, k]] |= mask[1, k]


def surprise(fresh: Floats, lines: Floats, holders: Floats, population: Floats, severity: NDArray[np.int8]) -> Floats:
    """Scores of templates that are new to their devices, (pairs,); 1.0 is the threshold.

    Args:
        fresh: new templates among the device's recent lines.
        lines: its recent lines.
        holders: devices of the type that wrote the template, this one among them.
        population: devices of the type.
        severity: of the line, a position in SEVERITIES.
    """
    seldom = np.log10((lines + 2.0) / (fresh + 1.0))
    alone = np.log10((population + 1.0) / (holders + 0.5))
    score: Floats = np.maximum(seldom + alone + GRAVE[severity], 0.0) / SURPRISE
    return np.where(holders > np.maximum(COMMON * population, 2.0), 0.0, score)
