"""Service records and corrected outcomes, on both databases."""

from __future__ import annotations

import pytest

from gateway.errors import NotFound, Refused
from gateway.ledger import audit, registry, service
from gateway.ledger.database import reading
from gateway.model import DeviceId

NOW = 1_700_000_000_000


def note(engine, component="comp_2", *, device="d0", at=NOW - 5, failed=False):
    service.note(engine, device, component, at_ms=at, failed=failed, author="mei", now_ms=NOW)


@pytest.fixture
def house(engine):
    registry.add_devices(engine, [registry.NewDevice(device_id=DeviceId("d0"), type="pump")], now_ms=NOW)
    return engine


def test_a_record_is_kept_once_and_told_in_the_order_of_noting(house):
    note(house, failed=True)
    note(house, failed=True)
    note(house, "fan", at=NOW - 10)

    told = service.noted_after(house, 0)
    assert [(s.device_id, s.component, s.at_ms, s.failed, s.author) for s in told] == [
        ("d0", "comp_2", NOW - 5, True, "mei"),
        ("d0", "fan", NOW - 10, False, "mei"),
    ]
    assert [s.component for s in service.noted_after(house, told[0].number)] == ["fan"]
    with reading(house) as connection:
        assert [s.component for s in service.of_device(connection, "d0")] == ["comp_2", "fan"]
        assert [s.component for s in service.of_device(connection, "d0", limit=1)] == ["comp_2"]
    assert [deed.action for deed in audit.recent(house, limit=3)] == ["device.service"] * 3


@pytest.mark.parametrize(
    ("component", "at", "code"),
    [("Comp 2", NOW, "bad_component"), ("", NOW, "bad_component"), ("fan", NOW + 1, "bad_service_time"),
     ("fan", -1, "bad_service_time")],
)  # fmt: skip
def test_what_is_no_part_or_no_time_is_refused(house, component, at, code):
    with pytest.raises(Refused, match=code):
        note(house, component, at=at)
    with pytest.raises(NotFound):
        note(house, device="ghost")

    assert service.noted_after(house, 0) == ()
