"""What the pages show."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from gateway.conversation import brief, understand
from gateway.ledger import casebook, people
from gateway.ledger.database import writing
from gateway.model import Customer, CustomerId, DeviceId, Episode, Evidence, Forecast
from gateway.web import Part, create_app
from gateway.web.docs import markdown, openapi
from gateway.web.guard import MAX_BODY_BYTES
from gateway.web.pages.tickets import why_alone
from gateway.web.render import STATIC
from tests.web_site import NOW_MS, Site

REPO = Path(__file__).parents[3]
PAGES = {
    "/": ("36", "router-1002", "Critical"),
    "/?text=pump&health=warning": ("pump-1003", "1–1 of 1"),
    "/?type=smart_lock&firmware=2.4.0": ("lock-1001", "1–3 of 3"),
    "/devices/lock-1001": ("Battery health reaches 55 %", "bolt: turned", "Refused in part", "from 1 to 100000"),
    "/devices/pump-1003?span=30d&charts=performance_ratio,nonsense": ("Coefficient of performance", "Open, since"),
    "/incidents?state=all": ("Battery wearing out", "Closed"),
    "/tickets": ("Memory runs out", "Assigned"),
    "/tickets/1": ("about 6 days", "Super, danke!", "Sent a cell pack", "9 times in 10"),
    "/customers?text=lock-1001": ("Mara Jensen", "1–1 of 1"),
    "/customers/cus-008": ("Opted out", "Took it back"),
    "/silences": ("The fitter comes tomorrow", "Planned", "Over, last two weeks", "9 devices"),
    "/silences?device_id=lock-1001&cause=battery#add": ('value="lock-1001"', 'value="battery" selected'),
    "/devices/pump-1003": ("Silenced", "for cause refrigerant", "No message goes out by twilio"),
    "/devices/router-1002": ("The device&#39;s own", "Diagnostics"),
    "/phones": ("Text message", "Mara Jensen"),
    "/phones?phone=con-002": ("您好", "Asia/Shanghai"),
    "/system": (
        "Backup failed",
        "Channel twilio is down",
        "Resume",
        "Embedded NATS",
        "clock_off",
        "removed 18,204 samples",
    ),
    "/access": ("Ben Lindqvist", "Make token"),
    "/audit?verify=true": ("The chain is whole", "ticket.assign"),
}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_shows_what_it_is_for(site: Site, path: str) -> None:
    answer = site.client("admin").get(path)

    assert answer.status_code == 200
    assert [text for text in PAGES[path] if text not in answer.text] == []
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert " style=" not in answer.text
    assert "<script>" not in answer.text


def test_what_people_wrote_is_escaped_everywhere(site: Site) -> None:
    evil = '<img src=x onerror="alert(1)">'
    people.save_customers(site.deps.engine, [Customer(customer_id=CustomerId("cus-evil"), name=evil)], now_ms=NOW_MS)

    for path in ("/customers?text=cus-evil", "/customers/cus-evil", f"/?text={evil}", f"/tickets?text={evil}"):
        assert "<img src=x" not in site.client("viewer").get(path).text


def test_viewers_see_no_forms_that_change_anything(site: Site) -> None:
    page = site.client("viewer").get("/tickets/1").text

    assert "/tickets/1/say" not in page
    assert "+4915112345601" not in page


def test_a_reply_on_the_phone_lands_on_the_ticket(site: Site) -> None:
    form = {"csrf": site.csrf["agent"], "text": "2 bitte, rufen Sie mich an"}
    answer = site.client("agent").post("/phones/con-001", data=form)

    assert answer.status_code == 303
    assert form["text"] in site.client("agent").get(answer.headers["location"]).text


def test_without_phones_there_is_no_phones_page(site: Site) -> None:
    client = TestClient(create_app(dataclasses.replace(site.deps, phones=False)))
    client.cookies.set("bf_session", site.cookies["admin"])

    assert client.get("/phones").status_code == 404
    assert 'href="/phones"' not in client.get("/").text


@pytest.mark.parametrize("path", ["/devices/none", "/tickets/99999", "/customers/none", "/incidents/none", "/none"])
def test_what_is_not_there_is_told_on_a_page(site: Site, path: str) -> None:
    answer = site.client("viewer").get(path)

    assert answer.status_code == 404
    assert "There is nothing here" in answer.text


def test_a_body_too_large_is_refused_before_it_is_read(site: Site) -> None:
    answer = site.client().post("/sign-in", content=b"x" * (MAX_BODY_BYTES + 1))

    assert answer.json()["code"] == "too_large"


def test_the_page_says_so_when_a_needed_part_is_down(site: Site) -> None:
    parts = (Part(name="Broker", state="down"), Part(name="Channel", state="down", needed=False))
    client = TestClient(create_app(dataclasses.replace(site.deps, parts=lambda: parts)))

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["down"] == ["Broker"]
    assert client.get("/healthz").status_code == 200


def test_prometheus_finds_no_fault_with_the_metrics(site: Site) -> None:
    text = site.client().get("/metrics").text

    assert 'beforehand_batches_refused_total{reason="clock_off"} 14.0' in text
    assert 'beforehand_devices{health="critical",type="wifi_router"} 1.0' in text
    if shutil.which("promtool"):
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False
        )
        assert (checked.returncode, checked.stderr) == (0, "")


def test_vendored_files_are_those_of_the_list() -> None:
    vendor = STATIC / "vendor"
    listed = dict(reversed(line.split()) for line in (vendor / "SHA256SUMS").read_text().splitlines())
    held = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in vendor.iterdir()}

    assert {name: held[name] for name in listed} == listed
    assert set(held) - set(listed) == {"SHA256SUMS", "README.md"}


def test_static_files_are_kept_by_browsers_for_ever(site: Site) -> None:
    answer = site.client().get("/static/base.css?v=1")

    assert "immutable" in answer.headers["cache-control"]


def test_the_document_of_the_api_is_current() -> None:
    assert (REPO / "docs" / "api.md").read_text() == markdown(openapi())


def test_a_ticket_says_why_without_what_the_page_shows_below_it() -> None:
    device_id = DeviceId("d")
    falls = Forecast(device_id=device_id, name="battery", made_ms=1, reason="battery_volts falls")
    odd = Episode(device_id=device_id, metric="uptime_s", detector="level", onset_ms=1, reason="uptime_s is odd.")
    why = "The battery wears out. battery_volts falls. uptime_s is odd."
    held = Evidence(why=why, forecasts=(falls,), episodes=(odd,))

    assert why_alone(held) == "The battery wears out."
    assert why_alone(dataclasses.replace(held, why="battery_volts falls.")) == "battery_volts falls."


def test_a_hand_over_is_told_apart_from_what_was_done(site: Site) -> None:
    text = str(brief("hand_over", understand("When?\nMood: odd"), said="When?\nMood: odd", facts=["Battery low."]))
    with writing(site.deps.engine) as connection:
        casebook.note(
            connection, casebook.ticket_row(connection, "1"), "attention", author="system", text=text, now_ms=NOW_MS
        )
    page = site.client("agent").get("/tickets/1").text

    told = page[page.rindex('<li class="brief">') :]
    assert told.startswith('<li class="brief"><b>Read the message and answer it.</b>')
    assert "Mood: calm." in told
    assert "<li>Battery low.</li>" in told
