"""A fleet whose faults are known, so that every claim about detection can be measured.

Devices send what `Fleet.telemetry` and `Fleet.lines` give; `Fleet.truth` is kept apart. docs/simulator.md tells more.
"""

from firmware_sim.export import export, write_truth
from firmware_sim.fault import MODES, FaultMode
from firmware_sim.fleet import Fleet, Telemetry, Truth, Unit
from firmware_sim.log import Line
from firmware_sim.person import Owner
from firmware_sim.score import ModeScore, Opened, ScoreReport, score

__all__ = [
    "MODES",
    "FaultMode",
    "Fleet",
    "Line",
    "ModeScore",
    "Opened",
    "Owner",
    "ScoreReport",
    "Telemetry",
    "Truth",
    "Unit",
    "export",
    "score",
    "write_truth",
]
