"""The whole judgement against a fleet whose faults are known: `beforehand sim score`, small, held to a floor."""

from __future__ import annotations

from pathlib import Path

import pytest

import rules
from firmware_sim import Fleet, Opened, export, score
from firmware_sim.region import DAY_MS, HOUR_MS
from gateway.services.recording import open_recording
from gateway.services.replay import replay

END_MS = 1_790_000_000_000
START_MS = END_MS - 36 * DAY_MS
DEVICES, SEED = 36, 3


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_most_faults_are_told_before_the_owner_notices_and_hardly_a_ticket_is_false(tmp_path: Path) -> None:
    fleet = Fleet(SEED, DEVICES, start_ms=START_MS, end_ms=END_MS, faulty_ratio=0.6)
    export(tmp_path, fleet, step_ms=1_800_000, window_ms=4 * HOUR_MS)

    played = replay(open_recording(tmp_path), rules.load())

    opened = [Opened(t.device_id, t.opened_ms, played.causes[t.ticket_id]) for t in played.tickets]
    report = score(fleet.truth(), opened, devices=DEVICES, start_ms=START_MS, end_ms=END_MS)
    assert report.due >= 8
    assert report.recall is not None
    assert report.recall >= 0.85, report.table()
    assert report.false_per_100_device_months <= 3.5, report.table()  # one ticket at most
    assert report.median_lead_hours is not None
    assert report.median_lead_hours >= 48, report.table()
