"""HTTP API, provider webhooks, console for support staff, metrics."""
