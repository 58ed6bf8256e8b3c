"""What an expression may name: metrics (plain names) and the facts the gateway derives from them.

A plain name that is no derived fact is a metric; whether any device sends it is not known here. A dotted name must be
one of `FACTS`, so a slip of the pen is found before the rule is used rather than by its silence.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final

from rules.errors import RuleError

FACTS: Final = {
    "score.<metric>": "anomaly score of the metric's newest sample by its worst detector; 1.0 is the threshold",
    "score.device": "anomaly score of the whole device, all its series and its cohort joined",
    "episode.<metric>_s": "how long the metric's present episode has lasted; 0 where there is none",
    "trend.<metric>_per_day": "robust slope of the metric, in its unit per day",
    "forecast.<name>_days_left": "days until the forecast's limit is reached (median)",
    "forecast.<name>_days_low": "the same, low end of the 90 % interval",
    "forecast.<name>_days_high": "the same, high end of the 90 % interval",
    "forecast.<name>_risk_ratio": "probability that the limit is reached within the forecast's horizon",
    "risk.failure_ratio": "probability of failure within the horizon, learned from the fleet's outcomes",
    "risk.days_left": "days until a device likely to fail does (median), learned from those that failed",
    "risk.days_low": "the same, low end of the 90 % interval",
    "risk.days_high": "the same, high end of the 90 % interval",
    "risk.growth_score": "how fast most of a device's vibration and current metrics grow; 1.0 is the threshold",
    "risk.prior_score": "how unusual the device's past is in its fleet, before any failure is known; higher is worse",
    "log.error_rate_1h": "log lines of severity error or worse in the last hour",
    "log.new_templates_1h": "log templates first seen within the last hour",
    "log.novelty": "how unlike its fleet the device's newest log lines are; 1.0 is the threshold",
    "log.burst_score": "how unusual the device's log rate is; 1.0 is the threshold",
    "log.precursor_score": "what recent log lines say of failure; 1.0: it is ten times as likely as usual",
    "log.session_score": "how seldom sessions are put together as one of the last hour is; 1.0: one in a hundred",
    "cohort.score": "distance of the device from its cohort; 1.0 is the threshold",
    "cohort.firmware_score": "how surely its firmware version changes devices; 1.0 is the threshold",
    "silent_s": "seconds since the device was last heard",
    "reboots_24h": "how often the device started within the last 24 hours",
    "clock_skew_s": "device clock minus gateway clock; positive where the device is ahead",
    "age_s": "seconds since the device was first seen",
}
"""Every derived fact, with its meaning; `<metric>` and `<name>` stand for any name."""

_PLAIN: Final = re.compile(r"[A-Za-z_]\w*\Z")


def _pattern(fact: str) -> str:
    return re.sub(r"<\w+>", "__any__", fact).replace(".", r"\.").replace("__any__", r"\w+")


_DERIVED: Final = re.compile("|".join(f"(?:{_pattern(fact)})" for fact in FACTS) + r"\Z")


def check_name(name: str) -> None:
    """Accept a metric or a derived fact.

    Raises:
        RuleError: `unknown_fact`, with the nearest fact that exists.
    """
    if _PLAIN.match(name) or _DERIVED.fullmatch(name):
        return
    near = difflib.get_close_matches(name, FACTS, n=1, cutoff=0.0)
    raise RuleError("unknown_fact", f"{name!r} is no fact; did you mean {near[0]!r}?")


def metrics_of(names: Iterable[str]) -> set[str]:
    """The metrics that plain names and facts speak of."""
    found = set()
    for name in names:
        if match := re.fullmatch(r"score\.(\w+)|episode\.(\w+)_s|trend\.(\w+)_per_day", name):
            found.add(next(part for part in match.groups() if part))
        elif "." not in name and name not in FACTS:
            found.add(name)
    return found - {"device"}
