"""HTTP API, provider webhooks, console for support staff, metrics.

The composition root fills `WebDeps` and runs `create_app(deps)`; services tell open pages of changes by `Hub.publish`.
"""

from __future__ import annotations

from gateway.web.app import create_app
from gateway.web.deps import Part, Replies, WebDeps
from gateway.web.hub import Hub

__all__ = ["Hub", "Part", "Replies", "WebDeps", "create_app"]
