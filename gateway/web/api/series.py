"""API: a device's samples, log lines, episodes and forecasts, as its charts draw them."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Query

from gateway.errors import NotFound, Refused
from gateway.ledger import views
from gateway.ledger.database import Record, reading
from gateway.web import company, insight, words
from gateway.web.api.course import CompanyOut, EpisodeOut, ForecastOut, LogLine, MetricOut, SeriesOut, TimelineOut
from gateway.web.api.form import ERRORS
from gateway.web.deps import Deps, WebDeps
from gateway.web.session import Viewer
from gateway.web.words import DAY_MS

router = APIRouter(prefix="/api/v1/devices/{device_id}", tags=["series"], responses=ERRORS)
MAX_POINTS = 2_000  # two a pixel of a wide screen
MARKS = 2_000

Ms = Annotated[int | None, Query(ge=0, le=2**52)]


def _span(
    deps: Deps,
    start_ms: Annotated[
        Ms, Query(alias="from", description="Unix ms, UTC; a day before `to` where it is left out.")
    ] = None,
    to: Annotated[Ms, Query(description="Unix ms, UTC, not included; now where it is left out.")] = None,
) -> tuple[int, int]:
    end = deps.now_ms() + 1 if to is None else to
    begin = end - DAY_MS if start_ms is None else start_ms
    if begin >= end:
        raise Refused("bad_span", f"from {begin} is not before to {end}")
    return begin, end


Span = Annotated[tuple[int, int], Depends(_span)]


class Asked(NamedTuple):
    """Which metric of which device, by number."""

    device: int
    name: str
    metric: int


def _asked(deps: Deps, device_id: str, metric: Annotated[str, Query(max_length=64)]) -> Asked:
    number, device = deps.roster.metric_number(metric), _device(deps, device_id)
    if number is None:
        raise NotFound("metric", f"{device_id} has not sent {metric}")
    return Asked(device.number, metric, number)


Metric = Annotated[Asked, Depends(_asked)]


@router.get("/metrics", summary="Metrics of a device with their newest samples")
def metrics(deps: Deps, who: Viewer, *, device_id: str) -> list[MetricOut]:
    """By name."""
    with reading(deps.engine) as connection:
        found = views.device_series(connection, views.device(connection, device_id).number)
    t_ms, value = deps.store.last([row.number for row in found])
    return [
        MetricOut(
            metric=row.metric,
            title=words.title(row.metric),
            unit=words.sign(row.metric) or row.unit,
            t_ms=int(t) if t >= 0 else None,
            value=float(v) if math.isfinite(v) else None,
        )
        for row, t, v in zip(found, t_ms, value, strict=True)
    ]


@router.get("/series", summary="Samples of one metric")
def series(
    deps: Deps,
    who: Viewer,
    asked: Metric,
    span: Span,
    *,
    limit: Annotated[int, Query(ge=2, le=MAX_POINTS, description="Samples at most.")] = MAX_POINTS,
) -> SeriesOut:
    """By time, in [from, to)."""
    found = deps.roster.series_number(asked.device, asked.metric)
    if found is None:
        raise NotFound("metric", f"this device has not sent {asked.name}")
    t_ms, value = deps.store.range(found, *span, limit=limit)
    return SeriesOut(metric=asked.name, unit=words.sign(asked.name), t_ms=t_ms.tolist(), value=value.tolist())


@router.get("/company", summary="One metric of the others of its model")
def others(deps: Deps, who: Viewer, asked: Metric, span: Span) -> CompanyOut:
    """In steps over [from, to)."""
    found = company.band(deps.roster, deps.store, asked.device, asked.metric, span=span)
    return CompanyOut(
        metric=asked.name, devices=found.devices, t_ms=found.t_ms.tolist(), low=found.low.tolist(),
        middle=found.middle.tolist(), high=found.high.tolist(),
    )  # fmt: skip


@router.get("/timeline", summary="Episodes, forecasts, starts and log lines")
def timeline(deps: Deps, who: Viewer, device_id: str, span: Span) -> TimelineOut:
    """What overlaps [from, to); forecasts as they stand now."""
    begin, end = span
    device = _device(deps, device_id)
    episodes = [e for e in insight.episodes_of(deps, device_id) if e.onset_ms < end and (e.end_ms or end) >= begin]
    logs = deps.store.logs(device.number, begin, end, limit=MARKS)
    return TimelineOut(
        episodes=[EpisodeOut.of(e) for e in episodes],
        forecasts=[ForecastOut.of(f) for f in insight.forecasts_of(deps, device_id)],
        births=[device.birth_ms] if device.birth_ms and begin <= device.birth_ms < end else [],
        logs=[(t_ms, severity) for t_ms, severity, _, _ in logs],
    )


@router.get("/logs", summary="Log lines")
def logs(
    deps: Deps,
    who: Viewer,
    *,
    device_id: str,
    span: Span,
    limit: Annotated[int, Query(ge=1, le=MARKS, description="Lines at most: the newest.")] = 200,
) -> list[LogLine]:
    """The newest in [from, to), oldest first."""
    lines = deps.store.logs(_device(deps, device_id).number, *span, limit=limit)
    return [LogLine(t_ms=t, severity=severity, source=source, text=text) for t, severity, source, text in lines]


def _device(deps: WebDeps, device_id: str) -> Record:
    with reading(deps.engine) as connection:
        return views.device(connection, device_id)
