"""The JSON API under /api/v1."""

from __future__ import annotations

from gateway.web.api import casework, fleet, people, series

ROUTERS = tuple(module.router for module in (fleet, series, casework, people))

__all__ = ["ROUTERS"]
