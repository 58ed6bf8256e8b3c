"""Live events of open pages, by Server-Sent Events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse

from gateway.web.deps import Deps
from gateway.web.session import Viewer

router = APIRouter(include_in_schema=False)


@router.get("/events")
async def events(
    deps: Deps, who: Viewer, last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None
) -> Response:
    """What changes, as it changes; with `Last-Event-ID`, first what was missed."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(deps.hub.stream(last_event_id), media_type="text/event-stream", headers=headers)
