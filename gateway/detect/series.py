"""The detectors of single series, in the order in which they are told."""

from __future__ import annotations

import numpy as np

from gateway.detect.detector import Detector
from gateway.detect.drift import DRIFT
from gateway.detect.excursion import EXCURSION
from gateway.detect.level import LEVEL
from gateway.detect.rhythm import RHYTHM
from gateway.detect.shape import SHAPE
from gateway.detect.silence import SILENCE
from gateway.detect.stuck import STUCK
from gateway.detect.variance import VARIANCE
from gateway.model import Flags, Roster

DETECTORS: tuple[Detector, ...] = (LEVEL, DRIFT, VARIANCE, RHYTHM, SHAPE, EXCURSION, STUCK, SILENCE)
SUDDEN = {"rhythm": 0.5, "shape": 0.5}
"""What each score counts for in the surprise of a sample: what sets in now. On ASD, JSD2 and SMD better than BROAD."""
BROAD = {"rhythm": 0.27, "shape": 0.27, "excursion": 0.27, "variance": 0.095, "drift": 0.095}
"""The same where a series is all that is known of its device: of one series many unlike views are steadier than two (a
mean over five such sets on the NAB, 2026-11); of many series the views are many anyway."""
EVIDENCE_ONLY = ("shape", "excursion")
"""Detectors that speak through their device's surprise, and open no episodes of their own."""
PLACED = ("level", "drift", "rhythm", "excursion")
"""Detectors that ask where a series is. What only climbs is always where it never was: of that they say nothing."""
CLIMBING = ("uptime_s",)  # beside counters (`*_total`)


def climbing(roster: Roster) -> Flags:
    """(metrics,) which only climb until they begin anew, by their names."""
    return np.array([name.endswith("_total") or name in CLIMBING for name in roster.metrics], np.bool_)
