"""`beforehand device served` on the ledger of a gateway."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway import ledger
from gateway.__main__ import app
from gateway.errors import NotFound
from gateway.ledger import registry, service
from gateway.model import DeviceId

NOON = datetime(2026, 1, 2, 12, 30, tzinfo=UTC)


def test_a_part_that_was_serviced_is_noted_with_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    made = ledger.open_ledger(
        f"sqlite:///{tmp_path / 'data' / 'ledger.sqlite'}", tmp_path / "data" / "ledger.key", now_ms=0
    )
    registry.add_devices(made, [registry.NewDevice(device_id=DeviceId("d0"), type="pump")], now_ms=0)

    done = CliRunner().invoke(app, ["device", "served", "d0", "motor", "--at", "2026-01-02T12:30", "--failed"])
    lost = CliRunner().invoke(app, ["device", "served", "ghost", "motor"])

    assert done.exit_code == 0, done.output
    assert isinstance(lost.exception, NotFound)
    (record,) = service.noted_after(made, 0)
    assert (record.component, record.at_ms, record.failed) == ("motor", int(NOON.timestamp() * 1000), True)
    made.dispose()
