"""The console's pages, one module each."""

from __future__ import annotations

from gateway.web.pages import access, audit, customers, device, fleet, incidents, menu, phones, system, tickets

ROUTERS = tuple(
    module.router for module in (menu, fleet, device, incidents, tickets, customers, phones, system, access, audit)
)

__all__ = ["ROUTERS"]
