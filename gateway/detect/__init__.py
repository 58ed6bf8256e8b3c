"""Detection: what is going wrong, from samples and log lines, over whole fleets in arrays.

`Engine` advances every detector through a block and gives `Findings`; `DETECTORS` names the detectors of single series.
"""

from gateway.detect.detector import Detector, Samples, State
from gateway.detect.engine import Engine, EngineSettings, Findings
from gateway.detect.series import DETECTORS

__all__ = ["DETECTORS", "Detector", "Engine", "EngineSettings", "Findings", "Samples", "State"]
