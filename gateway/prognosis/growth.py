"""How fast most of a unit's quantities grow, against its own recent past: a sign of the end that needs no failed unit.

A crack or a spall is felt in most quantities at once, a disturbance in few; hence the mean of lower quartile and median
over them. What a young unit does counts for less: running in looks like wear.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import lfilter

from gateway.model import Floats, Integers

SPIKE_ROWS = 5  # whose median is taken first, so that a knock or two is no growth
MEMORY = 6.0  # parts of the horizon in which the own past fades to half; 3 and 4 warn of fewer bearings (2026-11)
MOST = (0.25, 0.5)  # the median alone warns of one bearing fewer, with the upper quartile of three fewer (2026-11)


def shared_growth(unit: Integers, age: Floats, value: Floats, *, horizon: float) -> Floats:
    """(rows,) growth that half to three quarters of the metrics share, as a natural logarithm, as known at that row.

    Args:
        unit: (rows,) each unit's rows together and in time order, evenly spaced.
        age: (rows,) from the unit's start.
        value: (rows, metrics) logarithms, of amplitudes or energies.
        horizon: how far ahead a warning is of use, in the unit of age; a unit younger than that is heard half or less.
    """
    out = np.zeros(unit.size)
    edges = np.flatnonzero(np.r_[True, unit[1:] != unit[:-1], True])
    for first, end in pairwise(edges.tolist()):
        mine, since = value[first:end], age[first:end]
        padded = np.concatenate([np.repeat(mine[:1], SPIKE_ROWS - 1, axis=0), mine])
        calm = np.median(sliding_window_view(padded, SPIKE_ROWS, axis=0), axis=-1)
        gap = float(np.median(np.diff(since))) if since.size > 1 else horizon
        keep = 0.5 ** (MEMORY * gap / horizon)
        weight = lfilter([1.0], [1.0, -keep], np.ones(end - first))
        past = lfilter([1.0], [1.0, -keep], calm, axis=0) / weight[:, None]
        out[first:end] = np.quantile(calm - past, MOST, axis=1).mean(0) * since / (since + horizon)
    return out
