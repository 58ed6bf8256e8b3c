"""The composition root: settings in, one running gateway out. Only this room joins the concrete classes."""

from gateway.app.gateway import Gateway, now_ms, open_gateway

__all__ = ["Gateway", "now_ms", "open_gateway"]
