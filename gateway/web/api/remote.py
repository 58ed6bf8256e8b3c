"""API: commands to a device and their answers; desired and reported settings."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from gateway.ledger import views
from gateway.ledger.database import reading
from gateway.services.downlink import Order
from gateway.web import remote
from gateway.web.api.form import ERRORS
from gateway.web.deps import Deps, WebDeps
from gateway.web.error import Problem
from gateway.web.remote import CommandName, DesiredSettings, OrderState
from gateway.web.session import Agent, Viewer

AWAY: dict[int | str, dict[str, Any]] = {503: {"model": Problem, "description": "`broker_away`: try again"}}
router = APIRouter(prefix="/api/v1/devices/{device_id}", tags=["devices"], responses=ERRORS | AWAY)


class CommandIn(BaseModel):
    """What a device shall do."""

    model_config = ConfigDict(extra="forbid")

    name: CommandName = Field(description="`ping`, `diagnostics`, or a hook in the device's own settings.")


class CommandOut(BaseModel):
    """A command and its answer as far as it has come; kept until the gateway restarts."""

    command_id: str
    device_id: str
    name: str
    state: OrderState
    code: str = Field(description="As the device says: `done`, `started`, `exit_1`, or why it refused; empty before.")
    sent_ms: int
    answered_ms: int | None
    text: str = Field(description="The answer: JSON of a diagnostics bundle, or what a hook printed.")


class DesiredOut(BaseModel):
    """Desired and reported settings of a device."""

    version: int = Field(description="Of the desired settings; 0 where none were ever wanted.")
    settings: dict[str, Any]
    state: str = Field(description="`own`, `waiting`, `applied`, `refused` (in part), or `unknown`: it never reported.")
    reported_version: int | None
    reported: dict[str, Any]
    refused: dict[str, str] = Field(description="By setting: why the device would not take it.")


@router.post("/commands", summary="Send a command", status_code=202)
async def command(deps: Deps, who: Agent, device_id: str, wanted: CommandIn) -> CommandOut:
    """Signed with the device's key and valid for five minutes; ask for the answer by its id."""
    order = await remote.downlink(deps).command(device_id, wanted.name, actor=who.login)
    return _command(deps, order)


@router.get("/commands/{command_id}", summary="One command and its answer")
def answer(deps: Deps, who: Agent, *, device_id: str, command_id: str) -> CommandOut:
    """As far as it has come."""
    return _command(deps, remote.downlink(deps).order(device_id, command_id))


@router.get("/desired", summary="Desired and reported settings")
def desired(deps: Deps, who: Viewer, *, device_id: str) -> DesiredOut:
    """What we want, what the device says it has, and what it refused."""
    return _desired(deps, device_id)


@router.put("/desired", summary="Want settings of a device")
async def desire(deps: Deps, who: Agent, device_id: str, wanted: DesiredSettings) -> DesiredOut:
    """Replaces all settings wanted so far. A device that is away finds them when it comes back."""
    await remote.downlink(deps).desire(device_id, wanted.as_wire(), actor=who.login)
    return await run_in_threadpool(_desired, deps, device_id)


def _command(deps: WebDeps, order: Order) -> CommandOut:
    return CommandOut(
        command_id=order.command_id, device_id=order.device_id, name=order.name,
        state=remote.state_of(order, deps.now_ms()), code=order.code, sent_ms=order.sent_ms,
        answered_ms=order.answered_ms, text=order.text,
    )  # fmt: skip


def _desired(deps: WebDeps, device_id: str) -> DesiredOut:
    with reading(deps.engine) as connection:
        held = remote.settings_of(views.device(connection, device_id))
    return DesiredOut(
        version=held.version, settings=dict(held.wanted), state=held.state, reported_version=held.reported_version,
        reported=dict(held.reported), refused={row.key: row.refused for row in held.rows if row.refused},
    )  # fmt: skip
