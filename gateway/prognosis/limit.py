"""When a line reaches a limit, and how probably within some days: the arithmetic of forecasts, without their series."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtr, stdtrit

from gateway.model import Floats
from gateway.prognosis import trend

CERTAIN = 0.999  # one-sided confidence that the slope is not nought
BENT = 3.0  # curvature over its standard error from which it is believed
REACH = 4.0  # how many times the days seen a forecast may look ahead; beyond it nothing was ever measured
TAIL = 0.95  # each side of a 90 % interval


def days_to_limit(line: Floats, limit: float, direction: str) -> Floats:
    """Days from the newest point to the limit.

    Args:
        line: (series, trend.FIT).
        limit: in the metric's unit.
        direction: "falling" or "rising".

    Returns:
        (3, series) median, low and high of a 90 % interval; NaN where it is unknown, 0 where the limit is passed.

    Source: E. C. Fieller (1954), Some problems in interval estimation, JRSS B 16, 175-185, with the variance of a
    Wiener process with drift (W. Q. Meeker, L. A. Escobar (1998), Statistical Methods for Reliability Data, ch. 13).
    """
    sign = 1.0 if direction == "rising" else -1.0
    away = sign * (limit - line[:, trend.LEVEL])
    slope, curve = sign * line[:, trend.SLOPE], sign * line[:, trend.CURVE]
    span, curve_error = line[:, trend.SPAN], line[:, trend.CURVE_ERROR]
    level_variance, slope_variance, free = _uncertainty(line)
    wander = line[:, trend.WANDER]
    z = stdtrit(free, TAIL)
    with np.errstate(invalid="ignore", divide="ignore"):
        bends = curve > BENT * curve_error  # towards the limit, ever faster
        sure = slope > stdtrit(free, CERTAIN) * np.sqrt(slope_variance)
        slope = np.where(bends, slope + curve * span / 2.0, slope)
        away = np.where(bends, away - curve * span**2 / 12.0, away)  # a parabola ends that far above its line
        # (away - slope t)^2 = z^2 (level_variance + wander t + slope_variance t^2), a quadratic in t.
        a = slope**2 - z**2 * slope_variance
        b = -2.0 * away * slope - z**2 * wander
        root = np.sqrt(np.maximum(b**2 - 4.0 * a * (away**2 - z**2 * level_variance), 0.0))
        low, high = (-b - root) / (2.0 * a), (-b + root) / (2.0 * a)
        steep = _bent(away - z * np.sqrt(level_variance), slope + z * np.sqrt(slope_variance), curve + z * curve_error)
        low = np.where(bends, np.minimum(low, steep), low)
        days = np.stack([np.where(bends, _bent(away, slope, curve), away / slope), np.maximum(low, 0.0), high])
        days[:, ~(sure & (a > 0.0) & (days[0] <= REACH * span))] = np.nan
    days[:, away <= 0.0] = 0.0
    return days


def _uncertainty(line: Floats) -> tuple[Floats, Floats, Floats]:
    """(series,) variance of the level, variance of the slope, degrees of freedom.

    Theil-Sen has 91 % of the efficiency of least squares under normal noise (Sen 1968): factor 1.1. 6/5 and 2/15 are
    the variances of slope and end level of a line fitted to a random walk over a unit span.
    """
    points, span = line[:, trend.POINTS], line[:, trend.SPAN]
    white, wander = line[:, trend.NOISE] ** 2, line[:, trend.WANDER]
    slope_variance = 1.1 * 12.0 * white / (points * span**2) + 6.0 / 5.0 * wander / span
    level_variance = 1.1 * 4.0 * white / points + 2.0 / 15.0 * wander * span
    step = wander * span / np.maximum(points - 1.0, 1.0)
    share = step / np.maximum(step + 2.0 * white, 1e-300)  # of the variance of differences that is wandering
    free = np.maximum(points - 4.0, 1.0) * (1.0 - share) + 4.0 * share  # wandering is told from 4 or 5 long lags only
    return level_variance, slope_variance, free


def risk_within(line: Floats, limit: float, direction: str, days: float) -> Floats:
    """(series,) probability that the level is past the limit within so many days; NaN where no line is known.

    Source: the first-passage time of a Wiener process with drift, by the level at the horizon and the reflection of the
    wandering part (D. R. Cox, H. D. Miller (1965), The Theory of Stochastic Processes, 5.7).
    """
    sign = 1.0 if direction == "rising" else -1.0
    away = sign * (limit - line[:, trend.LEVEL])
    level_variance, slope_variance, free = _uncertainty(line)
    spread = np.sqrt(level_variance + line[:, trend.WANDER] * days + slope_variance * days**2)
    ahead = away - sign * line[:, trend.SLOPE] * days
    return np.where(away <= 0.0, 1.0, stdtr(free, -ahead / np.maximum(spread, 1e-300)))


def _bent(away: Floats, slope: Floats, curve: Floats) -> Floats:
    """Days until slope t + curve t^2 / 2 has gone `away`; the root that does not cancel."""
    return 2.0 * away / (slope + np.sqrt(np.maximum(slope**2 + 2.0 * curve * away, 0.0)))
