"""Who may do what: every route by role, CSRF, sign-in, tokens."""

from __future__ import annotations

import dataclasses

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from gateway.ledger import access
from gateway.web import create_app
from gateway.web.app import ROUTERS
from gateway.web.session import RANK
from gateway.web.throttle import PER_LOGIN, WINDOW_MS, Throttle
from tests.web_site import NOW_MS, Site, form_token

LEAST_ROLE: dict[tuple[str, str], str] = {
    ("GET", "/sign-in"): "",
    ("POST", "/sign-in"): "",
    ("GET", "/metrics"): "",
    ("GET", "/healthz"): "",
    ("GET", "/readyz"): "",
    ("POST", "/webhooks/twilio/inbound"): "",  # signed by the provider instead
    ("POST", "/webhooks/twilio/status"): "",
    ("POST", "/sign-out"): "viewer",
    ("GET", "/events"): "viewer",
    ("GET", "/menu"): "viewer",
    ("GET", "/"): "viewer",
    ("GET", "/devices/{device_id}"): "viewer",
    ("POST", "/devices/{device_id}/commands"): "agent",
    ("GET", "/devices/{device_id}/commands/{command_id}"): "agent",
    ("GET", "/devices/{device_id}/commands/{command_id}/answer"): "agent",
    ("POST", "/devices/{device_id}/desired"): "agent",
    ("POST", "/devices/{device_id}/service"): "agent",
    ("GET", "/api/v1/devices/{device_id}/service"): "viewer",
    ("POST", "/api/v1/devices/{device_id}/service"): "agent",
    ("GET", "/incidents"): "viewer",
    ("GET", "/incidents/{incident_id}"): "viewer",
    ("GET", "/tickets"): "viewer",
    ("GET", "/tickets/{number}"): "viewer",
    ("POST", "/tickets/{number}/change"): "agent",
    ("POST", "/tickets/{number}/say"): "agent",
    ("GET", "/silences"): "viewer",
    ("POST", "/silences"): "agent",
    ("POST", "/silences/{mute_id}/end"): "agent",
    ("GET", "/customers"): "viewer",
    ("GET", "/customers/{customer_id}"): "viewer",
    ("GET", "/phones"): "viewer",
    ("POST", "/phones/{contact_id}"): "agent",
    ("GET", "/system"): "viewer",
    ("POST", "/system/channels/{channel}/resume"): "admin",
    ("GET", "/access"): "admin",
    ("POST", "/access/users"): "admin",
    ("POST", "/access/tokens"): "admin",
    ("POST", "/access/tokens/{token_id}/revoke"): "admin",
    ("GET", "/audit"): "admin",
    ("GET", "/api/v1/me"): "viewer",
    ("GET", "/api/v1/fleet"): "viewer",
    ("GET", "/api/v1/devices"): "viewer",
    ("GET", "/api/v1/devices/{device_id}"): "viewer",
    ("GET", "/api/v1/devices/{device_id}/metrics"): "viewer",
    ("GET", "/api/v1/devices/{device_id}/series"): "viewer",
    ("GET", "/api/v1/devices/{device_id}/company"): "viewer",
    ("GET", "/api/v1/devices/{device_id}/timeline"): "viewer",
    ("GET", "/api/v1/devices/{device_id}/logs"): "viewer",
    ("POST", "/api/v1/devices/{device_id}/commands"): "agent",
    ("GET", "/api/v1/devices/{device_id}/commands/{command_id}"): "agent",
    ("GET", "/api/v1/devices/{device_id}/desired"): "viewer",
    ("PUT", "/api/v1/devices/{device_id}/desired"): "agent",
    ("GET", "/api/v1/incidents"): "viewer",
    ("GET", "/api/v1/incidents/{incident_id}"): "viewer",
    ("GET", "/api/v1/system"): "viewer",
    ("POST", "/api/v1/system/channels/{channel}/resume"): "admin",
    ("GET", "/api/v1/silences"): "viewer",
    ("POST", "/api/v1/silences"): "agent",
    ("DELETE", "/api/v1/silences/{mute_id}"): "agent",
    ("GET", "/api/v1/tickets"): "viewer",
    ("GET", "/api/v1/tickets/{number}"): "viewer",
    ("PATCH", "/api/v1/tickets/{number}"): "agent",
    ("POST", "/api/v1/tickets/{number}/comments"): "agent",
    ("POST", "/api/v1/tickets/{number}/replies"): "agent",
    ("GET", "/api/v1/customers"): "viewer",
    ("GET", "/api/v1/customers/{customer_id}"): "viewer",
}
BY_THEMSELVES = ("/events", "/sign-out")  # endless; ends the session: tried below
GUARDED = sorted((m, path, role) for (m, path), role in LEAST_ROLE.items() if role and path not in BY_THEMSELVES)
BODIES = {
    "/api/v1/tickets/{number}/comments": {"text": "x"},
    "/api/v1/tickets/{number}/replies": {"contact_id": "nobody", "text": "x"},
    "/api/v1/devices/{device_id}/commands": {"name": "ping"},
    "/api/v1/silences": {"labels": {"device_id": "none"}, "until_ms": 2**52, "reason": "x"},
}


def address(path: str) -> str:
    """The route with ids that name nothing, so that only the role decides."""
    return path.replace("{device_id}", "none").replace("{number}", "99999").replace("{", "").replace("}", "")


def routes() -> set[tuple[str, str]]:
    """(method, path) of everything the console answers, static files and its own description left out."""
    found = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    return {(method, route.path) for route in found for method in route.methods}


def test_every_route_is_in_the_table_of_roles() -> None:
    assert routes() == set(LEAST_ROLE)


@pytest.mark.parametrize(("method", "path", "least"), GUARDED, ids=[f"{m} {p}" for m, p, _ in GUARDED])
def test_a_route_is_open_to_its_roles_alone(site: Site, method: str, path: str, least: str) -> None:
    is_api = path.startswith("/api/")

    stranger = site.client().request(method, address(path), json=BODIES.get(path))

    assert stranger.status_code == (401 if is_api else 303)
    for role, rank in RANK.items():
        headers = site.bearer[role] if is_api else {"X-CSRF-Token": site.csrf[role]}
        client = site.client() if is_api else site.client(role)
        answer = client.request(method, address(path), headers=headers, json=BODIES.get(path, {}) if is_api else None)
        assert (answer.status_code == 403) == (rank < RANK[least]), f"{role}: {answer.status_code} {answer.text[:200]}"
        assert answer.status_code < 500


@pytest.mark.parametrize("path", sorted(p for m, p in LEAST_ROLE if m == "POST" and LEAST_ROLE[m, p]))
@pytest.mark.parametrize("token", ["", "x" * 32, "\u00e9"])
def test_a_post_by_cookie_without_the_csrf_token_is_refused(site: Site, path: str, token: str) -> None:
    client = site.client("admin")
    if path.startswith("/api/"):
        answer = client.post(address(path), json=BODIES.get(path, {}), headers={"X-CSRF-Token": token.encode()})
    else:
        form = {"csrf": token, "text": "x", "name": "x", "login": "x", "role": "viewer", "password": "long enough"}
        answer = client.post(address(path), data=form)

    assert answer.status_code == 403


def test_a_cookie_session_may_change_by_api_with_the_csrf_header(site: Site) -> None:
    answer = site.client("agent").post(
        "/api/v1/tickets/3/comments", json={"text": "by cookie"}, headers={"X-CSRF-Token": site.csrf["agent"]}
    )

    assert answer.status_code == 204


def sign_in(client: TestClient, login: str, password: str, **more: str) -> object:
    token = form_token(client.get("/sign-in").text)
    return client.post("/sign-in", data={"login": login, "password": password, "csrf": token, **more})


def test_signing_in_gives_a_strict_cookie_and_ends_the_old_session(site: Site) -> None:
    client = site.client()
    first = sign_in(client, "vera", "correct horse battery", next="/tickets")
    old = client.cookies["bf_session"]
    sign_in(client, "vera", "correct horse battery")

    flags = first.headers["set-cookie"].lower()
    assert first.status_code == 303
    assert first.headers["location"] == "/tickets"
    assert "httponly" in flags
    assert "samesite=lax" in flags
    assert client.cookies["bf_session"] != old
    assert access.find_session(site.deps.engine, old, now_ms=NOW_MS) is None


def test_a_cookie_is_secure_where_the_console_is_served_over_https(site: Site) -> None:
    settings = site.deps.settings.model_copy(update={"secure_cookies": True})
    client = TestClient(create_app(dataclasses.replace(site.deps, settings=settings)), "https://testserver")

    answer = client.get("/sign-in")

    assert "secure" in answer.headers["set-cookie"].lower()
    assert "strict-transport-security" in answer.headers


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:1"])
def test_signing_in_never_leads_elsewhere(site: Site, elsewhere: str) -> None:
    answer = sign_in(site.client(), "vera", "correct horse battery", next=elsewhere)

    assert answer.headers["location"] == "/"


@pytest.mark.parametrize("login", ["vera", "nobody", "", "'; drop table users; --"])
def test_a_wrong_password_and_an_unknown_login_look_the_same(site: Site, login: str) -> None:
    throttle = dataclasses.replace(site.deps, throttle=Throttle())

    answer = sign_in(TestClient(create_app(throttle)), login, "wrong")

    assert answer.status_code == 401
    assert "Unknown login or wrong password" in answer.text


def test_too_many_failures_are_not_looked_at_even_with_the_right_password(site: Site) -> None:
    throttle = Throttle()
    for _ in range(PER_LOGIN):
        throttle.failed("vera", "somewhere", NOW_MS)
    client = TestClient(create_app(dataclasses.replace(site.deps, throttle=throttle)), follow_redirects=False)

    answer = sign_in(client, "vera", "correct horse battery")

    assert answer.status_code == 429


def test_the_throttle_forgives_after_its_window_and_on_success() -> None:
    throttle = Throttle()
    for at in range(PER_LOGIN):
        throttle.failed("vera", "10.0.0.1", at)

    assert throttle.wait_s("vera", "10.0.0.2", 10) > 0
    assert throttle.wait_s("ben", "10.0.0.1", 10) == 0
    assert throttle.wait_s("vera", "10.0.0.2", WINDOW_MS + PER_LOGIN) == 0


def test_live_events_are_for_those_signed_in(site: Site) -> None:
    assert site.client().get("/events").status_code == 303


def test_signing_out_ends_the_session(site: Site) -> None:
    client = site.client()
    sign_in(client, "vera", "correct horse battery")
    token = form_token(client.get("/").text)

    client.post("/sign-out", data={"csrf": token})

    assert client.get("/").status_code == 303


def test_a_token_acts_in_its_own_role_and_only_until_revoked(site: Site) -> None:
    secret, token = access.issue_token(site.deps.engine, "ada", name="t", role="viewer", now_ms=NOW_MS)
    header = {"Authorization": f"Bearer {secret}"}
    client = site.client()

    assert client.get("/api/v1/me", headers=header).json() == {"login": "ada", "name": "Ada Okafor", "role": "viewer"}
    assert client.post("/api/v1/tickets/1/comments", headers=header, json={"text": "x"}).status_code == 403
    assert client.get("/", headers=header).status_code == 303  # pages are for people
    access.revoke_token(site.deps.engine, token.token_id, now_ms=NOW_MS)
    assert client.get("/api/v1/me", headers=header).json()["code"] == "not_signed_in"


def test_an_admin_makes_users_and_tokens_and_cannot_lock_itself_out(site: Site) -> None:
    client, csrf = site.client("admin"), site.csrf["admin"]

    made = client.post("/access/tokens", data={"csrf": csrf, "name": "ci", "role": "viewer", "days": "1"})
    user = {"csrf": csrf, "login": "zoe", "role": "viewer", "name": "Zoë"}
    weak = client.post("/access/users", data=user | {"password": "short"})
    saved = client.post("/access/users", data=user | {"password": "long enough"})
    lost = client.post("/access/users", data=user | {"login": "ada", "password": "long enough"})

    assert "bfh_" in made.text
    assert weak.status_code == 422
    assert saved.status_code == 303
    assert lost.status_code == 422
    assert {("zoe", "viewer"), ("ada", "admin")} <= {(u.login, u.role) for u in access.list_users(site.deps.engine)}
