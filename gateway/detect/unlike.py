"""Which metrics make a device unlike its habit, and what they should be by all the others."""

from __future__ import annotations

import numpy as np

from gateway.detect.habit import Pool, parts

MOST = 2  # metrics that a sentence names
SHARE = 0.25  # of the largest contribution, from which a second metric is worth naming


def unlike(vector: Pool, motion: Pool) -> list[tuple[int, float, float]]:
    """Up to MOST of (column, value over the last rows, value that would fit), the most telling first.

    With position z of the metrics in units of their ranges and M the inverse of their covariance, a value j that fits
    the others best is z_j - (Mz)_j / M_jj, and that it does not takes (Mz)_j^2 / M_jj from the distance z'Mz.

    Args:
        vector: of `habit.train`.
        motion: (4 or more, d) positions on the axes, as `habit.judge` keeps them.

    Source: reconstruction-based contributions: C. F. Alcala and S. J. Qin (2009), Automatica 45, 1593-1600.
    """
    d = motion.shape[1]
    center, unit, basis, inverse = parts(vector, d)
    precision = (basis * inverse) @ basis.T
    pull = precision @ (basis @ (motion[0] - motion[3]).astype(np.float64))
    stiff = np.maximum(precision.diagonal(), 1e-12)
    takes = pull**2 / stiff
    order = np.argsort(-takes, kind="stable")[:MOST]
    value = center + unit * (basis @ motion[0])
    fits = value - unit * pull / stiff
    return [(int(j), float(value[j]), float(fits[j])) for j in order if takes[j] >= SHARE * takes[order[0]]]
