"""Any help desk that takes JSON by HTTP: each deed is one POST, signed with a bearer token.

    {"deed": "open" | "comment" | "close", "ticket_id": ..., "key": ..., ...}

`key` names the deed: a receiver that has seen it does nothing and answers as before. An answer to `open` may hold `id`,
the desk's own name of the ticket; otherwise ours is used. Statuses: 2xx done, 404 no such ticket, 408, 425, 429 and 5xx
try later, any other refused. A redirection is not followed: it would lose the deed and show our token elsewhere.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from gateway.errors import ConfigError, NotFound, Refused, TryLater
from gateway.model import Ticket

TIMEOUT_S = 10.0
LATER = (408, 425, 429)
MAX_ANSWER_BYTES = 100_000


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_args: object) -> None:
        """Follow none: the status stays the answer."""


_OPENER = build_opener(_Stay)


class WebhookDesk:
    """A `TicketDesk` behind an address. Every deed may be repeated, so whatever is in doubt is."""

    name = "webhook"

    def __init__(self, url: str, *, token: str = "") -> None:
        """Raises ConfigError (`desk_url`)."""
        if not url.startswith(("https://", "http://")):
            raise ConfigError("desk_url", f"{url!r}: set desk.url to an address that starts with https://")
        self._url = url
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def open(self, ticket: Ticket) -> str:
        """The desk's id of the ticket, or ours."""
        held = {
            name: getattr(ticket, name) for name in ("number", "device_id", "title", "status", "priority", "opened_ms")
        }
        answer = self._post("open", ticket.ticket_id, key="open", evidence=asdict(ticket.evidence), **held)
        return str(answer.get("id") or ticket.ticket_id)

    def comment(self, ticket_id: str, *, comment_id: str, author: str, text: str) -> None:
        """Add a comment once."""
        self._post("comment", ticket_id, key=comment_id, author=author, text=text)

    def close(self, ticket_id: str, *, reason: str) -> None:
        """Close the ticket; a closed one stays so."""
        self._post("close", ticket_id, key="close", reason=reason)

    def _post(self, deed: str, ticket_id: str, *, key: str, **more: object) -> dict[str, Any]:
        body = json.dumps({"deed": deed, "ticket_id": ticket_id, "key": f"{ticket_id}:{key}", **more}).encode()
        request = Request(self._url, body, self._headers)  # noqa: S310 - http and https only, see above
        try:
            with _OPENER.open(request, timeout=TIMEOUT_S) as answer:
                text = answer.read(MAX_ANSWER_BYTES)
        except HTTPError as exc:
            with exc:
                raise _meaning(exc.code, ticket_id) from exc
        except (OSError, HTTPException) as exc:
            raise TryLater("desk_away", f"the help desk does not answer ({type(exc).__name__})", after_s=30) from exc
        try:
            held = json.loads(text)
        except ValueError:
            return {}
        return held if isinstance(held, dict) else {}


def _meaning(status: int, ticket_id: str) -> NotFound | Refused | TryLater:
    if status == 404:
        return NotFound("ticket", ticket_id)
    if status in LATER or status >= 500:
        return TryLater("desk_busy", f"the help desk answered {status}", after_s=30)
    return Refused("desk_refused", f"the help desk answered {status}; look at desk.url and its token")
