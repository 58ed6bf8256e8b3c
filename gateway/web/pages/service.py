"""Service of a device, noted on its page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Response

from gateway.ledger import service
from gateway.web import silence
from gateway.web.deps import Deps
from gateway.web.pages.page import back
from gateway.web.session import Agent

router = APIRouter(prefix="/devices/{device_id}", include_in_schema=False)


@router.post("/service")
def note(
    deps: Deps,
    who: Agent,
    *,
    device_id: str,
    component: Annotated[str, Form(max_length=64)],
    when: Annotated[str, Form(max_length=40)] = "",
    failed: Annotated[bool, Form()] = False,
) -> Response:
    """Note that a part was serviced; `when` is in UTC, and now where it is empty."""
    now_ms = deps.now_ms()
    at_ms = silence.at_local(when, "UTC") if when else now_ms
    name = component.strip().lower().replace(" ", "_")
    service.note(deps.engine, device_id, name, at_ms=at_ms, failed=failed, author=who.login, now_ms=now_ms)
    return back(f"/devices/{device_id}#service")
