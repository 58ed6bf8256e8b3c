"""Incidents: what is going wrong, and what went wrong."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from gateway.incidents import SELF
from gateway.ledger import views
from gateway.ledger.database import reading
from gateway.web.deps import Deps
from gateway.web.pages.page import PER_PAGE, Offset, Word, show
from gateway.web.session import Viewer

router = APIRouter(prefix="/incidents", include_in_schema=False)


@router.get("")
def incidents(
    request: Request,
    deps: Deps,
    who: Viewer,
    *,
    state: Word = "open",
    severity: Word = "",
    text: Word = "",
    offset: Offset = 0,
) -> Response:
    """One page of incidents, newest first."""
    wanted = {"state": state, "severity": severity, "text": text}
    with reading(deps.engine) as connection:
        counts = views.incident_counts(connection)
        page = views.incident_page(
            connection,
            state="" if state == "all" else state,
            severity=severity,
            text=text,
            limit=PER_PAGE,
            offset=offset,
        )
    by_state = {name: sum(n for (held, _), n in counts.items() if held == name) for name in ("open", "resolved")}
    return show(
        request, deps, who, "incidents.html", page=page, wanted=wanted, query=wanted, counts_by=counts,
        by_state=by_state | {"all": sum(counts.values())},
    )  # fmt: skip


@router.get("/{incident_id}")
def incident(request: Request, deps: Deps, who: Viewer, incident_id: str) -> Response:
    """One incident: its alerts, what it explains, its ticket."""
    with reading(deps.engine) as connection:
        found = views.incident(connection, incident_id)
        alerts = views.incident_alerts(connection, incident_id)
        children = views.children(connection, incident_id)
    return show(
        request, deps, who, "incident.html", incident=found, alerts=alerts, children=children,
        to_mute=_labels(found.device_id, found.cause),
    )  # fmt: skip


def _labels(device_id: str, cause: str) -> dict[str, str]:
    """What a silence of this incident says; a shared cause reads `battery site=north`. Empty: it cannot be muted."""
    if device_id:
        return {} if device_id == SELF else {"device_id": device_id, "cause": cause}
    name, _, shared = cause.partition(" ")
    scope, _, value = shared.partition("=")
    return {"cause": name} | ({"site": value} if scope == "site" else {})
