"""How errors reach browsers and API clients: `{code, detail}` with a fitting status, or a page that says the same."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from gateway.errors import ChannelDown, GatewayError, NotFound, OutcomeUnknown, Refused, TryLater
from gateway.web.render import render

STATUS: tuple[tuple[type[GatewayError], int], ...] = (
    (NotFound, 404),
    (Refused, 422),
    (TryLater, 503),
    (ChannelDown, 503),
    (OutcomeUnknown, 504),
)
CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class Problem(BaseModel):
    """Every error of the API. `code` is stable, `detail` is for people."""

    code: str = Field(examples=["not_found"])
    detail: str = Field(examples=["device: lock-9"])


class Denied(GatewayError):
    """The asker may not do this; `status` is 401, 403 or 429."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.status = status


def answer(request: Request, status: int, code: str, detail: str) -> Response:
    """The error in the form the asker reads."""
    part_of_page = "hx-request" in request.headers and status != 401
    if part_of_page or request.url.path.startswith(("/api/", "/webhooks/")):
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        return JSONResponse({"code": code, "detail": detail}, status, headers)
    if status == 401:
        return _to_sign_in(request)
    return render(request, "error.html", status=status, code=code, detail=detail)


def _to_sign_in(request: Request) -> Response:
    back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    target = f"/sign-in?next={quote(back, safe='')}" if request.method == "GET" else "/sign-in"
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"HX-Redirect": "/sign-in"})
    return RedirectResponse(target, 303)


def install(app: FastAPI) -> None:
    """Answer every error of the gateway, of routing and of validation."""

    @app.exception_handler(GatewayError)
    async def _gateway(request: Request, exc: GatewayError) -> Response:
        status = (
            exc.status if isinstance(exc, Denied) else next((s for kind, s in STATUS if isinstance(exc, kind)), 500)
        )
        code = "not_found" if isinstance(exc, NotFound) else exc.code
        detail = f"{exc.code}: {exc.detail}" if isinstance(exc, NotFound) else exc.detail
        return answer(request, status, code, detail)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, exc: HTTPException) -> Response:
        return answer(request, exc.status_code, CODES.get(exc.status_code, "bad_request"), str(exc.detail))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, exc: RequestValidationError) -> Response:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return answer(request, 422, "invalid", f"{where}: {first['msg']}")
