"""One seeded console at a fixed moment, and a signed-in client for each role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI
from fastapi.testclient import TestClient

from gateway.ledger import access
from gateway.ledger.database import connect
from gateway.stores.duckdb import DuckDbStore
from gateway.web import WebDeps, create_app
from tests.web_seed import deps_for, fill

NOW_MS = 1_785_000_000_000


@dataclass(frozen=True)
class Site:
    """A console over a seeded fleet, at a fixed moment."""

    app: FastAPI
    deps: WebDeps
    bearer: dict[str, dict[str, str]]  # by role: the header that signs an API call
    cookies: dict[str, str]  # by role: a session's cookie
    csrf: dict[str, str]

    def client(self, role: str = "") -> TestClient:
        """A browser, signed in with that role; redirects are not followed."""
        client = TestClient(self.app, follow_redirects=False)
        if role:
            client.cookies.set("bf_session", self.cookies[role])
        return client


LOGINS = {"admin": "ada", "agent": "ben", "viewer": "vera"}


@contextmanager
def seeded(folder: Path) -> Iterator[Site]:
    """A seeded console whose ledger and store lie in `folder`."""
    engine = connect(f"sqlite:///{folder / 'ledger.sqlite'}")
    store = DuckDbStore(folder / "series.duckdb", memory="300MB", threads=1)
    roster = fill(engine, store, now_ms=NOW_MS)
    deps = deps_for(engine, store, roster, now_ms=NOW_MS)
    bearer, cookies, csrf = {}, {}, {}
    for role, login in LOGINS.items():
        secret, _ = access.issue_token(engine, login, name=role, role=role, now_ms=NOW_MS)
        bearer[role] = {"Authorization": f"Bearer {secret}"}
        cookies[role], session = access.sign_in(engine, login, "correct horse battery", now_ms=NOW_MS)
        csrf[role] = session.csrf
    yield Site(app=create_app(deps), deps=deps, bearer=bearer, cookies=cookies, csrf=csrf)
    store.close()
    engine.dispose()


def form_token(page: str) -> str:
    """The CSRF token of a page's form."""
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found
    return found[1]
