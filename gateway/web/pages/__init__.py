"""The console's pages, one module each."""

from __future__ import annotations

from gateway.web.pages import (
    access,
    audit,
    customers,
    device,
    fleet,
    incidents,
    menu,
    phones,
    remote,
    service,
    silences,
    system,
    tickets,
)

PAGES = (menu, fleet, device, remote, service, incidents, tickets, silences, customers, phones, system, access, audit)
ROUTERS = tuple(module.router for module in PAGES)

__all__ = ["ROUTERS"]
