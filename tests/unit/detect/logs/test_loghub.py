"""The figures on public logs, where the data are at hand: they must not fall."""

import os
from pathlib import Path

import pytest

from bench.detection.logs import run

SHARED = Path(os.environ.get("BEFOREHAND_SHARED", Path(__file__).parents[5] / "shared")) / "data"


@pytest.mark.skipif(not (SHARED / "logs" / "loghub_2k").is_dir(), reason="the Loghub data are not on this machine")
def test_templates_reach_what_is_asked(monkeypatch):
    monkeypatch.setattr("bench.detection.logs._next_alarm", lambda *_, **__: [])

    rows = {row.key: row for row in run(SHARED)}

    below = [key for key, row in rows.items() if row.reach is not None and row.ours < row.reach]
    assert below == []
    assert rows["logs.sessions.f1"].ours > 0.6
