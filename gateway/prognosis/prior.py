"""How unusual a device's past is in its fleet, without one failure ever seen: the rank of risk before there are labels.

A disk whose pending sectors rise, a machine whose pressure leaves its own level, a lock that logs an error nobody else
logs: each is a feature far in the tail of what the fleet shows. The score adds up the tails of all columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.model import Floats
from gateway.prognosis.features import Rows

TAILS = ("rise_short", "rise", "rise_long", "changes", "z_short", "z_middle")
COMMON = 1.0  # -log10 of the tail: one device in ten shows as much at any time, so it says nothing
ROOM = 4000  # rows of the fleet's past that the tails are taken from; 1 in 4000 is the rarest that can be told


@dataclass(frozen=True, slots=True)
class Prior:
    """The tails of every feature that tells of degradation, learned from rows of the whole fleet."""

    names: tuple[str, ...]
    sorted: tuple[Floats, ...]  # for each name: (rows,) magnitudes, ascending

    def score(self, rows: Rows, names: Sequence[str]) -> Floats:
        """(rows,) how unusual each row is; 0 is nothing, 3 is one column as only one row in 10,000 shows it.

        Source: M. Goldstein, A. Dengel (2012), Histogram-based outlier score, KI 2012, 59-63, on one-sided empirical
        tails (Z. Li et al. (2022), ECOD, IEEE TKDE) of a frozen reference, so who else is asked about changes nothing.
        """
        by_column: dict[str, Floats] = {}
        for name, reference in zip(self.names, self.sorted, strict=True):
            if name not in names:
                continue
            value = _magnitude(rows[:, list(names).index(name)])
            rank = np.searchsorted(reference, value, side="left")
            rare = -np.log10((reference.size - rank + 1.0) / (reference.size + 1.0))
            column = name.rpartition(".")[0]
            by_column[column] = np.maximum(by_column.get(column, np.zeros(len(rows))), rare)
        return np.asarray(sum((np.maximum(0.0, r - COMMON) for r in by_column.values()), np.zeros(len(rows))))


def learn(rows: Rows, names: Sequence[str]) -> Prior:
    """A prior from (rows, features) of the fleet's past; at most ROOM rows, evenly spread."""
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), ROOM)).astype(int)]
    chosen = [i for i, name in enumerate(names) if name.rpartition(".")[2] in TAILS]
    return Prior(tuple(names[i] for i in chosen), tuple(np.sort(_magnitude(some[:, i])) for i in chosen))


def _magnitude(value: Rows) -> Floats:
    return np.abs(np.nan_to_num(value.astype(np.float64)))
