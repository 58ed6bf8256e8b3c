"""Facts of devices that rules ask for by name, as columns; NaN where a fact is not known."""

from __future__ import annotations

import numpy as np

from gateway.detect.detector import State
from gateway.model import Floats, Integers, Roster


def unknown(roster: Roster) -> Floats:
    """(devices,) of NaN."""
    return np.full(len(roster.devices), np.nan)


def highest(roster: Roster, series: Integers, fact: Floats) -> Floats:
    """(devices,) the highest fact of the given series of each device."""
    found = unknown(roster)
    np.fmax.at(found, roster.series_device[series], fact[series])
    return found


def of_metric(roster: Roster, metric: str, fact: Floats) -> Floats:
    """(devices,) a fact of the series of one metric."""
    number = roster.metric_number(metric)
    if number is None:
        return unknown(roster)
    return highest(roster, np.flatnonzero(roster.series_metric == number), fact)


def silent_s(roster: Roster, last_ms: Integers, now_ms: int) -> Floats:
    """(devices,) seconds since the last sample of any series."""
    heard = np.full(len(roster.devices), -1, np.int64)
    np.maximum.at(heard, roster.series_device, last_ms[: roster.series_count])
    return np.where(heard >= 0, np.maximum(now_ms - heard, 0) / 1000.0, np.nan)


def lasted_s(states: list[State], now_ms: int, rows: int) -> Floats:
    """(rows,) seconds since the onset of the oldest open episode; 0 where there is none."""
    longest = np.zeros(rows)
    for state in states:
        held = state["episodes"][:rows]
        np.maximum(longest, np.where(held["open"], (now_ms - held["since_ms"]) / 1000.0, 0.0), out=longest)
    return longest
