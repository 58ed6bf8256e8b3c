"""The menu by itself, for pages that keep its counts current."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from gateway.web.deps import Deps
from gateway.web.pages.page import Word, show
from gateway.web.session import Viewer

router = APIRouter(include_in_schema=False)


@router.get("/menu")
def menu(request: Request, deps: Deps, who: Viewer, at: Word = "/") -> Response:
    """The menu as it looks on the page `at`."""
    return show(request, deps, who, "menu.html", path=at)
