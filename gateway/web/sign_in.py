"""Signing in and out."""

from __future__ import annotations

import hmac
import secrets
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from gateway.errors import Refused
from gateway.ledger import access, audit
from gateway.web.deps import Deps, WebDeps
from gateway.web.render import render
from gateway.web.session import COOKIE, Viewer

router = APIRouter(include_in_schema=False)
PRE_COOKIE = "bf_form"  # the sign-in form's own token: there is no session yet to bind it to


@router.get("/sign-in")
def form(request: Request, deps: Deps, next: str = "/") -> Response:  # noqa: A002 - what the address says
    """The sign-in form."""
    return _form(request, deps, next=next)


@router.post("/sign-in")
def sign_in(
    request: Request,
    deps: Deps,
    *,
    login: Annotated[str, Form(max_length=200)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    csrf: Annotated[str, Form(max_length=100)] = "",
    next: Annotated[str, Form(max_length=2000)] = "/",  # noqa: A002
) -> Response:
    """Begin a session, and go where the user wanted to."""
    held = request.cookies.get(PRE_COOKIE, "")
    if not held or not hmac.compare_digest(held.encode(), csrf.encode()):
        return _form(request, deps, next=next, login=login, problem="The form was out of date. Please try again.")
    now_ms, address = deps.now_ms(), request.client.host if request.client else ""
    if wait_s := deps.throttle.wait_s(login, address, now_ms):
        problem = f"Too many attempts. Please wait {-(-wait_s // 60)} min and try again."
        return _form(request, deps, next=next, login=login, problem=problem, status=429)
    try:
        cookie, _ = access.sign_in(deps.engine, login, password, now_ms=now_ms)
    except Refused:
        deps.throttle.failed(login, address, now_ms)
        audit.note(deps.engine, at_ms=now_ms, actor="system", action="sign_in_failed", subject="session")
        return _form(request, deps, next=next, login=login, problem="Unknown login or wrong password.", status=401)
    deps.throttle.succeeded(login)
    if old := request.cookies.get(COOKIE):
        access.sign_out(deps.engine, old)
    audit.note(deps.engine, at_ms=now_ms, actor=login, action="signed_in", subject="session")
    response = RedirectResponse(next if _is_local(next) else "/", 303)
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=access.SESSION_MS // 1000,
        httponly=True,
        samesite="lax",
        secure=deps.settings.secure_cookies,
    )
    response.delete_cookie(PRE_COOKIE)
    return response


@router.post("/sign-out")
def sign_out(request: Request, deps: Deps, who: Viewer) -> Response:
    """End the session."""
    access.sign_out(deps.engine, request.cookies.get(COOKIE, ""))
    audit.note(deps.engine, at_ms=deps.now_ms(), actor=who.login, action="signed_out", subject="session")
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(COOKIE)
    return response


def _form(
    request: Request,
    deps: WebDeps,
    *,
    next: str,  # noqa: A002
    login: str = "",
    problem: str = "",
    status: int = 200,
) -> Response:
    token = request.cookies.get(PRE_COOKIE) or secrets.token_urlsafe(24)
    response = render(request, "sign_in.html", status=status, next=next, login=login, problem=problem, form_token=token)
    response.set_cookie(
        PRE_COOKIE, token, max_age=3600, httponly=True, samesite="strict", secure=deps.settings.secure_cookies
    )
    return response


def _is_local(address: str) -> bool:
    """Whether an address stays on this console; two slashes of either kind lead elsewhere."""
    return address.startswith("/") and not address.startswith(("//", "/\\")) and "\n" not in address
