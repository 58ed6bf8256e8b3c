"""Silences and maintenance windows: those there are, a form for a new one, and an end to one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from gateway.errors import Refused
from gateway.ledger import views
from gateway.ledger.database import reading
from gateway.web import silence
from gateway.web.deps import Deps
from gateway.web.pages.page import Word, back, show
from gateway.web.session import Agent, Viewer
from gateway.web.silence import LENGTHS, Kind

router = APIRouter(prefix="/silences", include_in_schema=False)
Text = Annotated[str, Form(max_length=200)]


@router.get("")
def silences(
    request: Request,
    deps: Deps,
    who: Viewer,
    *,
    device_id: Word = "",
    site: Word = "",
    type: Word = "",  # noqa: A002 - the word of the registry
    firmware: Word = "",
    rule: Word = "",
    cause: Word = "",
) -> Response:
    """All of them; labels in the address fill the form in."""
    asked = dict(zip(silence.ORDER, (device_id, site, type, firmware, rule, cause), strict=True))
    with reading(deps.engine) as connection:
        counts, firmwares = views.fleet_counts(connection), views.firmware_counts(connection)
    return show(
        request, deps, who, "silences.html", listed=silence.listed(deps), asked=asked,
        types=sorted({row.type for row in counts}), firmwares=sorted({row.firmware for row in firmwares} - {""}),
        rules=sorted(deps.rules), causes=sorted(set(deps.rules.values())), lengths=LENGTHS,
    )  # fmt: skip


@router.post("")
def add(
    deps: Deps,
    who: Agent,
    *,
    kind: Annotated[Kind, Form()] = "silence",
    device_id: Text = "",
    site: Text = "",
    type: Text = "",  # noqa: A002
    firmware: Text = "",
    rule: Text = "",
    cause: Text = "",
    begins: Annotated[str, Form(max_length=40)] = "",
    lasts: Annotated[str, Form(max_length=10)] = "4h",
    until: Annotated[str, Form(max_length=40)] = "",
    zone: Annotated[str, Form(max_length=60)] = "UTC",
    reason: Annotated[str, Form(max_length=silence.MAX_REASON)] = "",
) -> Response:
    """Add one. `begins` and `until` are local to `zone`; `until` wins over `lasts`."""
    labels = dict(zip(silence.ORDER, (device_id, site, type, firmware, rule, cause), strict=True))
    from_ms = silence.at_local(begins, zone) if begins else None
    if until:
        until_ms = silence.at_local(until, zone)
    elif lasts in LENGTHS:
        until_ms = (deps.now_ms() if from_ms is None else from_ms) + LENGTHS[lasts]
    else:
        raise Refused("no_end", "choose how long it lasts, or the time at which it ends")
    silence.add(deps, who, kind=kind, labels=labels, from_ms=from_ms, until_ms=until_ms, reason=reason)
    return back("/silences")


@router.post("/{mute_id}/end")
def end(deps: Deps, who: Agent, mute_id: str) -> Response:
    """End one now."""
    silence.end(deps, who, mute_id)
    return back("/silences")
