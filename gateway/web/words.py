"""Numbers, times and forecasts as a support person reads them: "in about 12 days", "61 °C", "3 min ago"."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from edge.wire import METRICS
from gateway.model import Forecast

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000

SIGNS = {
    "celsius": "°C", "kelvin": "K", "volts": "V", "amperes": "A", "ohms": "Ω", "watts": "W", "dbm": "dBm", "db": "dB",
    "hertz": "Hz", "rpm": "rpm", "pascals": "Pa", "joules": "J", "percent": "%", "s": "s", "seconds": "s", "ms": "ms",
    "g": "g", "meters": "m", "meters_per_second_squared": "m/s²", "cubic_meters_per_second": "m³/s", "bytes": "B",
    "bytes_per_second": "B/s", "bits_per_second": "bit/s", "tasks": "tasks", "per_s": "/s",
}  # fmt: skip
_SUFFIXES = (*sorted(SIGNS, key=len, reverse=True), "ratio", "total", "count")
_NAME = re.compile(r"\b[a-z][a-z0-9]*(?:_[a-z0-9]+)+\b")
_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def unit(metric: str) -> str:
    """The unit a metric's name ends in; "" where it ends in none we know."""
    if known := METRICS.get(metric):
        return known.unit
    return next((s for s in _SUFFIXES if metric.endswith(f"_{s}")), "")


def title(metric: str) -> str:
    """A metric, episode or forecast name for people, without its unit."""
    if not metric:
        return "Whole device"
    if metric.startswith("log:"):
        return "Log lines"
    if known := METRICS.get(metric):
        return known.title
    base, ending = metric.rsplit(".", 1)[-1], unit(metric)
    return base.removesuffix(f"_{ending}").replace("_", " ").capitalize()


def plain(sentence: str) -> str:
    """A sentence with metrics called by their titles: `heap_free_bytes fell` becomes `Heap free fell`."""

    def named(found: re.Match[str]) -> str:
        before = sentence[: found.start()]
        return _titled(found[0], begins=not before or before.endswith(". "))

    return _NAME.sub(named, sentence)


def _titled(name: str, *, begins: bool) -> str:
    if name not in METRICS and not unit(name):
        return name
    text = title(name)
    return text if begins or text[1:2].isupper() else text[:1].lower() + text[1:]


def sign(metric: str) -> str:
    """The unit as written behind a number: `°C`, `B`, and `%` for shares, which are 0 to 1 in the data."""
    kind = unit(metric)
    if kind == "ratio":
        known = METRICS.get(metric)
        return "%" if known is None or known.high <= 2.0 else ""
    return SIGNS.get(kind, "")


def number(value: float | None) -> str:
    """Four significant digits at most, large numbers scaled; a dash for what is unknown."""
    if value is None or not math.isfinite(value):
        return "–"
    for scale, letter in _SCALES:
        if abs(value) >= scale * (10 if scale == 1e3 else 1):
            return f"{value / scale:.3g} {letter}"
    if 0.001 <= abs(value) < 1:
        return f"{round(value, 3):g}"
    return f"{value:,.0f}" if value == round(value) else f"{value:.4g}"


def amount(value: float | str | None, metric: str) -> str:
    """A value with its unit, as `61.2 °C`, `8 %`, `1.42 GB`."""
    if isinstance(value, str):
        return value
    if value is None or not math.isfinite(value):
        return "–"
    mark = sign(metric)
    if mark == "%" and unit(metric) == "ratio":
        return f"{value * 100:.3g} %"
    if mark == "s" and abs(value) >= 120:
        return span(value * 1000)
    if mark == "s" and 0 < abs(value) < 0.1:
        return f"{value * 1000:.3g} ms"
    text = number(value)
    return f"{text}{'' if text[-1].isalpha() or not mark else ' '}{mark}"


def span(ms: float) -> str:
    """A length of time in its largest fitting unit: `45 s`, `12 min`, `3 h`, `9 days`."""
    ms = abs(ms)
    if ms < 90_000:
        return f"{ms / 1000:.0f} s"
    if ms < 90 * MINUTE_MS:
        return f"{ms / MINUTE_MS:.0f} min"
    if ms < 36 * HOUR_MS:
        return f"{ms / HOUR_MS:.0f} h"
    if ms < 100 * DAY_MS:
        return f"{ms / DAY_MS:.0f} days"
    return f"{ms / (30.44 * DAY_MS):.0f} months" if ms < 700 * DAY_MS else f"{ms / (365.25 * DAY_MS):.1f} years"


def ago(ms: int | None, now_ms: int) -> str:
    """A moment relative to now: `3 min ago`, `in 9 days`, `now`, `never`."""
    if ms is None or ms <= 0:
        return "never"
    if abs(now_ms - ms) < 5_000:
        return "now"
    return f"{span(now_ms - ms)} ago" if ms < now_ms else f"in {span(ms - now_ms)}"


def stamp(ms: int) -> str:
    """A moment in UTC: `2026-11-24 20:43:10 UTC`."""
    return f"{moment(ms):%Y-%m-%d %H:%M:%S} UTC"


def moment(ms: int) -> datetime:
    """An aware datetime in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def day(ms: int) -> str:
    """A calendar day in UTC: `6 Dec`."""
    return f"{moment(ms).day} {moment(ms):%b}"


def forecast_sentence(forecast: Forecast, now_ms: int) -> str:
    """A forecast in words, with its interval; "" where it says nothing of time or risk."""
    metric, parts = forecast.metric, []
    what = title(metric or forecast.name).lower()
    if forecast.median_ms is not None:
        goal = "its limit" if forecast.limit is None else amount(forecast.limit, metric)
        parts.append(_capital(f"{what} reaches {goal} {_when(forecast.median_ms, now_ms)}"))
    if forecast.low_ms is not None and forecast.high_ms is not None and forecast.high_ms > now_ms:
        parts.append(_interval(forecast.low_ms, forecast.high_ms, now_ms))
    sentences = ["; ".join(parts), "" if forecast.risk_ratio is None else _risk(forecast, what, forecast.risk_ratio)]
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def share(ratio: float) -> str:
    """A probability in per cent, never certain: `31`, `99` for all above, `under 1` for all below."""
    return "under 1" if ratio < 0.01 else f"{min(99.0, ratio * 100):.0f}"


def _risk(forecast: Forecast, what: str, ratio: float) -> str:
    """What a probability is of: of reaching a limit, or, learned from devices that failed, of failing."""
    within = f" within {span(forecast.horizon_ms)}" if forecast.horizon_ms else ""
    if forecast.limit is None:
        return f"{_capital(share(ratio))} of 100 devices in this state fail{within}"
    if forecast.median_ms is None:
        return f"{_capital(what)} reaches its limit{within} with {share(ratio)} % probability"
    return f"It reaches its limit{within} with {share(ratio)} % probability"


def _interval(low_ms: int, high_ms: int, now_ms: int) -> str:
    if day(low_ms) != day(high_ms):
        return f"9 times in 10 between {day(low_ms)} and {day(high_ms)}"
    return f"9 times in 10 between {_clock(max(low_ms, now_ms))} and {_clock(high_ms)} UTC"


def _when(ms: int, now_ms: int) -> str:
    if ms <= now_ms:
        return "now"
    at = day(ms) if ms - now_ms >= 36 * HOUR_MS else f"{_clock(ms)} UTC"
    if at != day(ms) and day(ms) != day(now_ms):
        at = f"{day(ms)} {at}"
    return f"in about {span(ms - now_ms)} ({at})"


def _clock(ms: int) -> str:
    return f"{moment(ms):%H:%M}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
