"""The audit chain, for admins."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from gateway.ledger import audit, workspace
from gateway.ledger.database import reading
from gateway.web.deps import Deps
from gateway.web.pages.page import Offset, Word, show
from gateway.web.session import Admin

router = APIRouter(prefix="/audit", include_in_schema=False)


@router.get("")
def log(
    request: Request,
    deps: Deps,
    who: Admin,
    *,
    actor: Word = "",
    action: Word = "",
    verify: bool = False,
    offset: Offset = 0,
) -> Response:
    """Who did what, newest first; `verify` also checks the whole chain."""
    broken = audit.verify(deps.engine) if verify else None
    with reading(deps.engine) as connection:
        page = workspace.audit_page(connection, actor=actor, action=action, offset=offset)
    query = {"actor": actor, "action": action}
    return show(request, deps, who, "audit.html", page=page, query=query, verified=verify, broken=broken)
