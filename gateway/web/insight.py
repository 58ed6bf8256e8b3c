"""What is known of one device over time: episodes and forecasts, live ones and those that tickets kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.ledger import evidence, workspace
from gateway.ledger.database import Record, reading
from gateway.ledger.views import OPEN_TICKET
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Episodes of one metric that overlap in life: the strongest speaks for all."""

    strongest: Episode
    detectors: tuple[str, ...]
    onset_ms: int
    end_ms: int | None


def troubles(episodes: Iterable[Episode], charts: Sequence[str] = ()) -> list[Trouble]:
    """Episodes joined by metric: the charted first, then those that go on, then the strongest."""
    by_metric: dict[tuple[str, bool], list[Episode]] = {}
    for episode in episodes:
        by_metric.setdefault((episode.metric, episode.end_ms is None), []).append(episode)
    joined = [_join(held) for held in by_metric.values()]
    return sorted(joined, key=lambda t: (t.strongest.metric not in charts, t.end_ms is not None, -t.strongest.peak))


def _join(episodes: Sequence[Episode]) -> Trouble:
    ends = [e.end_ms for e in episodes if e.end_ms is not None]
    return Trouble(
        strongest=max(episodes, key=lambda e: e.peak),
        detectors=tuple(dict.fromkeys(e.detector for e in episodes)),
        onset_ms=min(e.onset_ms for e in episodes),
        end_ms=max(ends) if len(ends) == len(episodes) else None,
    )


def charts_of(deps: WebDeps, device_id: str) -> list[str]:
    """Metrics that the device's open tickets draw."""
    kept = [row for row in _tickets(deps, device_id) if row.status in OPEN_TICKET]
    return list(dict.fromkeys(m for row in kept for m in evidence.from_json(row.evidence).charts))


def forecasts_of(deps: WebDeps, device_id: str) -> list[Forecast]:
    """Forecasts as they stand; where there is none live, those of open tickets. Soonest first."""
    live = list(deps.forecasts(device_id))
    if not live:
        kept = [row for row in _tickets(deps, device_id) if row.status in OPEN_TICKET]
        live = list({f.name: f for row in reversed(kept) for f in evidence.from_json(row.evidence).forecasts}.values())
    return sorted(live, key=lambda f: (f.median_ms is None, f.median_ms or 0, f.name))


def _tickets(deps: WebDeps, device_id: str) -> Sequence[Record]:
    with reading(deps.engine) as connection:
        page = workspace.ticket_page(connection, queue="all", device_id=device_id, limit=MAX_TICKETS)
    return page.rows
