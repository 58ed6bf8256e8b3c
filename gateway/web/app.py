"""The console and the API as one ASGI application. It keeps no state of its own beyond what `WebDeps` holds."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates

from gateway.web import api, error, live, metrics, pages, sign_in, webhook
from gateway.web.deps import WebDeps
from gateway.web.guard import Guard
from gateway.web.render import STATIC, environment

ABOUT = """\
Read the fleet, and work on tickets. Send `Authorization: Bearer TOKEN`; an admin makes tokens on the console's Access
page. A token acts in its role, never in a higher one than its user has: `viewer` reads, `agent` also works on tickets,
`admin` does everything.
Times are Unix milliseconds, UTC. Every error is `{"code": ..., "detail": ...}`; `code` is stable."""

ROUTERS = (sign_in.router, live.router, metrics.router, webhook.router, *pages.ROUTERS, *api.ROUTERS)


def create_app(deps: WebDeps) -> FastAPI:
    """The application; run it with uvicorn. It starts no threads and opens no connections by itself."""
    app = FastAPI(
        title="Beforehand API",
        version="1",
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    app.state.deps = deps
    app.state.templates = Jinja2Templates(env=environment())
    error.install(app)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    add_routes(app)
    app.add_middleware(Guard, secure=deps.settings.secure_cookies)
    return app


def add_routes(app: FastAPI) -> None:
    """Every route of console and API."""
    for router in ROUTERS:
        app.include_router(router)
