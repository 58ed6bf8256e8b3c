"""Peers: whether others of the same make have shown what an episode shows, so that one ill device is told from many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from gateway.detect.detector import State
from gateway.model import Floats, Integers, Roster

LEAST = 5  # peers without whom nothing is said
ALIKE = 0.5  # share of a device's own move from which another has moved as well
FEWEST_SCALES = 1.0  # usual spreads from the usual, so that noise beside a small move is no move
MOVES = {"drift": ("drift", "fast", "slow"), "level": ("level", "", "mean"), "rhythm": ("level", "", "mean")}


class Peers(NamedTuple):
    """Of `known` other devices of the model that have the metric, `alike` have done the same."""

    alike: int
    known: int


def asked(
    detector: str, series: int, *, roster: Roster, tables: Mapping[str, State], cohorts: Integers
) -> Peers | None:
    """What the others of its model have done while an episode lasts on a series; None where too few are known.

    Args:
        detector: of the episode.
        series: its number.
        roster: of the fleet.
        tables: of the engine.
        cohorts: (devices,) numbers.
    """
    device, metric = int(roster.series_device[series]), roster.series_metric[series]
    like = (roster.series_metric == metric) & (cohorts[roster.series_device] == cohorts[device])
    like &= roster.series_device != device
    others = np.flatnonzero(like)
    if detector in MOVES:
        moved = _moves(tables, np.append(others, series), *MOVES[detector])
        own, theirs = moved[-1], moved[:-1][~np.isnan(moved[:-1])]
        if np.isnan(own) or theirs.size < LEAST:
            return None
        return Peers(int((theirs * np.sign(own) >= max(ALIKE * abs(own), FEWEST_SCALES)).sum()), theirs.size)
    table = f"series.{detector}.episodes"
    if table not in tables or others.size < LEAST:
        return None
    return Peers(int(tables[table]["episodes"]["open"][others].sum()), others.size)


def _moves(tables: Mapping[str, State], series: Integers, detector: str, now: str, usual: str) -> Floats:
    """(series,) how far each is from its usual, in its own spreads; NaN where it is not known yet."""
    held = tables[f"series.{detector}"][detector][series]
    value = held[now] if now else tables["series.pace"]["pace"]["value"][series]
    scale = np.where(held["scale"] > 0.0, held["scale"], np.nan)
    moved: Floats = (value - held[usual]) / scale
    return moved
