"""API: who is asking, the fleet, devices, incidents, system health."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated

from fastapi import APIRouter, Query, Response

from gateway.ledger import views, workspace
from gateway.ledger.database import reading
from gateway.ledger.views import FleetFilter
from gateway.web import health
from gateway.web.api.form import (
    ERRORS,
    DeviceOut,
    DeviceRow,
    FleetCount,
    IncidentOut,
    Limit,
    ListOf,
    Me,
    Offset,
    PartOut,
    ProblemOut,
    SystemOut,
    list_of,
)
from gateway.web.deps import Deps
from gateway.web.session import Admin, Viewer

router = APIRouter(prefix="/api/v1", responses=ERRORS)
Text = Annotated[str, Query(max_length=200, description="Looked for anywhere in names and ids.")]
Exact = Annotated[str, Query(max_length=200)]


@router.get("/me", tags=["access"], summary="Who is asking")
def me(who: Viewer) -> Me:
    """Login and role behind the session or token."""
    return Me(login=who.login, name=who.name, role=who.role)


@router.get("/fleet", tags=["devices"], summary="Counts by product type and health")
def fleet(deps: Deps, who: Viewer) -> list[FleetCount]:
    """Devices that are not revoked."""
    with reading(deps.engine) as connection:
        return [FleetCount.of(row) for row in views.fleet_counts(connection)]


@router.get("/devices", tags=["devices"], summary="List devices")
def devices(
    deps: Deps,
    who: Viewer,
    *,
    text: Text = "",
    health: Exact = "",
    type: Exact = "",  # noqa: A002 - the word of the registry
    firmware: Exact = "",
    limit: Limit = 50,
    offset: Offset = 0,
) -> ListOf[DeviceRow]:
    """Worst first, then by id."""
    wanted = FleetFilter(text=text, health=health, type=type, firmware=firmware)
    with reading(deps.engine) as connection:
        return list_of(DeviceRow, views.fleet_page(connection, wanted, limit=limit, offset=offset))


@router.get("/devices/{device_id}", tags=["devices"], summary="One device")
def device(deps: Deps, who: Viewer, *, device_id: str) -> DeviceOut:
    """Registry, last start and link."""
    with reading(deps.engine) as connection:
        return DeviceOut.of(views.device(connection, device_id))


@router.get("/incidents", tags=["incidents"], summary="List incidents")
def incidents(
    deps: Deps,
    who: Viewer,
    *,
    state: Exact = "",
    severity: Exact = "",
    device_id: Exact = "",
    text: Text = "",
    limit: Limit = 50,
    offset: Offset = 0,
) -> ListOf[IncidentOut]:
    """Newest first."""
    with reading(deps.engine) as connection:
        page = views.incident_page(
            connection, state=state, severity=severity, device_id=device_id, text=text, limit=limit, offset=offset
        )
    return list_of(IncidentOut, page)


@router.get("/incidents/{incident_id}", tags=["incidents"], summary="One incident")
def incident(deps: Deps, who: Viewer, incident_id: str) -> IncidentOut:
    """As it stands."""
    with reading(deps.engine) as connection:
        return IncidentOut.of(views.incident(connection, incident_id))


@router.get("/system", tags=["operation"], summary="System health")
def system(deps: Deps, who: Viewer) -> SystemOut:
    """Gauges, counters by reason, parts, problems and outbox."""
    counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (name, reason), count in dict(deps.watch.counts).items():
        counts[name][reason] = count
    with reading(deps.engine) as connection:
        outbox = workspace.outbox_counts(connection)
    return SystemOut(
        gauges=dict(deps.watch.gauges),
        counts=dict(counts),
        parts=[PartOut.of(part) for part in deps.parts()],
        problems=[ProblemOut.of(problem) for problem in health.problems(deps)],
        outbox=outbox,
    )


@router.post(
    "/system/channels/{channel}/resume", tags=["operation"], summary="Send through a channel again", status_code=204
)
def resume(deps: Deps, who: Admin, channel: str) -> Response:
    """After a person has put right what took it down; `not_found` for a channel that is not down."""
    health.resume(deps, who, channel)
    return Response(status_code=204)
