"""Tickets: the queue, and one ticket with its evidence, its conversation and what can be done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request, Response

from gateway.ledger import evidence, workspace
from gateway.ledger.database import Record, reading
from gateway.ledger.views import OPEN_TICKET
from gateway.ledger.workspace import QUEUES
from gateway.model import Evidence, Forecast, Outcome, TicketPriority, TicketStatus
from gateway.web import casework
from gateway.web.conversation import Line, conversation
from gateway.web.deps import Deps, WebDeps
from gateway.web.insight import troubles
from gateway.web.pages.page import PER_PAGE, Offset, Word, back, show
from gateway.web.session import Agent, Viewer
from gateway.web.words import DAY_MS, HOUR_MS

router = APIRouter(prefix="/tickets", include_in_schema=False)
PRIORITIES = ("urgent", "high", "normal", "low")
STATUSES = ("new", "open", "waiting", "solved", "closed")
OUTCOMES = ("confirmed", "false_alarm", "self_fixed", "no_fault_found", "duplicate")
LABELS = {"open": "Open", "mine": "Mine", "unassigned": "Unassigned", "waiting": "Waiting for the customer",
          "solved": "Solved", "all": "All"}  # fmt: skip
AROUND_MS = 2 * DAY_MS  # shown before the first onset, so that the normal level is seen as well
SHOWN = 4  # episodes told in full; the rest is folded away
LEAST_MS = 12 * HOUR_MS


@router.get("")
def tickets(
    request: Request,
    deps: Deps,
    who: Viewer,
    *,
    queue: Word = "open",
    priority: Word = "",
    type: Word = "",  # noqa: A002 - the word of the registry
    text: Word = "",
    offset: Offset = 0,
) -> Response:
    """One page of a queue."""
    wanted = {"queue": queue if queue in QUEUES else "open", "priority": priority, "type": type, "text": text}
    with reading(deps.engine) as connection:
        page = workspace.ticket_page(connection, login=who.login, limit=PER_PAGE, offset=offset, **wanted)
        queues = workspace.queue_counts(connection, who.login)
        types = workspace.ticket_types(connection)
    return show(
        request, deps, who, "tickets.html", page=page, wanted=wanted, query=wanted, queues=queues, labels=LABELS,
        types=types, priorities=PRIORITIES, forecast_of=_soonest,
    )  # fmt: skip


@router.get("/{number}")
def ticket(request: Request, deps: Deps, who: Viewer, number: int) -> Response:
    """One ticket."""
    with reading(deps.engine) as connection:
        found = workspace.ticket(connection, number)
        messages = workspace.thread(connection, ticket_id=found.ticket_id)
        events = workspace.ticket_events_of(connection, found.ticket_id)
        contacts = workspace.contacts_of(connection, found.customer_id or "")
        logins = workspace.logins(connection)
    held = evidence.from_json(found.evidence)
    lines = conversation(events, messages)
    charts = held.charts or tuple(e.metric for e in held.episodes if e.metric)[:3]
    found_odd = troubles(held.episodes, charts)
    from_ms, to_ms = chart_span(held, found.opened_ms, found.incident_resolved_ms, deps.now_ms())
    return show(
        request, deps, who, "ticket.html", ticket=found, evidence=held, lines=lines, contacts=contacts, logins=logins,
        why=why_alone(held), from_ms=from_ms, to_ms=to_ms, charts=charts, troubles=found_odd,
        forecasts=_forecasts(deps, found, held),
        shown=max(2, min(SHOWN, sum(t.strongest.metric in charts for t in found_odd))),
        statuses=STATUSES, priorities=PRIORITIES, outcomes=OUTCOMES, reachable=[c for c in contacts if not c.opted_out],
        last_in=_last_incoming(lines),
    )  # fmt: skip


def why_alone(held: Evidence) -> str:
    """Why there is a ticket, without the reasons of forecasts and episodes where the page shows those themselves."""
    reasons = [*(f.reason for f in held.forecasts), *(e.reason for e in held.episodes)]
    why = held.why
    for reason in (reason.strip().rstrip(".") for reason in reasons if reason):
        why = why.replace(f"{reason}.", "").replace(f"{reason[:1].upper()}{reason[1:]}.", "")
    return " ".join(why.split()) or held.why


def chart_span(held: Evidence, opened_ms: int, resolved_ms: int | None, now_ms: int) -> tuple[int, int]:
    """(from, to) of a ticket's charts: from before the first onset to now, or to a day after it was over."""
    first = min([opened_ms, *(e.onset_ms for e in held.episodes)])
    until = min(now_ms, resolved_ms + DAY_MS) if resolved_ms else now_ms
    return first - max(AROUND_MS, (until - first) // 5), max(until, first + LEAST_MS)


@router.post("/{number}/change")
def change(
    deps: Deps,
    who: Agent,
    *,
    number: int,
    status: Annotated[TicketStatus | None, Form()] = None,
    priority: Annotated[TicketPriority | None, Form()] = None,
    assignee: Annotated[str | None, Form(max_length=60)] = None,
    outcome: Annotated[Outcome | Literal[""] | None, Form()] = None,
) -> Response:
    """Set what the form holds."""
    casework.change(deps, who, number, status=status, priority=priority, assignee=assignee, outcome=outcome or None)
    return back(f"/tickets/{number}")


@router.post("/{number}/say")
def say(
    deps: Deps,
    who: Agent,
    *,
    number: int,
    text: Annotated[str, Form(max_length=5000)],
    kind: Annotated[Literal["reply", "note"], Form()] = "note",
    contact_id: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Write to the customer, or note something for colleagues."""
    if kind == "reply":
        casework.reply(deps, who, number, contact_id=contact_id, text=text)
    else:
        casework.comment(deps, who, number, text=text)
    return back(f"/tickets/{number}")


def _forecasts(deps: WebDeps, ticket: Record, held: Evidence) -> Sequence[Forecast]:
    """The ticket's forecasts: as they stand now while it is open, else as they were."""
    if ticket.status not in OPEN_TICKET:
        return held.forecasts
    now = {f.name: f for f in deps.forecasts(ticket.device_id)}
    return [now.get(f.name, f) for f in held.forecasts]


def _soonest(row: object) -> dict[str, object] | None:
    """The forecast of a ticket row that comes first; None where there is none with a time."""
    kept = getattr(row, "evidence", None) or {}
    timed = [f for f in kept.get("forecasts", ()) if f.get("median_ms")]
    return min(timed, key=lambda f: f["median_ms"], default=None)


def _last_incoming(lines: list[Line]) -> Line | None:
    return next((line for line in reversed(lines) if line.kind == "in"), None)
