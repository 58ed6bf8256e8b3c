"""Devices, numbers, people, access and audit, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, insert, update
from sqlalchemy.exc import IntegrityError

from gateway.errors import NotFound, Refused
from gateway.ledger import access, audit, people, registry, setting
from gateway.ledger.database import writing
from gateway.ledger.tables import audit as audit_table
from gateway.ledger.tables import devices
from gateway.model import Birth, Contact, Customer, CustomerId, DeviceId, Presence

NOW = 1_700_000_000_000


def add(engine, count: int, **more):
    wanted = [registry.NewDevice(device_id=DeviceId(f"d{n}"), type="router", **more) for n in range(count)]
    return registry.add_devices(engine, wanted, now_ms=NOW)


def test_the_roster_comes_back_as_it_was_saved(engine):
    add(engine, 3)
    roster = registry.load_roster(engine)
    roster.series(2, roster.metric("heap_free_bytes"))
    roster.series(0, roster.metric("rssi_dbm"))

    registry.save_new_series(engine, roster, from_series=0, from_metric=0)
    registry.save_new_series(engine, roster, from_series=0, from_metric=0)
    again = registry.load_roster(engine)

    assert again.devices == roster.devices
    assert again.metrics == ["heap_free_bytes", "rssi_dbm"]
    assert again.series_device.tolist() == [2, 0]


def test_a_taken_id_adds_none_of_the_devices(engine):
    add(engine, 1)

    with pytest.raises(Refused, match="device_exists"):
        add(engine, 3)

    assert len(registry.list_devices(engine)) == 1


def test_a_revoked_device_may_not_connect_but_keeps_its_number(engine):
    add(engine, 2, credentials_hash="h", command_key="ab")

    registry.revoke_device(engine, "d0")

    assert registry.credentials(engine) == {"d1": "h"}
    assert registry.command_key(engine, "d0") == b""
    assert [d.number for d in registry.load_roster(engine).devices] == [0, 1]


def test_a_birth_changes_the_cohort_and_older_news_does_not(engine):
    add(engine, 1)
    new = Birth(device_id=DeviceId("d0"), boot=4, t_ms=NOW + 10, firmware="2.0")
    old = Birth(device_id=DeviceId("d0"), boot=3, t_ms=NOW, firmware="1.0")

    changed = registry.record_births(engine, [new])
    unchanged = registry.record_births(engine, [old], [Presence(device_id=DeviceId("d0"), t_ms=NOW, online=False)])

    assert [d.firmware for d in changed] == ["2.0"]
    assert unchanged == ()
    assert registry.find_device(engine, "d0").online


def test_the_newest_word_on_consent_counts(engine):
    contact = Contact(contact_id="k", customer_id=CustomerId("c"), channel="sms", address="+15550100")
    people.save_customers(engine, [Customer(customer_id=CustomerId("c"), name="Li", contacts=(contact,))], now_ms=NOW)
    people.record_consent(engine, "k", "opt_in", source="import", wording="v1", at_ms=NOW)
    people.record_consent(engine, "k", "opt_out", source="reply", wording="STOP", at_ms=NOW + 2)

    people.record_consent(engine, "k", "opt_in", source="import", wording="late import", at_ms=NOW + 1)
    people.save_customers(engine, [Customer(customer_id=CustomerId("c"), name="Li", contacts=(contact,))], now_ms=NOW)
    kept = people.find_contact(engine, "k")

    assert kept.opted_out
    assert not kept.consented
    assert [c.kind for c in people.consent_history(engine, "k")] == ["opt_in", "opt_in", "opt_out"]


def test_only_the_right_password_of_an_enabled_user_signs_in(engine):
    user = access.User(login="mei", name="Mei", role="agent")
    access.save_user(engine, user, password="correct horse", now_ms=NOW)
    cookie, _ = access.sign_in(engine, "mei", "correct horse", now_ms=NOW)

    for login, password in (("mei", "wrong horse"), ("nobody", "correct horse")):
        with pytest.raises(Refused, match="wrong_login"):
            access.sign_in(engine, login, password, now_ms=NOW)

    assert access.find_session(engine, cookie, now_ms=NOW + 1).user == user
    assert access.find_session(engine, cookie, now_ms=NOW + access.SESSION_MS) is None
    access.sign_out(engine, cookie)
    assert access.find_session(engine, cookie, now_ms=NOW + 1) is None


def test_who_is_disabled_is_out_at_once_with_session_and_token(engine):
    user = access.User(login="mei", name="Mei", role="admin")
    access.save_user(engine, user, password="correct horse", now_ms=NOW)
    cookie, _ = access.sign_in(engine, "mei", "correct horse", now_ms=NOW)
    secret, _ = access.issue_token(engine, "mei", name="ci", role="admin", now_ms=NOW)
    access.disable_user(engine, "mei", actor="command line", now_ms=NOW)

    assert access.find_session(engine, cookie, now_ms=NOW) is None
    assert access.use_token(engine, secret, now_ms=NOW) is None
    assert audit.recent(engine)[0].action == "user_disabled"
    with pytest.raises(Refused, match="wrong_login"):
        access.sign_in(engine, "mei", "correct horse", now_ms=NOW)
    with pytest.raises(NotFound):
        access.disable_user(engine, "nobody", actor="command line", now_ms=NOW)


def test_an_error_of_the_database_tells_no_secret(engine):
    add(engine, 1)
    again = {"device_id": "d0", "number": 7, "command_key": "c0ffee", "provisioned_ms": NOW}

    with pytest.raises(IntegrityError) as told, writing(engine) as connection:
        connection.execute(insert(devices), again)
    assert "c0ffee" not in str(told.value)


def test_a_token_acts_in_its_own_role_until_revoked(engine):
    access.save_user(engine, access.User(login="mei", name="", role="admin"), password="correct horse", now_ms=NOW)
    secret, token = access.issue_token(engine, "mei", name="dashboard", role="viewer", now_ms=NOW)

    assert access.use_token(engine, secret, now_ms=NOW).role == "viewer"
    access.revoke_token(engine, token.token_id, now_ms=NOW)
    assert access.use_token(engine, secret, now_ms=NOW) is None
    with pytest.raises(NotFound):
        access.revoke_token(engine, "none", now_ms=NOW)


def test_a_token_loses_what_its_user_loses(engine):
    access.save_user(engine, access.User(login="mei", name="", role="admin"), password="correct horse", now_ms=NOW)
    secret, _ = access.issue_token(engine, "mei", name="ci", role="admin", now_ms=NOW)
    before = access.use_token(engine, secret, now_ms=NOW).role
    access.save_user(engine, access.User(login="mei", name="", role="viewer"), password="correct horse", now_ms=NOW)

    assert (before, access.use_token(engine, secret, now_ms=NOW).role) == ("admin", "viewer")


def test_the_audit_chain_shows_where_it_was_changed(engine):
    for n in range(4):
        audit.note(engine, at_ms=NOW + n, actor="mei", action="ticket.assign", subject=f"t{n}", detail={"n": n})
    assert audit.verify(engine) is None

    with writing(engine) as connection:
        connection.execute(update(audit_table).where(audit_table.c.number == 3).values(actor="someone else"))

    assert audit.verify(engine) == 3


def test_the_audit_chain_shows_that_its_newest_rows_are_gone(engine):
    for n in range(4):
        audit.note(engine, at_ms=NOW + n, actor="mei", action="ticket.assign", subject=f"t{n}")

    with writing(engine) as connection:
        connection.execute(delete(audit_table).where(audit_table.c.number > 2))

    assert audit.verify(engine) == 3


def test_settings_are_read_by_prefix_and_forgotten(engine):
    setting.write(engine, "channel_down.twilio", "refused", author="dispatch", now_ms=NOW)
    setting.write(engine, "channelxdown", 1, author="dispatch", now_ms=NOW)

    assert setting.read(engine, "channel_down.") == {"channel_down.twilio": "refused"}
    setting.forget(engine, "channel_down.twilio")
    assert setting.read(engine, "channel_down.") == {}
