"""Who is asking: the signed-in user of a page, or the bearer of an API token; and what each role may do.

A session is an opaque cookie (HttpOnly, SameSite=Lax) whose SHA-256 is in the ledger, new at each sign-in. Every
request that changes something and is authorised by a cookie must carry the session's CSRF token, as the form field
`csrf` or the header `X-CSRF-Token`; bearer tokens are not sent by browsers by themselves and need none.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from gateway.ledger import access
from gateway.ledger.access import Role
from gateway.web.deps import Deps, WebDeps
from gateway.web.error import Denied

COOKIE = "bf_session"
RANK: dict[str, int] = {"viewer": 0, "agent": 1, "admin": 2}
SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """One who may do what `role` allows. `csrf` is empty for API tokens."""

    login: str
    name: str
    role: Role
    csrf: str

    def may(self, role: Role) -> bool:
        """Whether this one has at least that role."""
        return RANK[self.role] >= RANK[role]


def _find(deps: WebDeps, request: Request) -> Who | None:
    now_ms = deps.now_ms()
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and request.url.path.startswith("/api/"):
        user = access.use_token(deps.engine, secret.strip(), now_ms=now_ms)
        return None if user is None else Who(login=user.login, name=user.name, role=user.role, csrf="")
    cookie = request.cookies.get(COOKIE)
    session = access.find_session(deps.engine, cookie, now_ms=now_ms) if cookie else None
    if session is None:
        return None
    return Who(login=session.user.login, name=session.user.name, role=session.user.role, csrf=session.csrf)


def require(role: Role) -> Callable[..., Coroutine[Any, Any, Who]]:
    """A dependency that gives the asker, who has at least `role`.

    Raises:
        Denied: `not_signed_in` (401), `forbidden` or `bad_csrf` (403).
    """

    async def allowed(request: Request, deps: Deps) -> Who:
        who = await run_in_threadpool(_find, deps, request)
        if who is None:
            raise Denied(401, "not_signed_in", "sign in, or send a valid bearer token")
        if not who.may(role):
            raise Denied(403, "forbidden", f"needs the role {role}, yours is {who.role}")
        if who.csrf and request.method not in SAFE and not hmac.compare_digest(await _sent(request), who.csrf):
            raise Denied(403, "bad_csrf", "the form is out of date: reload the page and try again")
        return who

    return allowed


async def _sent(request: Request) -> str:
    """The CSRF token a request carries; "" for none."""
    header = request.headers.get("x-csrf-token")
    if header is not None or "form" not in request.headers.get("content-type", ""):
        return (header or "").encode("ascii", "replace").decode()
    value = (await request.form()).get("csrf")
    return value.encode("ascii", "replace").decode() if isinstance(value, str) else ""


Viewer = Annotated[Who, Depends(require("viewer"))]
Agent = Annotated[Who, Depends(require("agent"))]
Admin = Annotated[Who, Depends(require("admin"))]
