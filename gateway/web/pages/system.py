"""System health: whether the gateway keeps up, what it dropped and why, its parts, jobs and outbox."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from gateway.ledger import workspace
from gateway.ledger.database import reading
from gateway.web import health, words
from gateway.web.deps import Deps
from gateway.web.pages.page import back, show
from gateway.web.session import Admin, Viewer

router = APIRouter(prefix="/system", include_in_schema=False)
LETTERS = 20  # dead letters on the page
FIRST = (
    "values_stored",
    "lines_stored",
    "batches_stored",
    "episodes_opened",
    "tickets_opened",
)  # totals, in order
ASIDE = ("turns", "windows", "batches_duplicate")  # totals that the table of parts shows
AS_WANTED = ("sent", "taken")  # ways messages fare that are no loss


@router.get("")
def system(request: Request, deps: Deps, who: Viewer) -> Response:
    """Gauges, counters by reason, parts, jobs, outbox and dead letters."""
    with reading(deps.engine) as connection:
        jobs = workspace.jobs(connection)
        outbox = workspace.outbox_counts(connection)
        held = workspace.held_messages(connection, limit=20)
    counts = sorted(dict(deps.watch.counts).items())
    gauges = [
        (name, words.title(name), _gauge(name, value, deps.now_ms()))
        for name, value in sorted(deps.watch.gauges.items())
    ]
    return show(
        request, deps, who, "system.html", gauges=gauges, parts=deps.parts(), jobs=jobs, outbox=outbox, held=held,
        letters=deps.dead_letters(LETTERS), channel_of=health.channel_of,
        totals=sorted(
            ((name, count) for (name, reason), count in counts if not reason and name not in ASIDE),
            key=lambda total: (FIRST.index(total[0]) if total[0] in FIRST else len(FIRST), total[0]),
        ),
        reasons=[(name, why, count) for (name, why), count in counts if count and why and why not in AS_WANTED],
    )  # fmt: skip


@router.post("/channels/{channel}/resume")
def resume(deps: Deps, who: Admin, channel: str) -> Response:
    """Send through a channel again that was down."""
    health.resume(deps, who, channel)
    return back("/system")


def _gauge(name: str, value: float, now_ms: int) -> str:
    return words.ago(int(value), now_ms) if name.endswith("_ms") else words.amount(value, name)
