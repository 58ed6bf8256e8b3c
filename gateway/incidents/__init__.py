"""Folding alerts into incidents: shared causes, silences, inhibition, maintenance, flapping, storm breaker. Pure."""

from gateway.incidents.fold import Timing, fold
from gateway.incidents.ids import SELF, derive, fingerprint
from gateway.incidents.outcome import AlertChange, TicketEvent, TurnOutcome
from gateway.incidents.view import Fleet, Mute, Reach, RuleInfo, View

__all__ = [
    "SELF",
    "AlertChange",
    "Fleet",
    "Mute",
    "Reach",
    "RuleInfo",
    "TicketEvent",
    "Timing",
    "TurnOutcome",
    "View",
    "derive",
    "fingerprint",
    "fold",
]
