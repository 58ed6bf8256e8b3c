"""Provisioning on a real ledger: secrets are seen once, hashes are kept, revoking works at once."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from edge import config
from gateway import ledger
from gateway.broker import hash_token
from gateway.errors import NotFound, Refused
from gateway.ledger import registry
from gateway.ledger.registry import NewDevice
from gateway.model import DeviceId, Roster
from gateway.services import provision

NOW_MS = 1_800_000_000_000
ENDPOINT = provision.Endpoint(
    host="broker.example", port=8883, ca_pem="-----BEGIN CERTIFICATE-----\nAAAA\n-----END-----"
)


@pytest.fixture
def engine(tmp_path: Path):
    made = ledger.connect(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    ledger.migrate(made)
    yield made
    made.dispose()


def new(device_id: str, **more: str) -> NewDevice:
    return NewDevice(device_id=DeviceId(device_id), type="router", **more)


def test_the_agents_file_is_read_by_the_agent_and_holds_what_the_ledger_hashes(engine, tmp_path: Path):
    (made,) = provision.add(engine, [new("attic-1", model='R2 "pro"', hardware="ü🙂")], now_ms=NOW_MS)
    path = tmp_path / "agent.toml"
    path.write_text(provision.agent_toml(made, ENDPOINT))

    held = config.read_settings(path.read_text())

    assert (held.device.id, held.device.model, held.device.hardware) == ("attic-1", 'R2 "pro"', "ü🙂")
    assert (held.link.host, held.link.port, held.link.tls) == ("broker.example", 8883, True)
    assert hash_token(held.link.password) == registry.credential_of(engine, "attic-1")
    assert held.command.key == registry.command_key(engine, "attic-1")
    assert "BEGIN CERTIFICATE" in tomllib.loads(path.read_text())["link"]["ca_pem"]
    assert made.token not in repr(made)


def test_ids_that_are_taken_or_no_ids_are_refused_and_none_is_added(engine):
    provision.add(engine, [new("a")], now_ms=NOW_MS)

    for wanted, code in (("a", "device_exists"), ("a/b", "bad_device_id"), ("", "bad_device_id")):
        with pytest.raises(Refused) as caught:
            provision.add(engine, [new("b"), new(wanted)], now_ms=NOW_MS)
        assert caught.value.code == code
    with pytest.raises(NotFound):
        provision.show(engine, "b")


def test_a_revoked_device_has_no_credential_until_it_is_renewed(engine):
    (first,) = provision.add(engine, [new("a")], now_ms=NOW_MS)
    roster = registry.load_roster(engine)

    provision.revoke(engine, "a")

    assert registry.credential_of(engine, "a") is None
    assert registry.refresh_roster(engine, roster) == ("a",)
    assert roster.devices[0].revoked
    assert registry.refresh_roster(engine, roster) == ()
    second = provision.renew(engine, "a")
    assert registry.credential_of(engine, "a") == hash_token(second.token) != hash_token(first.token)
    assert registry.refresh_roster(engine, roster) == ()
    assert not roster.devices[0].revoked


def test_devices_added_later_come_into_the_roster(engine):
    roster = Roster()
    provision.add(engine, [new("a"), new("b")], now_ms=NOW_MS)

    assert registry.refresh_roster(engine, roster) == ()

    assert [device.device_id for device in roster.devices] == ["a", "b"]
