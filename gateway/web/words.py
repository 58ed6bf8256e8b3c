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
_SAID = re.compile(
    r"(?P<name>\b[a-z][a-z0-9]*(?:_[a-z0-9]+)+\b)|(?P<end>\. )|"
    r"\b(?P<before>near|is|been|usual|usually|suggest|by|reaches|repeated|climbed|sunk|of) "
    r"(?P<number>-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?)(?![\d.]*\d| ?%)",
    re.ASCII,
)
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
    """Sentences with metrics called by their titles, and numbers about them with their units.

    `heap_free_bytes fell by 1.2e+07.` becomes `Heap free fell by 12 MB.` A number is about the metric named last in
    its sentence.
    """
    about = ""

    def said(found: re.Match[str]) -> str:
        nonlocal about
        if name := found["name"]:
            about = name if name in METRICS or unit(name) else about
            before = sentence[: found.start()]
            return _titled(name, begins=not before or before.endswith(". "))
        if found["end"]:
            about = ""
            return found[0]
        value = float(found["number"].replace(",", ""))
        return f"{found['before']} {amount(value, about)}" if about or "e" in found["number"] else found[0]

    return _SAID.sub(said, sentence)


def _titled(name: str, *, begins: bool) -> str:
    if name not in METRICS and not unit(name):
        return name
    text = title(name)
    is_name = any(letter.isupper() for letter in text.partition(" ")[0][1:])
    return text if begins or is_name else text[:1].lower() + text[1:]


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
    if value < 0:
        return f"−{number(-value)}"
    for scale, letter in _SCALES:
        if value >= scale * (10 if scale == 1e3 else 0.9995):  # what rounds to 1,000 of a scale is 1 of the next
            return f"{_three(value / scale)} {letter}"
    if 0.001 <= abs(value) < 1:
        return f"{round(value, 3):g}"
    return f"{value:,.0f}" if value == round(value) or value >= 1_000 else f"{value:.4g}"


def amount(value: float | str | None, metric: str) -> str:
    """A value with its unit, as `61.2 °C`, `8 %`, `1.42 GB`."""
    if isinstance(value, str):
        return value
    if value is None or not math.isfinite(value):
        return "–"
    mark = sign(metric)
    if mark == "%" and unit(metric) == "ratio":
        return f"{_three(value * 100)} %".replace("-", "−", 1)
    if mark == "s" and abs(value) >= 120:
        return span(value * 1000)
    if mark == "s" and 0 < abs(value) < 0.1:
        return f"{value * 1000:.3g} ms".replace("-", "−", 1)
    text = number(value)
    return f"{text}{'' if text[-1].isalpha() or not mark else ' '}{mark}"


def _three(value: float) -> str:
    """Three significant digits, and never an exponent where there are more before the point."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"


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
    what = title(forecast.metric or forecast.name).lower()
    sentences = []
    if forecast.median_ms is not None:
        sentences.append(_capital(f"{what} {_reaches(forecast, forecast.median_ms, now_ms)}"))
    if forecast.risk_ratio is not None and not _goes_without_saying(forecast):
        sentences.append(_risk(forecast, what, forecast.risk_ratio))
    return " ".join(f"{sentence}." for sentence in sentences)


def is_due(forecast: Forecast, now_ms: int) -> bool:
    """Whether a forecast, made earlier and never renewed, spoke of a time that is past."""
    return forecast.median_ms is not None and forecast.made_ms < forecast.median_ms <= now_ms


def _reaches(forecast: Forecast, median_ms: int, now_ms: int) -> str:
    goal = "its limit" if forecast.limit is None else amount(forecast.limit, forecast.metric)
    if is_due(forecast, now_ms):
        return f"was to reach {goal} about {_moment(median_ms, now_ms)}, as seen {ago(forecast.made_ms, now_ms)}"
    if median_ms <= now_ms:
        return f"has reached {goal}"
    said = f"reaches {goal} in about {span(median_ms - now_ms)} ({_moment(median_ms, now_ms)})"
    if forecast.low_ms is not None and forecast.high_ms is not None:
        said += f"; 9 times in 10 {_interval(max(forecast.low_ms, now_ms), forecast.high_ms, now_ms)}"
    return said


def _goes_without_saying(forecast: Forecast) -> bool:
    """Whether the interval says already that the limit is reached within the horizon."""
    if forecast.limit is None or forecast.median_ms is None:
        return False
    end_ms = forecast.made_ms + (forecast.horizon_ms or 0)
    return forecast.high_ms is None or forecast.high_ms <= end_ms or forecast.median_ms <= forecast.made_ms


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
    if high_ms - now_ms < 2 * DAY_MS:
        low, high = _moment(low_ms, now_ms), _moment(high_ms, now_ms)
        return f"between {low.removesuffix(' UTC')} and {high}"
    low, high = day(low_ms), day(high_ms)
    return f"on {low}" if low == high else f"between {low} and {high}"


def _moment(ms: int, now_ms: int) -> str:
    """A time of day where it is near, with its day where that is another; else the day alone."""
    if abs(ms - now_ms) >= 2 * DAY_MS:
        return day(ms)
    clock = f"{moment(ms):%H:%M} UTC"
    return clock if day(ms) == day(now_ms) else f"{day(ms)} {clock}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
