"""Settings name parts; a name that is none is told with those that are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gateway.app import make
from gateway.app.jobs import JOBS
from gateway.config import DeskSettings, Settings, StoreSettings, duration_s
from gateway.errors import ConfigError
from gateway.model import Block, Device, DeviceId, Roster
from gateway.outreach import compose
from gateway.services.inbound import Inbound


def test_a_kind_that_is_none_is_told_with_those_that_are(tmp_path: Path) -> None:
    pigeon = Settings.model_validate({"outreach": {"channel": "pigeon"}})
    inbound = Inbound(engine=None, texts=None, now_ms=lambda: 0)  # type: ignore[arg-type]

    with pytest.raises(ConfigError, match=r"outreach\.channel is 'pigeon': say one of console, twilio"):
        make.channel(pigeon, inbound, lambda _kind, _subject: None)
    with pytest.raises(ConfigError, match=r"store\.kind is 'shed': say one of duckdb, influx"):
        make.store(tmp_path, Roster(), StoreSettings(kind="shed"))
    with pytest.raises(ConfigError, match=r"desk\.kind is 'drawer': say one of builtin, webhook"):
        make.desk(DeskSettings(kind="drawer"))


def test_a_ledger_older_than_its_store_is_refused(tmp_path: Path) -> None:
    roster = Roster()
    roster.put_device(Device(device_id=DeviceId("d0"), number=0, type="router"))
    series = np.array([roster.series(0, roster.metric("heat"))])
    store = make.store(tmp_path, roster, StoreSettings())
    block = Block(
        window=1, received_ms=5, series=series, t_ms=np.array([5]), value=np.array([1.0]), late=np.array([False])
    )
    store.append(block, [])
    store.close()

    make.store(tmp_path, roster, StoreSettings()).close()
    with pytest.raises(ConfigError, match="ledger_older"):
        make.store(tmp_path, Roster(), StoreSettings())


def test_own_texts_replace_those_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "en.yaml").write_text("texts: {fan_wearing_out: {text: 'Ours.', answers: [call]}}\n")
    held = make.texts(Settings.model_validate({"outreach": {"texts": str(tmp_path)}}).outreach)

    composed = compose(held, "fan_wearing_out", "en", {}, sender="Acme", device_type="router")
    other = compose(held, "wifi_weak", "en", {}, sender="Acme", device_type="router")
    assert composed.text.startswith("Acme: Ours.")
    assert "Wi-Fi" in other.text
    with pytest.raises(ConfigError, match="no folder"):
        make.texts(Settings.model_validate({"outreach": {"texts": str(tmp_path / "none")}}).outreach)


def test_every_job_has_a_name_of_its_own_and_an_interval() -> None:
    settings = Settings.model_validate({})

    assert len({job.name for job in JOBS}) == len(JOBS)
    assert all(duration_s(job.every(settings)) >= 60 for job in JOBS)
