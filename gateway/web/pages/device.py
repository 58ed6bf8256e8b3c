"""One device: charts of any metric with episodes, forecast and log lines on one time axis, and what it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from fastapi import APIRouter, Request, Response

from edge.wire import SEVERITIES
from gateway.ledger import service, views, workspace
from gateway.ledger.database import reading
from gateway.services.downlink import Order
from gateway.web import insight, remote, silence, words
from gateway.web.deps import Deps, WebDeps
from gateway.web.pages.page import Word, show
from gateway.web.session import Viewer
from gateway.web.words import DAY_MS, HOUR_MS

router = APIRouter(prefix="/devices", include_in_schema=False)
SPANS = {"6h": 6 * HOUR_MS, "1d": DAY_MS, "7d": 7 * DAY_MS, "30d": 30 * DAY_MS, "90d": 90 * DAY_MS}
MAX_CHARTS = 8
LOG_LINES = 200
SHOWN_ORDERS = SHOWN_SERVICE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The newest sample of one series."""

    metric: str
    t_ms: int
    text: str
    suspect: bool  # an episode of it goes on


@router.get("/{device_id}")
def device(
    request: Request,
    deps: Deps,
    who: Viewer,
    *,
    device_id: str,
    span: Word = "7d",
    metric: Word = "",
    charts: Word = "",
) -> Response:
    """The device page. `charts` holds the metrics drawn, with commas; `metric` switches one of them on or off."""
    now_ms, length = deps.now_ms(), SPANS.get(span, SPANS["7d"])
    with reading(deps.engine) as connection:
        found = views.device(connection, device_id)
        series = views.device_series(connection, found.number)
        incidents = views.incident_page(connection, device_id=device_id, limit=8)
        tickets = workspace.ticket_page(connection, queue="all", device_id=device_id, limit=5)
        serviced = service.of_device(connection, device_id, limit=SHOWN_SERVICE)
    log = deps.store.logs(found.number, now_ms - length, now_ms, limit=LOG_LINES)
    episodes, forecasts = insight.episodes_of(deps, device_id), insight.forecasts_of(deps, device_id)
    names, odd = [row.metric for row in series], insight.troubles(episodes)
    going_on = {e.metric for e in episodes if e.end_ms is None}
    wanted = [name for name in charts.split(",") if name in names]
    if not wanted:
        first = [
            *insight.charts_of(deps, device_id),
            *(f.metric for f in forecasts),
            *(t.strongest.metric for t in odd),
        ]
        wanted = _first_charts(names, first)
    return show(
        request, deps, who, "device.html", device=found, incidents=incidents, tickets=tickets, troubles=odd,
        forecasts=forecasts, metrics=names, charts=wanted[:MAX_CHARTS], toggled=lambda name: _toggled(wanted, name),
        readings=_readings(deps, found.number, names, going_on), span=span if span in SPANS else "7d", spans=SPANS,
        from_ms=now_ms - length, to_ms=now_ms, suspects=going_on,
        log=[(t, level, text) for t, level, _, text in log], muted=silence.over_device(deps, found),
        settings=remote.settings_of(found), orders=_orders(deps, device_id, now_ms), log_levels=SEVERITIES,
        serviced=serviced,
    )  # fmt: skip


def _orders(deps: WebDeps, device_id: str, now_ms: int) -> list[tuple[Order, str, str]]:
    """(command, state, sentence) of the newest commands; empty where no device can be reached."""
    recent = deps.downlink.recent(device_id) if deps.downlink else ()
    return [(o, remote.state_of(o, now_ms), remote.told(o, now_ms)) for o in recent[:SHOWN_ORDERS]]


def _first_charts(names: list[str], first: list[str]) -> list[str]:
    """What tickets draw, what has a forecast, what is odd, filled up to three with what the device has."""
    known = [name for name in dict.fromkeys(first) if name in names]
    return (known + [name for name in names if name not in known])[: max(3, min(len(known), 4))]


def _toggled(wanted: list[str], name: str) -> str:
    return ",".join([n for n in wanted if n != name] if name in wanted else [*wanted, name])


def _readings(deps: WebDeps, device: int, names: list[str], going_on: set[str]) -> list[Reading]:
    roster = deps.roster
    numbers = [roster.metric_number(name) for name in names]
    series = [roster.series_number(device, n) if n is not None else None for n in numbers]
    pairs = [(name, s) for name, s in zip(names, series, strict=True) if s is not None]
    t_ms, value = deps.store.last([s for _, s in pairs]) if pairs else (np.empty(0), np.empty(0))
    return [
        Reading(metric=name, t_ms=int(t), text=words.amount(float(v), name), suspect=name in going_on)
        for (name, _), t, v in zip(pairs, t_ms, value, strict=True)
    ]
