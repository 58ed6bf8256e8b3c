"""What every page has: the signed-in user, the counts of the menu, and how a form goes back to its page."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.responses import RedirectResponse

from gateway.ledger import views, workspace
from gateway.ledger.database import reading
from gateway.web import health
from gateway.web.deps import WebDeps
from gateway.web.render import render
from gateway.web.session import Who

PER_PAGE = 50

Offset = Annotated[int, Query(ge=0, le=10_000_000)]
Word = Annotated[str, Query(max_length=200)]


def show(request: Request, deps: WebDeps, who: Who, name: str, /, status: int = 200, **context: object) -> Response:
    """A page inside the frame."""
    problems = health.problems(deps)
    counts = menu_counts(deps, who) | {"system": len(problems)}
    shared = {"who": who, "counts": counts, "phones": deps.phones, "problems": problems}
    return render(request, name, status, **shared, **context)


def menu_counts(deps: WebDeps, who: Who) -> dict[str, int]:
    """Numbers in the menu: open critical incidents and open tickets."""
    with reading(deps.engine) as connection:
        incidents = views.incident_counts(connection)
        queues = workspace.queue_counts(connection, who.login)
    return {"incidents": incidents.get(("open", "critical"), 0), "tickets": queues["open"]}


def back(address: str) -> Response:
    """Go to a page after a form."""
    return RedirectResponse(address, 303)


def query_of(wanted: object) -> dict[str, str]:
    """A filter value as query parameters, for links to other pages of the list."""
    return {key: str(value) for key, value in asdict(wanted).items() if value}  # type: ignore[call-overload]  # a dataclass
