"""What is known of one device over time: episodes and forecasts, live ones and those that tickets kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.ledger import evidence, workspace
from gateway.ledger.database import Record, reading
from gateway.model import Episode, Forecast
from gateway.web.deps import WebDeps

MAX_TICKETS = 20  # whose evidence is looked through


def episodes_of(deps: WebDeps, device_id: str) -> list[Episode]:
    """Episodes of a device, newest first; a live one replaces what a ticket kept of it."""
    kept = [episode for row in _tickets(deps, device_id) for episode in evidence.from_json(row.evidence).episodes]
    return _newest([*kept, *deps.episodes(device_id)])


def _newest(episodes: Iterable[Episode]) -> list[Episode]:
    by_name = {(e.metric, e.detector, e.onset_ms): e for e in episodes}
    return sorted(by_name.values(), key=lambda e: (-e.onset_ms, e.metric, e.detector))


def forecasts_of(deps: WebDeps, device_id: str) -> list[Forecast]:
    """Forecasts as they stand; where there is none live, those of open tickets. Soonest first."""
    live = list(deps.forecasts(device_id))
    if not live:
        kept = [row for row in _tickets(deps, device_id) if row.status in ("new", "open", "waiting")]
        live = list({f.name: f for row in reversed(kept) for f in evidence.from_json(row.evidence).forecasts}.values())
    return sorted(live, key=lambda f: (f.median_ms is None, f.median_ms or 0, f.name))


def _tickets(deps: WebDeps, device_id: str) -> Sequence[Record]:
    with reading(deps.engine) as connection:
        page = workspace.ticket_page(connection, queue="all", device_id=device_id, limit=MAX_TICKETS)
    return page.rows
