"""The JSON API under /api/v1."""

from __future__ import annotations

from gateway.web.api import casework, fleet, people, remote, series, silences

ROUTERS = tuple(module.router for module in (fleet, series, remote, casework, silences, people))

__all__ = ["ROUTERS"]
