"""Folding: one open incident per device and cause, verified recovery, shared causes, mutes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.incidents import Fleet, Mute, RuleInfo, Timing, View, fingerprint, fold
from gateway.model import Alert, Device, DeviceId

MINUTE, HOUR = 60_000, 3_600_000
T0 = 1_700_000_000_000
RULES = {
    "BatteryLow": RuleInfo(name="BatteryLow", inhibited_by=("DeviceSilent",)),
    "DeviceSilent": RuleInfo(name="DeviceSilent"),
}
TIMING = Timing(quiet_ms=15 * MINUTE, reopen_ms=24 * HOUR, tickets_per_hour=1000)


def alert(state="firing", at=T0, device="d0", rule="BatteryLow", cause="battery", severity="warning"):
    return Alert(
        rule=rule, device_id=DeviceId(device), state=state, at_ms=at, since_ms=at, severity=severity, cause=cause
    )


def fleet(count=20, site="", firmware="1.0"):
    return Fleet.of(
        Device(device_id=DeviceId(f"d{n}"), number=n, type="router", site=site, firmware=firmware) for n in range(count)
    )


class Book:
    """A casebook in memory: folds and keeps what came of it."""

    def __init__(self, labels=None, **view):
        self.fleet, self.more = labels or fleet(), view
        self.kept = {}

    @property
    def view(self):
        every = tuple(self.kept.values())
        return View(
            open=tuple(i for i in every if i.state == "open"),
            recent=tuple(i for i in every if i.state != "open"),
            **self.more,
        )

    def fold(self, *alerts, now=T0, timing=TIMING):
        changed, _ = fold(alerts, self.view, rules=RULES, fleet=self.fleet, now_ms=now, timing=timing)
        self.kept |= {i.incident_id: i for i in changed}
        return changed


def test_many_alerts_of_one_cause_are_one_incident_of_the_highest_severity():
    book = Book()
    book.fold(alert(), alert(at=T0 + 5, rule="DeviceSilent", severity="critical"), now=T0 + 5)

    (incident,) = book.kept.values()
    assert incident.severity == "critical"
    assert incident.firing == ("BatteryLow", "DeviceSilent")


def test_pending_opens_nothing():
    assert Book().fold(alert("pending")) == ()


def test_an_incident_resolves_only_after_all_is_quiet_for_a_time():
    book = Book()
    book.fold(alert(), alert(rule="DeviceSilent"))
    book.fold(alert("resolved", at=T0 + MINUTE), now=T0 + MINUTE)
    (still,) = book.view.open
    book.fold(alert("resolved", at=T0 + 2 * MINUTE, rule="DeviceSilent"), now=T0 + 2 * MINUTE)

    assert still.quiet_ms is None
    assert book.fold(now=T0 + 16 * MINUTE) == ()
    (over,) = book.fold(now=T0 + 17 * MINUTE)
    assert (over.state, over.resolved_ms) == ("resolved", T0 + 2 * MINUTE)


@pytest.mark.parametrize(("later", "reopened"), [(HOUR, 1), (25 * HOUR, 0)])
def test_trouble_that_returns_soon_reopens_its_incident(later, reopened):
    book = Book()
    book.fold(alert())
    book.fold(alert("resolved", at=T0 + 1), now=T0 + 1)
    book.fold(now=T0 + HOUR)

    (incident,) = book.fold(alert(at=T0 + 1 + later), now=T0 + 1 + later)

    assert incident.state == "open"
    assert incident.reopened == reopened
    assert len(book.kept) == 2 - reopened


def test_a_flapping_incident_needs_longer_quiet():
    book = Book()
    book.fold(alert())
    book.fold(alert("resolved", at=T0 + 1), now=T0 + 1)
    book.fold(now=T0 + HOUR)
    book.fold(alert(at=T0 + 2 * HOUR), now=T0 + 2 * HOUR)
    book.fold(alert("resolved", at=T0 + 2 * HOUR + 1), now=T0 + 2 * HOUR + 1)

    assert book.fold(now=T0 + 2 * HOUR + 16 * MINUTE) == ()
    assert [i.state for i in book.fold(now=T0 + 2 * HOUR + 31 * MINUTE)] == ["resolved"]


def test_what_a_person_closed_stays_closed_and_new_trouble_is_new():
    book = Book()
    (incident,) = book.fold(alert())
    book.kept[incident.incident_id] = replace(incident, state="closed", updated_ms=T0 + HOUR)

    assert book.fold(alert(at=T0 + MINUTE), now=T0 + 2 * HOUR) == ()
    (new,) = book.fold(alert(at=T0 + 3 * HOUR), now=T0 + 3 * HOUR)
    assert new.incident_id != incident.incident_id


def test_late_news_moves_the_start_of_an_open_incident_and_opens_nothing_that_is_over():
    book = Book()
    book.fold(alert(at=T0 + HOUR), now=T0 + HOUR)
    (moved,) = book.fold(alert(at=T0), now=T0 + HOUR)
    book.fold(alert("resolved", at=T0 + 2 * HOUR), now=T0 + 2 * HOUR)

    assert moved.opened_ms == T0
    assert book.fold(alert(at=T0 + HOUR, rule="DeviceSilent"), now=T0 + 2 * HOUR + 1) == ()


def test_an_alert_explained_by_another_on_the_device_is_muted_until_that_is_over():
    book = Book()
    book.fold(alert(), alert(rule="DeviceSilent", cause="silent"))
    assert {i.cause: i.muted for i in book.view.open} == {"battery": "inhibited", "silent": ""}

    book.fold(alert("resolved", at=T0 + 1, rule="DeviceSilent", cause="silent"), now=T0 + 1)

    assert {i.cause: i.muted for i in book.view.open} == {"battery": "", "silent": ""}


@pytest.mark.parametrize(
    "labels",
    [{"device_id": "d0"}, {"type": "router", "rule": "BatteryLow"}, {"cause": "battery"}, {"firmware": "1.0"}],
)
def test_a_silence_mutes_what_matches_while_it_lasts(labels):
    mute = Mute(kind="silence", labels=labels, from_ms=T0, until_ms=T0 + HOUR)
    book = Book(mutes=(mute,))

    (muted,) = book.fold(alert())
    (heard,) = book.fold(now=T0 + HOUR)

    assert (muted.muted, heard.muted) == ("silence", "")


def test_a_silence_of_another_device_mutes_nothing():
    mute = Mute(kind="maintenance", labels={"device_id": "d1"}, from_ms=T0, until_ms=T0 + HOUR)

    (incident,) = Book(mutes=(mute,)).fold(alert())

    assert incident.muted == ""


def test_devices_of_one_site_that_fall_ill_together_share_a_parent_which_ends_with_them():
    book = Book(labels=fleet(10, site="north"))
    book.fold(*(alert(device=f"d{n}") for n in range(6)))
    parents = [i for i in book.view.open if i.device_id == ""]
    children = [i for i in book.view.open if i.device_id]

    assert len(parents) == 1
    assert {c.parent_id for c in children} == {parents[0].incident_id}
    assert {c.muted for c in children} == {"shared_cause"}

    book.fold(*(alert("resolved", device=f"d{n}", at=T0 + 1) for n in range(6)), now=T0 + 1)
    book.fold(now=T0 + HOUR)

    assert book.view.open == ()


@pytest.mark.parametrize(("muted", "told"), [(("d0", "d1", "d2", "d3", "d4", "d5"), "maintenance"), (("d0",), "")])
def test_a_shared_cause_is_muted_while_all_that_fires_under_it_is(muted, told):
    windows = [Mute(kind="maintenance", labels={"device_id": d}, from_ms=T0, until_ms=T0 + HOUR) for d in muted]
    book = Book(labels=fleet(10, site="north"), mutes=tuple(windows))
    book.fold(*(alert(device=f"d{n}") for n in range(6)))

    assert [i.muted for i in book.view.open if i.device_id == ""] == [told]


def test_what_a_person_closed_is_no_part_of_a_shared_cause():
    book = Book(labels=fleet(10, site="north"))
    book.fold(*(alert(device=f"d{n}") for n in range(4)))
    book.kept = {key: replace(i, state="closed", version=i.version + 1) for key, i in book.kept.items()}
    book.fold(alert(device="d4", at=T0 + 1), now=T0 + 1)

    (still_open,) = book.view.open
    assert (still_open.device_id, still_open.muted) == ("d4", "")
    assert {i.parent_id for i in book.view.recent} == {None}


@pytest.mark.parametrize(("later", "told"), [(HOUR, "shared_cause"), (48 * HOUR, "")])
def test_a_device_joins_a_shared_cause_that_goes_on_only_while_others_fall_ill(later, told):
    book = Book(labels=fleet(10, site="north"))
    book.fold(*(alert(device=f"d{n}") for n in range(6)))

    book.fold(alert(device="d8", at=T0 + later), now=T0 + later)

    assert [i.muted for i in book.view.open if i.device_id == "d8"] == [told]


def test_a_few_devices_of_a_large_fleet_are_no_shared_cause():
    book = Book(labels=fleet(100, site="north"))
    book.fold(*(alert(device=f"d{n}") for n in range(6)))

    assert len(book.view.open) == 6
    assert {i.muted for i in book.view.open} == {""}


def test_the_storm_breaker_lets_the_oldest_and_the_critical_through_and_the_rest_later():
    book = Book(labels=fleet(100))
    timing = replace(TIMING, tickets_per_hour=2)
    book.fold(
        *(alert(device=f"d{n}", at=T0 + n) for n in range(4)), alert(device="d9", at=T0 + 9, severity="critical"),
        now=T0 + 9, timing=timing,
    )  # fmt: skip
    assert [i.muted for i in sorted(book.view.open, key=lambda i: i.opened_ms)] == ["", "", "storm", "storm", ""]

    book.more = {"tickets": {i.incident_id: "t" for i in book.view.open if not i.muted}}
    book.fold(now=T0 + 2 * HOUR, timing=timing)

    assert {i.muted for i in book.view.open} == {""}


def test_fingerprints_name_their_version_and_tell_causes_apart():
    assert fingerprint("d0", "battery").startswith("v1:")
    assert fingerprint("d0", "battery") == fingerprint("d0", "battery")
    assert len({fingerprint("d0", "battery"), fingerprint("d0", "fan"), fingerprint("d1", "battery")}) == 3
