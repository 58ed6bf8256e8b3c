"""Detection: what is going wrong, from samples and log lines, over whole fleets in arrays.

`Engine` advances every detector through a block and gives `Findings`; `DETECTORS` names the detectors of single series.
"""

from gateway.detect.detector import Detector, Samples, State
from gateway.detect.drift import DRIFT
from gateway.detect.engine import Engine, EngineSettings, Findings
from gateway.detect.level import LEVEL
from gateway.detect.silence import SILENCE
from gateway.detect.stuck import STUCK
from gateway.detect.variance import VARIANCE

DETECTORS: tuple[Detector, ...] = (LEVEL, DRIFT, VARIANCE, STUCK, SILENCE)

__all__ = ["DETECTORS", "Detector", "Engine", "EngineSettings", "Findings", "Samples", "State"]
