"""What the API answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from gateway.ledger import audit, workspace
from gateway.ledger.audit import LOOK
from gateway.ledger.database import reading
from gateway.web import Hub, company, create_app
from tests.web_site import NOW_MS, Site

DAY = 86_400_000


def get(site: Site, path: str, role: str = "viewer", **params: object) -> dict:
    return site.client().get(f"/api/v1{path}", headers=site.bearer[role], params=params).json()


def test_series_are_thinned_and_keep_their_extremes(site: Site) -> None:
    whole = get(
        site, "/devices/lock-1001/series", metric="battery_health_ratio", **{"from": NOW_MS - 20 * DAY, "to": NOW_MS}
    )
    thin = get(
        site,
        "/devices/lock-1001/series",
        metric="battery_health_ratio",
        limit=100,
        **{"from": NOW_MS - 20 * DAY, "to": NOW_MS},
    )

    assert len(whole["t_ms"]) == len(whole["value"]) == 20 * 72
    assert whole["unit"] == "%"
    assert 50 <= len(thin["t_ms"]) <= 100
    assert min(thin["value"]) == min(whole["value"])
    assert thin["t_ms"] == sorted(thin["t_ms"])


def test_the_timeline_holds_episodes_forecast_log_lines_and_starts(site: Site) -> None:
    line = get(site, "/devices/lock-1001/timeline", **{"from": NOW_MS - 7 * DAY, "to": NOW_MS})

    assert {e["metric"] for e in line["episodes"]} == {"battery_health_ratio", "battery_volts"}
    assert line["forecasts"][0]["limit"] == 0.55
    assert line["births"]
    assert {severity for _, severity in line["logs"]} >= {"info", "warning"}


def test_the_others_of_a_model_are_a_band_in_which_the_ill_device_is_not(site: Site) -> None:
    span = {"from": NOW_MS - 6 * DAY, "to": NOW_MS}
    band = get(site, "/devices/lock-1001/company", metric="battery_health_ratio", **span)
    own = get(site, "/devices/lock-1001/series", metric="battery_health_ratio", **span)

    assert band["devices"] >= 5
    assert len(band["t_ms"]) > 10
    columns = zip(band["low"], band["middle"], band["high"], strict=True)
    assert all(low <= middle <= high for low, middle, high in columns)
    assert max(own["value"]) < min(band["low"])


def test_of_a_model_of_few_devices_there_is_no_band(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(company, "LEAST", 1_000)

    band = get(site, "/devices/lock-1001/company", metric="battery_volts")

    assert (band["devices"], band["t_ms"]) == (0, [])


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/devices/none", 404, "not_found"),
        ("/devices/lock-1001/series?metric=none", 404, "not_found"),
        ("/devices/lock-1001/series?metric=battery_volts&from=5&to=5", 422, "bad_span"),
        ("/devices/lock-1001/series", 422, "invalid"),
        ("/devices/lock-1001/company?metric=none", 404, "not_found"),
        ("/devices?limit=100000", 422, "invalid"),
        ("/tickets/99999", 404, "not_found"),
        ("/tickets/none", 422, "invalid"),
        ("/nothing", 404, "not_found"),
    ],
)
def test_errors_have_a_code_and_a_sentence(site: Site, path: str, status: int, code: str) -> None:
    answer = site.client().get(f"/api/v1{path}", headers=site.bearer["viewer"])

    assert answer.status_code == status
    assert answer.json()["code"] == code
    assert answer.json()["detail"]


def test_a_ticket_is_changed_and_says_so_in_its_time_line(site: Site) -> None:
    wanted = {"priority": "high", "assignee": "ben", "status": "waiting"}
    answer = site.client().patch("/api/v1/tickets/4", headers=site.bearer["agent"], json=wanted)

    changed = answer.json()
    assert {key: changed[key] for key in wanted} == wanted
    assert [e["kind"] for e in changed["events"]][-3:] == ["assigned", "priority", "status"]


@pytest.mark.parametrize("wanted", [{"status": "lost"}, {"assignee": "vera"}, {"assignee": "ghost"}, {"colour": "red"}])
def test_a_ticket_refuses_what_is_not_known(site: Site, wanted: dict[str, str]) -> None:
    answer = site.client().patch("/api/v1/tickets/4", headers=site.bearer["agent"], json=wanted)

    assert answer.status_code == 422


def test_an_outcome_solves_the_ticket(site: Site) -> None:
    answer = site.client().patch("/api/v1/tickets/4", headers=site.bearer["agent"], json={"outcome": "confirmed"})

    assert answer.json()["status"] == "solved"
    assert answer.json()["outcome"] == "confirmed"


def test_a_reply_waits_in_the_outbox_and_clears_the_flag(site: Site) -> None:
    answer = site.client().post(
        "/api/v1/tickets/2/replies",
        headers=site.bearer["agent"],
        json={"contact_id": "con-001", "text": "Wir rufen an."},
    )

    ticket = get(site, "/tickets/2")
    message = next(m for m in ticket["messages"] if m["message_id"] == answer.json()["message_id"])
    assert answer.status_code == 202
    assert message["state"] == "queued"
    assert ticket["attention"] == ""


def test_a_reply_to_another_customers_contact_is_refused(site: Site) -> None:
    answer = site.client().post(
        "/api/v1/tickets/2/replies", headers=site.bearer["agent"], json={"contact_id": "con-003", "text": "Hi"}
    )

    assert answer.json()["code"] == "not_their_ticket"


def test_viewers_see_addresses_masked(site: Site) -> None:
    seen = get(site, "/customers/cus-001")["contacts"][0]["address"]
    whole = get(site, "/customers/cus-001", role="agent")["contacts"][0]["address"]

    assert whole == "+4915112345601"
    assert whole not in seen


def test_who_sees_a_number_in_full_is_in_the_audit_chain_once_a_while(site: Site) -> None:
    def looks() -> list[str]:
        return [
            deed.actor for deed in audit.recent(site.deps.engine, subject="customer:cus-002") if deed.action == LOOK
        ]

    before = looks()
    for role in ("viewer", "agent", "agent", "admin"):
        get(site, "/customers/cus-002", role=role)
    site.client("agent").get("/customers/cus-002")

    assert (before, looks()) == ([], ["ada", "ben"])


def test_system_health_is_told_by_name_and_reason(site: Site) -> None:
    told = get(site, "/system")

    assert told["counts"]["batches_refused"]["clock_off"] == 14
    assert [problem["code"] for problem in told["problems"]] == ["channel_down.twilio", "backup_failed"]
    assert "refuses our account" in told["problems"][0]["sentence"]


def test_tickets_by_queue_add_up(site: Site) -> None:
    with reading(site.deps.engine) as connection:
        counts = workspace.queue_counts(connection, "ben")

    assert get(site, "/tickets", queue="all")["total"] == counts["all"] == 5
    assert get(site, "/tickets", queue="solved")["total"] == counts["solved"]


@pytest.mark.parametrize("number", [10**9, 2**31, 10**20, -1])
def test_a_ticket_that_cannot_be_is_not_found(site: Site, number: int) -> None:
    answer = site.client().get(f"/api/v1/tickets/{number}", headers=site.bearer["viewer"])

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


class Taken:
    """Takes every webhook for the provider's."""

    def say(self, contact_id: str, text: str) -> None: ...

    def twilio_inbound(self, url: str, params: Mapping[str, str], signature: str) -> str:
        return "<Response/>"

    def twilio_status(self, url: str, params: Mapping[str, str], signature: str) -> None: ...


@pytest.mark.parametrize("path", ["inbound", "status"])
async def test_open_pages_hear_of_what_the_provider_tells(site: Site, path: str) -> None:
    hub = Hub(started_ms=5)
    browser = TestClient(create_app(replace(site.deps, hub=hub, replies=Taken())))
    browser.post(f"/webhooks/twilio/{path}", data={"MessageSid": "SM1"})

    hub.close()
    told = [block async for block in hub.stream("5-0")]
    assert [block for block in told if "event: message" in block]


def test_webhooks_want_the_providers_signature(site: Site) -> None:
    for path in ("inbound", "status"):
        answer = site.client().post(f"/webhooks/twilio/{path}", data={"MessageSid": "SM1", "From": "+4915112345601"})
        assert answer.json()["code"] == "bad_signature"
