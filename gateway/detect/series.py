"""The detectors of single series, in the order in which they are told."""

from __future__ import annotations

from gateway.detect.detector import Detector
from gateway.detect.drift import DRIFT
from gateway.detect.level import LEVEL
from gateway.detect.rhythm import RHYTHM
from gateway.detect.shape import SHAPE
from gateway.detect.silence import SILENCE
from gateway.detect.stuck import STUCK
from gateway.detect.variance import VARIANCE

DETECTORS: tuple[Detector, ...] = (LEVEL, DRIFT, VARIANCE, RHYTHM, SHAPE, STUCK, SILENCE)
EVENT_NAMES = ("rhythm", "shape")
"""Whose scores together make the surprise of a sample: of 9 detectors and their means the best on the NAB, 2026-11."""
EVIDENCE_ONLY = ("shape",)
"""Detectors that speak through their device's surprise, and open no episodes of their own."""
