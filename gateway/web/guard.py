"""What holds for every request and response: a bounded body, a strict content policy, lasting static files."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.ledger.database import is_number

MAX_BODY_BYTES = 256 * 1024  # the longest form is a message of some hundred characters; Twilio sends a few kB
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
FOREVER = "public, max-age=31536000, immutable"  # safe, as the address carries the file's hash


@dataclass(frozen=True, slots=True)
class Guard:
    """An ASGI wrapper; it never buffers, so that streams pass."""

    app: ASGIApp
    secure: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse its body."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not is_number(length) or int(length) > MAX_BODY_BYTES:
            detail = f"send a Content-Length of at most {MAX_BODY_BYTES} bytes"
            await JSONResponse({"code": "too_large", "detail": detail}, 413)(scope, receive, send)
            return
        lasting = scope["path"].startswith("/static/") and b"v=" in scope["query_string"]

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    out.setdefault(name, value)
                if lasting and message["status"] == 200:
                    out["Cache-Control"] = FOREVER
                if self.secure:
                    out.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        await self.app(scope, receive, with_headers)
