"""Commands, desired settings, silences and what is wrong with the gateway itself, by console and API."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import delete

from edge.config import Collect, ConfigError, read_table
from edge.desired import CHANGEABLE
from edge.wire import SEVERITIES
from gateway.ledger import audit, setting
from gateway.ledger.database import writing
from gateway.ledger.tables import messages
from gateway.services.downlink import LIFE_MS
from gateway.web import create_app
from gateway.web.bundle import read_bundle
from gateway.web.remote import DesiredSettings, LogLevel, Sensor, state_of
from gateway.web.silence import at_local
from gateway.web.words import moment
from tests.web_site import NOW_MS, Site, seeded

HOUR = 3_600_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A console of its own, for much is changed."""
    with seeded(tmp_path_factory.mktemp("remote")) as held:
        yield held


def call(site: Site, method: str, path: str, role: str = "agent", /, **body: object) -> tuple[int, dict]:
    answer = site.client().request(method, f"/api/v1{path}", headers=site.bearer[role], json=body or None)
    return answer.status_code, answer.json() if answer.content else {}


def post(site: Site, path: str, role: str = "agent", /, **form: str) -> Response:
    return site.client(role).post(path, data={"csrf": site.csrf[role], **form})


@pytest.mark.parametrize(
    ("name", "state", "code"),
    [("ping", "done", "done"), ("selftest", "done", "done"), ("self-destruct", "refused", "unknown_command")],
)
def test_a_command_is_answered_through_the_api(site: Site, name: str, state: str, code: str) -> None:
    status, sent = call(site, "POST", "/devices/lock-1001/commands", name=name)
    _, answered = call(site, "GET", f"/devices/lock-1001/commands/{sent['command_id']}")

    assert status == 202
    assert (answered["state"], answered["code"]) == (state, code)


def test_service_is_noted_through_the_api_and_on_the_page(site: Site) -> None:
    status, told = call(site, "POST", "/devices/lock-1001/service", component="motor", at_ms=NOW_MS - HOUR, failed=True)
    assert (status, told) == (
        201,
        [{"component": "motor", "at_ms": NOW_MS - HOUR, "failed": True, "author": "ben"}],
    )
    when = f"{moment(NOW_MS - 2 * HOUR):%Y-%m-%dT%H:%M}"

    answer = post(site, "/devices/lock-1001/service", component=" Battery pack", when=when)

    assert answer.status_code == 303
    _, told = call(site, "GET", "/devices/lock-1001/service", "viewer")
    assert [(s["component"], s["failed"]) for s in told] == [("motor", True), ("battery_pack", False)]
    assert "Had failed" in (page := site.client("viewer").get("/devices/lock-1001").text)
    assert "Note service" not in page  # a viewer's


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"component": "Main motor"}, 422, "bad_component"),
        ({"component": "motor", "at_ms": NOW_MS + 1}, 422, "bad_service_time"),
        ({"component": "motor", "colour": "red"}, 422, "invalid"),
    ],
)
def test_service_that_cannot_be_is_refused(site: Site, given: dict, status: int, code: str) -> None:
    assert call(site, "POST", "/devices/lock-1001/service", **given)[0] == status
    assert call(site, "POST", "/devices/lock-1001/service", **given)[1]["code"] == code
    assert call(site, "POST", "/devices/ghost/service", component="motor")[1]["code"] == "not_found"


def test_a_command_to_a_device_that_is_away_waits_and_then_is_void(site: Site) -> None:
    _, sent = call(site, "POST", "/devices/lock-1022/commands", name="ping")
    order = site.deps.downlink.order("lock-1022", sent["command_id"])  # type: ignore[union-attr]

    assert sent["state"] == "waiting"
    assert state_of(order, NOW_MS + LIFE_MS + 1) == "no_answer"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("/devices/none/commands", 404, "not_found"), ("/devices/lock-1001/commands", 422, "invalid")],
)
def test_what_cannot_be_sent_is_told(site: Site, path: str, status: int, code: str) -> None:
    told, body = call(site, "POST", path, name="ping" if status == 404 else "rm -rf /")

    assert (told, body["code"]) == (status, code)


def test_a_console_without_a_gateway_reaches_no_device(site: Site) -> None:
    client = TestClient(create_app(dataclasses.replace(site.deps, downlink=None)))
    answer = client.post("/api/v1/devices/lock-1001/commands", headers=site.bearer["agent"], json={"name": "ping"})

    assert answer.json()["code"] == "no_downlink"
    client.cookies.set("bf_session", site.cookies["agent"])
    assert client.get("/devices/lock-1001").status_code == 200


def test_diagnostics_are_shown_and_downloaded_and_noted_in_the_audit(site: Site) -> None:
    assert post(site, "/devices/lock-1001/commands", name="diagnostics").headers["location"].endswith("#commands")
    order = site.deps.downlink.recent("lock-1001")[0]  # type: ignore[union-attr]
    page = site.client("agent").get(f"/devices/lock-1001/commands/{order.command_id}").text
    file = site.client("agent").get(f"/devices/lock-1001/commands/{order.command_id}/answer")

    for text in ("motor: stalled once", "Battery health", "68.3 %", "lasts 17 days without a link", "Reconnects"):
        assert text in page
    assert file.json()["counters"]["reconnects"] == 4
    assert file.headers["content-disposition"].startswith('attachment; filename="lock-1001-diagnostics-2026')
    deeds = [(deed.actor, deed.action) for deed in audit.recent(site.deps.engine, subject="lock-1001")]
    assert ("ben", "device.command.diagnostics") in deeds


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"t": -1}', '{"t": 1e300}', '{"logs": [[99999999999999999, "a", "b", "c"]]}',
             '{"counters": {"a": "b"}}', '{"last": []}']
)  # fmt: skip
def test_a_bundle_that_is_none_is_not_read_as_one(text: str) -> None:
    assert read_bundle(text) is None


def test_what_a_device_answers_is_escaped(site: Site) -> None:
    _, sent = call(site, "POST", "/devices/lock-1001/commands", name="diagnostics")
    order = site.deps.downlink.order("lock-1001", sent["command_id"])  # type: ignore[union-attr]
    evil = "<script>alert(1)</script>"
    order.parts = {0: json.dumps({"device": {"firmware": evil}, "logs": [[1, evil, evil, evil]], "last": {evil: 1}})}
    order.count = 1

    page = site.client("agent").get(f"/devices/lock-1001/commands/{sent['command_id']}").text

    assert evil not in page
    assert page.count("&lt;script&gt;") > 3


def test_desired_settings_are_applied_and_reported(site: Site) -> None:
    wanted = {"sample_every": "15s", "log_level": "warning"}
    status, told = call(site, "PUT", "/devices/router-1002/desired", **wanted)

    assert status == 200
    assert (told["state"], told["settings"]) == ("applied", wanted)
    assert {key: told["reported"][key] for key in wanted} == wanted


def test_desired_settings_wait_for_a_device_that_is_away(site: Site) -> None:
    _, told = call(site, "PUT", "/devices/lock-1022/desired", flush_every="5m")

    assert (told["state"], told["version"], told["reported_version"]) == ("waiting", 1, None)
    assert "Waits for the device" in site.client("viewer").get("/devices/lock-1022").text


@pytest.mark.parametrize(
    "wanted",
    [{"sample_every": "0s"}, {"sample_every": "10"}, {"flush_every": "2d"}, {"flush_every": "1\n0s"}, {"disk": "/"},
     {"log_level": "loud"}, {"log_lines_per_minute": 0}, {"sensors": ["mind"]}, {"sample_every": "९s"}],
)  # fmt: skip
def test_settings_that_no_device_would_take_are_refused(site: Site, wanted: dict[str, object]) -> None:
    assert call(site, "PUT", "/devices/lock-1001/desired", **wanted)[0] == 422


def test_the_form_keeps_settings_that_it_does_not_show_and_clears_what_is_left_empty(site: Site) -> None:
    call(site, "PUT", "/devices/pump-1003/desired", sensors=["cpu"], sample_every="20s", log_level="error")
    post(site, "/devices/pump-1003/desired", flush_every="2m", log_level="error")
    _, told = call(site, "GET", "/devices/pump-1003/desired")

    assert told["settings"] == {"sensors": ["cpu"], "flush_every": "2m", "log_level": "error"}
    refused = post(site, "/devices/pump-1003/desired", log_lines_per_minute="many")
    assert refused.status_code == 422
    assert "Log lines a minute" in refused.text


def test_the_api_knows_the_settings_that_the_agent_lets_be_changed() -> None:
    assert set(DesiredSettings.model_fields) == set(CHANGEABLE)
    assert LogLevel.__args__ == SEVERITIES
    everything = {"sample_every": "0.1s", "flush_every": "1d", "sensors": list(Sensor.__args__),
                  "log_level": "debug", "log_lines_per_minute": 100_000}  # fmt: skip
    assert read_table(Collect, DesiredSettings(**everything).as_wire(), "collect")
    with pytest.raises(ConfigError):
        read_table(Collect, {"sample_every": "0.01s"}, "collect")


def silence(site: Site, **more: object) -> tuple[int, dict]:
    wanted = {"labels": {"device_id": "lock-1013"}, "until_ms": NOW_MS + HOUR, "reason": "known"} | more
    return call(site, "POST", "/silences", **wanted)


def test_a_silence_is_kept_shown_and_ended(site: Site) -> None:
    status, made = silence(site, labels={"device_id": "lock-1013", "cause": "motor"})
    (found,) = [s for s in call(site, "GET", "/silences")[1] if s["mute_id"] == made["mute_id"]]
    page = site.client("viewer").get("/devices/lock-1013").text
    ended, _ = call(site, "DELETE", f"/silences/{made['mute_id']}")
    (after,) = [s for s in call(site, "GET", "/silences")[1] if s["mute_id"] == made["mute_id"]]

    assert (status, ended) == (201, 204)
    assert (found["state"], found["devices"], found["author"]) == ("active", 1, "ben")
    assert "for cause motor" in page
    assert after["state"] == "over"
    deeds = {(deed.actor, deed.action) for deed in audit.recent(site.deps.engine, subject=made["mute_id"])}
    assert deeds == {("ben", "silence.add"), ("ben", "mute.end")}


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"labels": {}}, "invalid"),
        ({"labels": {"colour": "red"}}, "invalid"),
        ({"labels": {"device_id": "lock-9999"}}, "matches_nothing"),
        ({"labels": {"site": "Celar", "type": "smart_lock"}}, "matches_nothing"),
        ({"labels": {"rule": "BatteryWearsOut"}}, "unknown_rule"),
        ({"labels": {"cause": "batery"}}, "unknown_cause"),
        ({"reason": "  "}, "no_reason"),
        ({"until_ms": NOW_MS}, "over_already"),
        ({"until_ms": NOW_MS + 500 * 24 * HOUR}, "too_long"),
        ({"from_ms": NOW_MS + 2 * HOUR}, "bad_mute"),
    ],
)
def test_a_silence_that_mutes_nothing_or_too_much_is_refused(site: Site, more: dict, code: str) -> None:
    status, told = silence(site, **more)

    assert (status, told["code"]) == (422, code)


def test_the_form_reads_times_in_the_zone_of_the_browser(site: Site) -> None:
    form = {"kind": "maintenance", "site": "Hallway", "begins": "2026-07-26T20:30", "until": "2026-07-26T22:00",
            "zone": "Europe/Berlin", "reason": "new fibre"}  # fmt: skip
    answer = post(site, "/silences", **form)
    (made,) = [s for s in call(site, "GET", "/silences")[1] if s["reason"] == "new fibre"]

    assert answer.status_code == 303
    assert (made["kind"], made["state"], made["labels"]) == ("maintenance", "planned", {"site": "Hallway"})
    assert made["from_ms"] == at_local("2026-07-26T18:30", "UTC")
    assert post(site, f"/silences/{made['mute_id']}/end").status_code == 303


@pytest.mark.parametrize("form", [{"until": "tomorrow"}, {"zone": "Mars/Olympus", "until": "2026-07-26T22:00"},
                                  {"lasts": "ages"}, {"until": "0001-01-01T00:00"}])  # fmt: skip
def test_a_time_that_is_none_is_refused(site: Site, form: dict[str, str]) -> None:
    assert post(site, "/silences", site="Hallway", reason="x", **form).status_code == 422


def test_an_incident_offers_a_silence_of_its_device_and_cause(site: Site) -> None:
    with_form = site.client("agent").get("/incidents/" + call(site, "GET", "/incidents")[1]["items"][0]["incident_id"])

    assert "/silences?device_id=" in with_form.text


def test_a_channel_that_is_down_is_resumed_by_an_admin_once(site: Site) -> None:
    assert "An admin can resume it" in site.client("agent").get("/system").text
    status, _ = call(site, "POST", "/system/channels/twilio/resume", "admin")
    again, _ = call(site, "POST", "/system/channels/twilio/resume", "admin")

    assert (status, again) == (204, 404)
    assert "No message goes out" not in site.client("agent").get("/").text
    assert audit.recent(site.deps.engine, subject="channel:twilio")[0].action == "channel.resume"
    setting.write(site.deps.engine, "channel_down.twilio", "refused", author="dispatch", now_ms=NOW_MS)
    assert post(site, "/system/channels/twilio/resume", "admin").headers["location"] == "/system"


def test_phones_say_so_while_there_is_no_message(site: Site) -> None:
    assert "the message appears here" not in site.client("agent").get("/phones").text
    with writing(site.deps.engine) as connection:
        connection.execute(delete(messages))

    assert "the message appears here by itself" in site.client("agent").get("/phones").text
    assert "Text message" in site.client("agent").get("/phones?phone=con-001").text
