"""The customers' phones, played by the console while no SMS provider is configured."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from gateway.errors import NotFound
from gateway.ledger import workspace
from gateway.ledger.database import reading
from gateway.web.deps import Deps, WebDeps
from gateway.web.pages.page import Word, back, show
from gateway.web.session import Agent, Viewer

router = APIRouter(prefix="/phones", include_in_schema=False)
QUICK = {
    "en": ("1", "2", "3", "It has got worse", "STOP", "START", "HELP"),
    "de": ("1", "2", "3", "Es ist schlimmer geworden", "STOP", "START", "HILFE"),
    "zh": ("1", "2", "3", "情况更严重了", "退订", "START", "帮助"),
}


@router.get("")
def phones(request: Request, deps: Deps, who: Viewer, text: Word = "", phone: Word = "") -> Response:
    """All phones, those with the newest messages first, and one of them."""
    _check(deps)
    with reading(deps.engine) as connection:
        listed = workspace.phones(connection, text=text)
        chosen = phone or (listed[0].contact_id if listed else "")
        held = next((p for p in listed if p.contact_id == chosen), None) or workspace.phone(connection, chosen)
        thread = workspace.thread(connection, contact_id=chosen) if chosen else []
        tickets = (
            workspace.ticket_page(connection, queue="all", customer_id=held.customer_id, limit=5).rows if held else ()
        )
    quiet = not phone and not text and not any(p.last_ms for p in listed)
    language = held.language.partition("-")[0] if held else "en"
    return show(
        request, deps, who, "phones.html", listed=listed, held=None if quiet else held, quiet=quiet, text=text,
        tickets=tickets,
        thread=[m for m in thread if m.direction == "in" or m.state in workspace.SHOWN],
        waiting=[m for m in thread if m.direction == "out" and m.state not in workspace.SHOWN],
        quick=QUICK.get(language, QUICK["en"]),
    )  # fmt: skip


@router.post("/{contact_id}")
def say(deps: Deps, who: Agent, contact_id: str, text: Annotated[str, Form(min_length=1, max_length=1600)]) -> Response:
    """The customer writes."""
    _check(deps)
    deps.replies.say(contact_id, text)
    deps.hub.publish("message", contact_id)
    return back(f"/phones?phone={contact_id}")


def _check(deps: WebDeps) -> None:
    if not deps.phones:
        raise NotFound("phones", "messages go out by a real channel")
