"""Who may sign in, and API tokens, for admins."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from gateway.errors import Refused
from gateway.ledger import access, audit
from gateway.ledger.access import Role, User
from gateway.web.deps import Deps, WebDeps
from gateway.web.pages.page import back, show
from gateway.web.session import Admin, Who
from gateway.web.words import DAY_MS

router = APIRouter(prefix="/access", include_in_schema=False)

Login = Annotated[str, Form(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9._@-]+$")]


@router.get("")
def page(request: Request, deps: Deps, who: Admin) -> Response:
    """Users and tokens."""
    return _page(request, deps, who)


@router.post("/users")
def save_user(
    request: Request,
    deps: Deps,
    who: Admin,
    *,
    login: Login,
    role: Annotated[Role, Form()],
    password: Annotated[str, Form(max_length=1000)],
    name: Annotated[str, Form(max_length=100)] = "",
) -> Response:
    """Add a user, or set the name, role and password of one who is there."""
    if login == who.login and role != "admin":
        return _page(request, deps, who, problem="You cannot take the admin role from yourself.")
    now_ms = deps.now_ms()
    try:
        access.save_user(
            deps.engine, User(login=login, name=name or login, role=role), password=password, now_ms=now_ms
        )
    except Refused as exc:
        return _page(request, deps, who, problem=f"The password is too weak: {exc.detail}.")
    detail: dict[str, object] = {"role": role}
    audit.note(deps.engine, at_ms=now_ms, actor=who.login, action="user_saved", subject=f"user:{login}", detail=detail)
    return back("/access")


@router.post("/tokens")
def issue_token(
    request: Request,
    deps: Deps,
    who: Admin,
    *,
    name: Annotated[str, Form(min_length=1, max_length=100)],
    role: Annotated[Role, Form()],
    days: Annotated[int, Form(ge=0, le=3650)] = 90,
) -> Response:
    """Make a token; its secret is shown on this answer only. 0 days: it never ends."""
    now_ms = deps.now_ms()
    expires_ms = now_ms + days * DAY_MS if days else None
    secret, token = access.issue_token(
        deps.engine, who.login, name=name, role=role, now_ms=now_ms, expires_ms=expires_ms
    )
    subject = f"token:{token.token_id}"
    audit.note(
        deps.engine, at_ms=now_ms, actor=who.login, action="token_issued", subject=subject, detail={"role": role}
    )
    return _page(request, deps, who, secret=secret)


@router.post("/tokens/{token_id}/revoke")
def revoke_token(deps: Deps, who: Admin, token_id: str) -> Response:
    """End a token."""
    now_ms = deps.now_ms()
    access.revoke_token(deps.engine, token_id, now_ms=now_ms)
    audit.note(deps.engine, at_ms=now_ms, actor=who.login, action="token_revoked", subject=f"token:{token_id}")
    return back("/access")


def _page(request: Request, deps: WebDeps, who: Who, *, secret: str = "", problem: str = "") -> Response:
    return show(
        request, deps, who, "access.html", users=access.list_users(deps.engine),
        tokens=access.list_tokens(deps.engine), secret=secret, problem=problem, status=422 if problem else 200,
    )  # fmt: skip
