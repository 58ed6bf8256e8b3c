"""What operators' own monitoring asks: `/metrics` for Prometheus, `/healthz`, `/readyz`.

These three need no sign-in: they say nothing of devices or people, and are meant for a private network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from gateway.ledger import views, workspace
from gateway.ledger.database import reading
from gateway.web import health
from gateway.web.deps import Deps, WebDeps

router = APIRouter(tags=["operation"])


class _FromDeps(Collector):
    def __init__(self, deps: WebDeps) -> None:
        self.deps = deps

    def collect(self) -> Iterable[Metric]:
        yield from _counters(self.deps)
        for name, value in sorted(self.deps.watch.gauges.items()):
            scale = 0.001 if name.endswith("_ms") else 1.0
            yield GaugeMetricFamily(f"beforehand_{_base(name)}", f"{_sentence(name)}.", value=value * scale)
        yield from _ledger(self.deps)
        state = GaugeMetricFamily(
            "beforehand_part_up", "Whether a part works: 1, or 0 while it is down.", labels=["part"]
        )
        for part in self.deps.parts():
            state.add_metric([part.name], float(part.state != "down"))
        yield state


def _counters(deps: WebDeps) -> Iterator[Metric]:
    by_name: dict[str, dict[str, int]] = {}
    for (name, reason), count in sorted(dict(deps.watch.counts).items()):
        by_name.setdefault(name, {})[reason] = count
    for name, by_reason in by_name.items():
        labels = ["reason"] if any(by_reason) else []
        family = CounterMetricFamily(f"beforehand_{_base(name)}", f"{_sentence(name)}, since the start.", labels=labels)
        for reason, count in by_reason.items():
            family.add_metric([reason] if labels else [], count)
        yield family
    problems = GaugeMetricFamily("beforehand_problems", "Problems of the gateway itself that wait for a person.")
    problems.add_metric([], len(health.problems(deps)))
    yield problems


def _ledger(deps: WebDeps) -> Iterator[Metric]:
    with reading(deps.engine) as connection:
        fleet = views.fleet_counts(connection)
        incidents = views.incident_counts(connection)
        queues = workspace.queue_counts(connection, "")
        outbox = workspace.outbox_counts(connection)
    devices = GaugeMetricFamily("beforehand_devices", "Devices by product type and health.", labels=["type", "health"])
    for row in fleet:
        devices.add_metric([row.type, row.health], row.devices)
    yield devices
    opened = GaugeMetricFamily("beforehand_open_incidents", "Open incidents by severity.", labels=["severity"])
    for severity in ("info", "warning", "critical"):
        opened.add_metric([severity], incidents.get(("open", severity), 0))
    yield opened
    yield GaugeMetricFamily("beforehand_open_tickets", "Tickets that wait for a person.", value=queues["open"])
    messages = GaugeMetricFamily("beforehand_messages", "Messages in the ledger by state.", labels=["state"])
    for state, count in sorted(outbox.items()):
        messages.add_metric([state], count)
    yield messages


def _base(name: str) -> str:
    """Prometheus' spelling of a name: base units unabbreviated; the client adds `_total` itself."""
    clean = re.sub(r"[^a-z0-9_]", "_", name.lower()).removesuffix("_total")
    return re.sub(r"_per_s$", "_per_second", re.sub(r"(?<!_per)_m?s$", "_seconds", clean))


def _sentence(name: str) -> str:
    text = name.removesuffix("_total").replace("_", " ")
    return text[:1].upper() + text[1:]


@router.get("/metrics", summary="Prometheus metrics")
def metrics(deps: Deps) -> Response:
    """Counters by reason, gauges, and the state of fleet, incidents and outbox."""
    registry = CollectorRegistry()
    registry.register(_FromDeps(deps))
    ProcessCollector(registry=registry)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/healthz", summary="Whether the process lives")
def healthz() -> dict[str, str]:
    """Always 200 while the process answers."""
    return {"status": "ok"}


@router.get("/readyz", summary="Whether every needed part works")
def readyz(deps: Deps) -> Response:
    """200, or 503 naming what is down."""
    down = [part.name for part in deps.parts() if part.needed and part.state == "down"]
    return JSONResponse({"status": "down" if down else "ok", "down": down}, 503 if down else 200)
