"""Logs: from lines to templates, counts, bursts, novelties and the alarms that come next.

`LogState` advances through blocks of log lines; `Miner` alone turns lines into templates.
"""

from gateway.detect.logs.miner import Miner
from gateway.detect.logs.state import COLUMNS, PRECURSOR, SESSION, LogFindings, LogState

__all__ = ["COLUMNS", "PRECURSOR", "SESSION", "LogFindings", "LogState", "Miner"]
