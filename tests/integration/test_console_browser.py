"""The console in a real Chromium: signing in, every page, live updates, a reply from a phone, axe, the keyboard."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn

from gateway.ledger import casebook, people
from gateway.ledger.database import connect
from gateway.stores.duckdb import DuckDbStore
from gateway.web import WebDeps, create_app
from tests.conftest import free_port
from tests.web_seed import PASSWORD, deps_for, fill

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PAGES = (
    "/", "/devices/lock-1001", "/incidents?state=all", "/tickets?queue=all", "/tickets/1", "/customers",
    "/customers/cus-001", "/phones", "/system", "/access", "/audit", "/silences?device_id=lock-1001",
)  # fmt: skip


@dataclass
class Console:
    """A served console and what the browser complained of."""

    url: str
    deps: WebDeps
    page: playwright.Page
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)
        self.page.wait_for_selector(".plot.waiting", state="detached")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, WebDeps]]:
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}; set CHROMIUM")
    folder = tmp_path_factory.mktemp("browser")
    engine = connect(f"sqlite:///{folder / 'ledger.sqlite'}")
    store = DuckDbStore(folder / "series.duckdb", memory="300MB", threads=1)
    roster = fill(engine, store, now_ms=int(time.time() * 1000))
    deps, port = deps_for(engine, store, roster), free_port()
    server = uvicorn.Server(
        uvicorn.Config(create_app(deps), port=port, log_level="warning", timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}", deps
    deps.hub.close()
    server.should_exit = True
    thread.join(10)
    store.close()
    engine.dispose()
    assert not thread.is_alive(), "open streams kept the server from stopping"


@pytest.fixture(scope="module")
def browser(served: tuple[str, WebDeps]) -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def state(served: tuple[str, WebDeps], browser: playwright.Browser) -> dict[str, object]:
    """Signed in through the form, once."""
    page = browser.new_page()
    page.goto(served[0] + "/tickets")
    page.fill("#login", "ada")
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(served[0] + "/tickets")
    kept = page.context.storage_state()
    page.context.close()
    return kept


def console(served: tuple[str, WebDeps], browser: playwright.Browser, state: dict, **how: object) -> Console:
    context = browser.new_context(storage_state=state, viewport={"width": 1440, "height": 900}, **how)
    held = Console(url=served[0], deps=served[1], page=context.new_page())
    held.page.on("console", lambda m: held.complaints.append(m.text) if m.type in ("error", "warning") else None)
    held.page.on("pageerror", lambda e: held.complaints.append(str(e)))
    return held


@pytest.fixture
def desk(served: tuple[str, WebDeps], browser: playwright.Browser, state: dict) -> Iterator[Console]:
    held = console(served, browser, state)
    yield held
    held.page.context.close()


LOOKS = {
    "light": ("light", PAGES, None),
    "dark": ("dark", ("/", "/devices/lock-1001", "/tickets/1", "/phones", "/system", "/silences"), ["color-contrast"]),
}


@pytest.mark.parametrize(("scheme", "pages", "rules"), LOOKS.values(), ids=LOOKS)
def test_every_page_draws_without_a_complaint_and_axe_finds_nothing(
    served: tuple[str, WebDeps],
    browser: playwright.Browser,
    state: dict,
    scheme: str,
    pages: tuple[str, ...],
    rules: list[str] | None,
) -> None:
    held = console(served, browser, state, color_scheme=scheme)
    only = {"resultTypes": ["violations"]} | ({"runOnly": rules} if rules else {})
    found = {}
    for path in pages:
        held.open(path)
        found[path] = [
            (v["id"], v["nodes"][0]["html"]) for v in axe.Axe().run(held.page, options=only).response["violations"]
        ]
    held.page.context.close()

    assert held.complaints == []
    assert {path: violations for path, violations in found.items() if violations} == {}


def test_pages_fit_a_phone(desk: Console) -> None:
    desk.page.set_viewport_size({"width": 390, "height": 844})
    wide = []
    for path in PAGES:
        desk.open(path)
        if desk.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(path)

    assert wide == []


def test_charts_of_a_device_are_drawn_with_a_table_beside_them(desk: Console) -> None:
    desk.open("/devices/lock-1001?span=30d&charts=battery_health_ratio,battery_volts")

    assert desk.page.locator(".charts figure canvas").count() == 3
    desk.page.locator("summary").first.click()
    assert desk.page.locator(".charts table").first.locator("tbody tr").count() == 24
    assert desk.page.locator(".charts .now").first.inner_text().startswith("now 6")


def test_a_reply_from_a_phone_lands_on_the_ticket_without_a_reload(
    desk: Console, served: tuple[str, WebDeps], browser: playwright.Browser, state: dict
) -> None:
    desk.open("/tickets/1")
    desk.page.wait_for_selector('html[data-live="on"]')
    desk.page.fill("textarea", "half a sentence")
    phone = console(served, browser, state)
    phone.open("/phones?phone=con-001")
    phone.page.fill(".phone input[name=text]", "Es klemmt wieder, bitte rufen Sie an")
    phone.page.click(".phone .say button")
    phone.page.wait_for_selector(".phone .mine >> text=Es klemmt wieder")

    desk.page.wait_for_selector("#thread >> text=Es klemmt wieder")

    assert desk.page.input_value("textarea") == "half a sentence"
    assert phone.page.input_value(".phone input[name=text]") == ""
    assert desk.complaints == phone.complaints == []
    phone.page.context.close()


def test_a_note_and_a_status_are_set_in_place(desk: Console) -> None:
    desk.open("/tickets/4")
    desk.page.select_option("#f-status", "waiting")
    desk.page.wait_for_selector(".head .badge >> text=Waiting")
    desk.page.check("text=Internal note")
    desk.page.fill("textarea", "Asked the fitter.")
    desk.page.click(".composer button")

    desk.page.wait_for_selector("#thread .note >> text=Asked the fitter.")

    assert desk.page.input_value("textarea") == ""
    assert desk.complaints == []


def test_what_is_refused_is_told_and_nothing_typed_is_lost(desk: Console) -> None:
    desk.open("/tickets/4")
    stop = {"source": "sms_reply", "wording": "STOP", "at_ms": desk.deps.now_ms()}
    people.record_consent(desk.deps.engine, "con-005", "opt_out", **stop)
    desk.page.fill("textarea", "Passt Ihnen Dienstag?")
    desk.page.click(".composer button")

    desk.page.wait_for_selector("#told >> text=this contact said STOP")

    assert desk.page.input_value("textarea") == "Passt Ihnen Dienstag?"
    assert desk.page.locator("#thread").count() == 1


def test_commands_are_answered_in_place_and_diagnostics_are_shown(desk: Console) -> None:
    desk.open("/devices/lock-1001")
    desk.page.click("#commands button >> text=Diagnostics")
    desk.page.wait_for_selector(".orders >> text=Done")
    desk.page.fill(".hook input[name=name]", "self-destruct")
    desk.page.click(".hook button")
    desk.page.wait_for_selector(".orders >> text=The device has no hook of that name.")
    desk.page.click(".orders >> text=Diagnostics")

    desk.page.wait_for_selector(".log >> text=motor: stalled once")

    found = axe.Axe().run(desk.page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [v["id"] for v in found] == []
    assert desk.complaints == []


def test_settings_half_typed_outlive_a_refresh_and_are_applied(desk: Console) -> None:
    desk.open("/devices/router-1002")
    desk.page.wait_for_selector('html[data-live="on"]')
    desk.page.click("#settings summary")
    desk.page.fill("#d-sample_every", "25s")
    desk.page.evaluate("document.getElementById('live').dataset.old = 'yes'")
    desk.deps.hub.publish("device", "router-1002")
    desk.page.wait_for_selector("#live:not([data-old])")
    typed = desk.page.input_value("#d-sample_every")
    desk.page.click("#settings button")

    desk.page.wait_for_selector("#settings >> text=As wanted")

    assert typed == "25s"
    assert desk.page.locator("#settings dd").first.inner_text() == "25 s"


def test_a_silence_is_added_from_a_device_in_the_zone_of_the_browser_and_ended(desk: Console) -> None:
    desk.open("/devices/lock-1004")
    desk.page.click("text=Silence >> visible=true >> nth=-1")
    desk.page.fill("#s-reason", "the owner moves house")
    desk.page.click("#add button")
    desk.page.wait_for_selector("#live >> text=the owner moves house")
    desk.open("/devices/lock-1004")
    told = desk.page.locator(".notice").inner_text()
    desk.open("/silences")
    desk.page.locator("li", has_text="the owner moves house").locator("button").click()

    desk.page.wait_for_selector("li:has-text('the owner moves house') >> text=ended")

    assert "the owner moves house" in told
    assert desk.page.input_value("input[name=zone]") == desk.page.evaluate(
        "Intl.DateTimeFormat().resolvedOptions().timeZone"
    )


def test_an_admin_lets_a_channel_send_again(desk: Console) -> None:
    desk.open("/")
    assert "No message goes out by twilio" in desk.page.locator(".banner").inner_text()
    desk.page.click(".banner")
    desk.page.click("#problems button")

    desk.page.wait_for_selector("#problems h2 >> text=This waits for a person")

    assert desk.complaints == []


def test_a_new_ticket_event_shows_in_the_queue_by_itself(desk: Console) -> None:
    desk.open("/tickets?queue=all")
    desk.page.wait_for_selector('html[data-live="on"]')
    casebook.set_priority(desk.deps.engine, "3", "urgent", author="ben", now_ms=desk.deps.now_ms())
    desk.deps.hub.publish("ticket", "3")

    desk.page.wait_for_selector("tr:has-text('#3') >> text=Urgent")

    assert desk.complaints == []


def test_searching_the_fleet_filters_as_one_types(desk: Console) -> None:
    desk.open("/")
    desk.page.keyboard.press("/")
    desk.page.keyboard.type("router-1002")

    desk.page.wait_for_selector("#rows >> text=1–1 of 1")

    assert "text=router-1002" in desk.page.url


def test_the_keyboard_reaches_the_page_by_the_skip_link(desk: Console) -> None:
    desk.open("/")
    desk.page.keyboard.press("Tab")

    assert desk.page.evaluate("document.activeElement.textContent") == "Skip to the page"


def test_light_and_dark_are_remembered(desk: Console) -> None:
    desk.open("/")
    desk.page.click("[data-theme-switch]")
    chosen = desk.page.get_attribute("html", "data-theme")
    desk.open("/system")

    assert chosen in ("light", "dark")
    assert desk.page.get_attribute("html", "data-theme") == chosen
