"""Settings name parts; a name that is none is told with those that are."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.app import make
from gateway.app.jobs import JOBS
from gateway.config import DeskSettings, Settings, StoreSettings, duration_s
from gateway.errors import ConfigError
from gateway.model import Roster
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


def test_every_job_has_a_name_of_its_own_and_an_interval() -> None:
    settings = Settings.model_validate({})

    assert len({job.name for job in JOBS}) == len(JOBS)
    assert all(duration_s(job.every(settings)) >= 60 for job in JOBS)
