"""API: tickets."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from gateway.ledger import workspace
from gateway.ledger.database import reading
from gateway.web import casework
from gateway.web.api.fleet import Exact, Text
from gateway.web.api.form import (
    ERRORS,
    CommentIn,
    Limit,
    ListOf,
    MessageOut,
    Offset,
    Queued,
    ReplyIn,
    TicketChange,
    TicketEventOut,
    TicketOut,
    TicketRow,
    list_of,
)
from gateway.web.deps import Deps, WebDeps
from gateway.web.session import Agent, Viewer

router = APIRouter(prefix="/api/v1/tickets", tags=["tickets"], responses=ERRORS)
Queue = Annotated[
    Literal["open", "mine", "unassigned", "waiting", "solved", "all"], Query(description="Which tickets.")
]


@router.get("", summary="List tickets")
def tickets(
    deps: Deps,
    who: Viewer,
    *,
    queue: Queue = "open",
    priority: Exact = "",
    type: Exact = "",  # noqa: A002 - the word of the registry
    device_id: Exact = "",
    customer_id: Exact = "",
    text: Text = "",
    limit: Limit = 50,
    offset: Offset = 0,
) -> ListOf[TicketRow]:
    """Those that need a person first, then the last changed."""
    with reading(deps.engine) as connection:
        page = workspace.ticket_page(
            connection, queue=queue, login=who.login, priority=priority, type=type, device_id=device_id,
            customer_id=customer_id, text=text, limit=limit, offset=offset,
        )  # fmt: skip
    return list_of(TicketRow, page)


@router.get("/{number}", summary="One ticket")
def ticket(deps: Deps, who: Viewer, *, number: int) -> TicketOut:
    """With evidence, time line and conversation."""
    return _ticket(deps, number)


@router.patch("/{number}", summary="Change a ticket")
def change(deps: Deps, who: Agent, number: int, wanted: TicketChange) -> TicketOut:
    """Set status, priority, assignee or outcome."""
    casework.change(
        deps, who, number, status=wanted.status, priority=wanted.priority, assignee=wanted.assignee,
        outcome=wanted.outcome, note=wanted.note,
    )  # fmt: skip
    return _ticket(deps, number)


@router.post("/{number}/comments", summary="Add an internal note", status_code=204)
def comment(deps: Deps, who: Agent, number: int, wanted: CommentIn) -> Response:
    """Customers never see it."""
    casework.comment(deps, who, number, text=wanted.text)
    return Response(status_code=204)


@router.post("/{number}/replies", summary="Write to the customer", status_code=202)
def reply(deps: Deps, who: Agent, number: int, wanted: ReplyIn) -> Queued:
    """Into the outbox: consent, quiet hours and daily cap are asked again when it is due."""
    return Queued(message_id=casework.reply(deps, who, number, contact_id=wanted.contact_id, text=wanted.text))


def _ticket(deps: WebDeps, number: int) -> TicketOut:
    with reading(deps.engine) as connection:
        row = workspace.ticket(connection, number)
        events = workspace.ticket_events_of(connection, row.ticket_id)
        messages = workspace.thread(connection, ticket_id=row.ticket_id)
    return TicketOut(
        **TicketRow.of(row).model_dump(),
        evidence=row.evidence,
        events=[TicketEventOut.of(event) for event in events],
        messages=[MessageOut.of(message) for message in messages],
    )
