"""The JSON API under /api/v1."""

from __future__ import annotations

from gateway.web.api import casework, fleet, people, remote, series, service, silences

ROUTERS = tuple(module.router for module in (fleet, series, remote, service, casework, silences, people))

__all__ = ["ROUTERS"]
