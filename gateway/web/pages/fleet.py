"""The fleet: how it fares by product type, and its devices, worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from gateway.ledger import views
from gateway.ledger.database import Record, reading
from gateway.ledger.views import FleetFilter
from gateway.web.deps import Deps, WebDeps
from gateway.web.pages.page import PER_PAGE, Offset, Word, query_of, show
from gateway.web.session import Viewer

router = APIRouter(include_in_schema=False)
HEALTHS = ("critical", "warning", "offline", "ok")


@router.get("/")
def fleet(
    request: Request,
    deps: Deps,
    who: Viewer,
    *,
    text: Word = "",
    health: Word = "",
    type: Word = "",  # noqa: A002 - the word of the registry
    firmware: Word = "",
    offset: Offset = 0,
) -> Response:
    """Counts, filters, and one page of devices."""
    wanted = FleetFilter(text=text, health=health, type=type, firmware=firmware)
    counts, firmwares = deps.memo.get("fleet", lambda: _counts(deps), deps.now_ms())
    with reading(deps.engine) as connection:
        page = views.fleet_page(connection, wanted, limit=PER_PAGE, offset=offset)
    by_type: dict[str, Counter[str]] = {}
    for row in counts:
        by_type.setdefault(row.type, Counter())[row.health] += row.devices
    total: Counter[str] = sum(by_type.values(), Counter())
    return show(
        request, deps, who, "fleet.html", page=page, wanted=wanted, query=query_of(wanted), by_type=by_type,
        total=total, healths=HEALTHS, firmwares=[f for f in firmwares if not type or f.type == type],
        heard=last_heard(deps, [row.number for row in page.rows]),
    )  # fmt: skip


def _counts(deps: WebDeps) -> tuple[Sequence[Record], Sequence[Record]]:
    with reading(deps.engine) as connection:
        return views.fleet_counts(connection), views.firmware_counts(connection)


def last_heard(deps: WebDeps, numbers: list[int]) -> dict[int, int]:
    """When a sample of each device came last; devices without any are absent."""
    if not numbers:
        return {}
    series = np.flatnonzero(np.isin(deps.roster.series_device, numbers))
    t_ms, _ = deps.store.last(series.tolist())
    heard: dict[int, Any] = {}
    for device, at_ms in zip(deps.roster.series_device[series].tolist(), t_ms.tolist(), strict=True):
        if at_ms > heard.get(device, 0):
            heard[device] = at_ms
    return heard
