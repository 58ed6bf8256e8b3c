"""Commands to a device and its desired settings, from its page; one command with its answer."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError

from gateway.errors import Refused
from gateway.ledger import views
from gateway.ledger.database import reading
from gateway.web import remote
from gateway.web.bundle import read_bundle
from gateway.web.deps import Deps, WebDeps
from gateway.web.pages.page import back, show
from gateway.web.remote import TITLES, CommandName, DesiredSettings
from gateway.web.session import Agent
from gateway.web.words import moment

router = APIRouter(prefix="/devices/{device_id}", include_in_schema=False)
EDITED = ("sample_every", "flush_every", "log_level", "log_lines_per_minute")
Typed = Annotated[str, Form(max_length=40)]


@router.post("/commands")
async def command(deps: Deps, who: Agent, device_id: str, name: Annotated[CommandName, Form()]) -> Response:
    """Send a command."""
    await remote.downlink(deps).command(device_id, name, actor=who.login)
    return back(f"/devices/{device_id}#commands")


@router.get("/commands/{command_id}")
def answer(request: Request, deps: Deps, who: Agent, *, device_id: str, command_id: str) -> Response:
    """One command and its answer."""
    order, now_ms = remote.downlink(deps).order(device_id, command_id), deps.now_ms()
    return show(
        request, deps, who, "command.html", order=order, state=remote.state_of(order, now_ms),
        sentence=remote.told(order, now_ms), bundle=read_bundle(order.text) if order.name == "diagnostics" else None,
    )  # fmt: skip


@router.get("/commands/{command_id}/answer")
def download(deps: Deps, who: Agent, device_id: str, command_id: str) -> Response:
    """The answer as a file."""
    order = remote.downlink(deps).order(device_id, command_id)
    ending, media = ("json", "application/json") if read_bundle(order.text) else ("txt", "text/plain; charset=utf-8")
    name = f"{order.device_id}-{order.name}-{moment(order.sent_ms):%Y%m%dT%H%M%SZ}.{ending}"
    return Response(order.text, media_type=media, headers={"Content-Disposition": f'attachment; filename="{name}"'})


@router.post("/desired")
async def desire(
    deps: Deps,
    who: Agent,
    *,
    device_id: str,
    sample_every: Typed = "",
    flush_every: Typed = "",
    log_level: Typed = "",
    log_lines_per_minute: Typed = "",
) -> Response:
    """Want these settings of a device; an empty one is left to the device. Settings without a field here stay."""
    wanted = await run_in_threadpool(_wanted_now, deps, device_id)
    typed = (sample_every, flush_every, log_level, log_lines_per_minute)
    given = {key: text.strip() for key, text in zip(EDITED, typed, strict=True) if text.strip()}
    kept = {key: value for key, value in wanted.items() if key not in EDITED}
    settings = _settings(kept | given)
    await remote.downlink(deps).desire(device_id, settings.as_wire(), actor=who.login)
    return back(f"/devices/{device_id}#settings")


def _wanted_now(deps: WebDeps, device_id: str) -> dict[str, object]:
    with reading(deps.engine) as connection:
        return dict(remote.settings_of(views.device(connection, device_id)).wanted)


def _settings(fields: dict[str, object]) -> DesiredSettings:
    try:
        return DesiredSettings.model_validate(fields)
    except ValidationError as exc:
        first = exc.errors()[0]
        key = str(first["loc"][0])
        raise Refused("bad_setting", f"{TITLES.get(key, key)}: {first['msg'].removeprefix('Value error, ')}") from None
