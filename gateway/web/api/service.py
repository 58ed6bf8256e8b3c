"""API: what of a device was serviced, and whether it had failed. Learning takes it in at the next training."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from gateway.ledger import service, views
from gateway.ledger.database import reading
from gateway.web.api.form import ERRORS, Form
from gateway.web.deps import Deps
from gateway.web.session import Agent, Viewer

router = APIRouter(prefix="/api/v1/devices/{device_id}/service", tags=["devices"], responses=ERRORS)


class ServiceIn(BaseModel):
    """A part that was serviced."""

    model_config = ConfigDict(extra="forbid")

    component: str = Field(max_length=64, description="The part, as `compressor`; always by the same name.")
    at_ms: int | None = Field(None, description="Unix ms, UTC; now where it is left out.")
    failed: bool = Field(False, description="It had failed by then; else it was serviced before it did.")


class ServiceOut(Form):
    """A service record."""

    component: str
    at_ms: int
    failed: bool
    author: str


@router.get("", summary="What was serviced")
def listed(deps: Deps, who: Viewer, *, device_id: str) -> list[ServiceOut]:
    """The newest fifty records, newest first."""
    with reading(deps.engine) as connection:
        found = service.of_device(connection, views.device(connection, device_id).device_id)
    return [ServiceOut.of(record) for record in found]


@router.post("", summary="Note that a part was serviced", status_code=201)
def note(deps: Deps, who: Agent, device_id: str, wanted: ServiceIn) -> list[ServiceOut]:
    """Noting the same part and time again changes nothing. What was serviced so far."""
    now_ms = deps.now_ms()
    service.note(
        deps.engine, device_id, wanted.component, at_ms=now_ms if wanted.at_ms is None else wanted.at_ms,
        failed=wanted.failed, author=who.login, now_ms=now_ms,
    )  # fmt: skip
    return listed(deps, who, device_id=device_id)
