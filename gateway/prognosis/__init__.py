"""Time to a limit, probability of failure within a horizon, time left: calibrated, with intervals, or silent."""

from gateway.prognosis.forecaster import Forecaster
from gateway.prognosis.others import ForecastSpec
from gateway.prognosis.outlook import HORIZON_MS, Outlook

__all__ = ["HORIZON_MS", "ForecastSpec", "Forecaster", "Outlook"]
