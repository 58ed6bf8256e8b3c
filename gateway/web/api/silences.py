"""API: silences and maintenance windows."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway.web import silence
from gateway.web.api.form import ERRORS
from gateway.web.deps import Deps
from gateway.web.session import Agent, Viewer
from gateway.web.silence import Kind, Listed

router = APIRouter(prefix="/api/v1/silences", tags=["silences"], responses=ERRORS)
Label = Literal["device_id", "site", "type", "firmware", "rule", "cause"]
Value = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class SilenceIn(BaseModel):
    """What to mute, until when, and why."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind = Field("silence", description="`maintenance` for planned work.")
    labels: dict[Label, Value] = Field(
        min_length=1, description="All must match: `device_id`, `site`, `type`, `firmware`, `rule`, `cause`."
    )
    from_ms: int | None = Field(None, ge=0, le=2**52, description="Now where it is left out.")
    until_ms: int = Field(ge=0, le=2**52)
    reason: str = Field(min_length=1, max_length=silence.MAX_REASON)


class SilenceMade(BaseModel):
    """The silence is kept; it holds from the next judgement on, within a second."""

    mute_id: str


class SilenceOut(BaseModel):
    """A silence or maintenance window."""

    mute_id: str
    kind: Kind
    state: str = Field(description="`active`, `planned` or `over`.")
    labels: dict[str, str]
    devices: int = Field(description="How many devices it is about.")
    from_ms: int
    until_ms: int
    author: str
    reason: str

    @classmethod
    def of(cls, found: Listed) -> SilenceOut:
        """From a listed mute."""
        mute = found.mute
        return cls(
            mute_id=mute.mute_id, kind=mute.kind, state=found.state, labels=dict(mute.labels), devices=found.devices,
            from_ms=mute.from_ms, until_ms=mute.until_ms, author=mute.author, reason=mute.reason,
        )  # fmt: skip


@router.get("", summary="List silences and maintenance windows")
def silences(deps: Deps, who: Viewer) -> list[SilenceOut]:
    """Active ones, planned ones, and those that ended within two weeks."""
    return [SilenceOut.of(found) for found in silence.listed(deps)]


@router.post("", summary="Mute what matches", status_code=201)
def add(deps: Deps, who: Agent, wanted: SilenceIn) -> SilenceMade:
    """Matching alerts make no ticket and no message while it lasts; incidents are still recorded."""
    labels = {str(name): value for name, value in wanted.labels.items()}
    mute_id = silence.add(
        deps, who, kind=wanted.kind, labels=labels, from_ms=wanted.from_ms, until_ms=wanted.until_ms,
        reason=wanted.reason,
    )  # fmt: skip
    return SilenceMade(mute_id=mute_id)


@router.delete("/{mute_id}", summary="End a silence", status_code=204)
def end(deps: Deps, who: Agent, mute_id: str) -> Response:
    """Now; one that is over stays as it was."""
    silence.end(deps, who, mute_id)
    return Response(status_code=204)
