"""Replays: byte for byte the same, alone as among others, in one block as in many."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rules
from gateway.errors import ConfigError
from gateway.ledger import caseview
from gateway.prognosis import Outlook
from gateway.services.judgement import Judgement
from gateway.services.recording import open_recording
from gateway.services.replay import Replayed, replay
from tests.unit.services.house import HOUR, RULES, House

T0 = 1_767_225_600_000  # 2026-01-01
HOURS = 24 * 6


def heat(device: int, hour: int) -> float:
    """Device 0 heats up slowly, device 1 in bursts, device 2 never."""
    daily = 2.0 * ((hour + 5 * device) % 24) / 24
    return {0: 20 + 0.3 * hour, 1: 80.0 if hour in (60, 61, 130) else 21.0}.get(device, 22.0) + daily


def recorded(folder: Path, devices: tuple[int, ...] = (0, 1, 2), *, window_ms: int = HOUR) -> Path:
    folder.mkdir()
    (folder / "rules.yaml").write_text(RULES)
    (folder / "fleet.json").write_text(json.dumps({"name": "three locks", "window_ms": window_ms}))
    registry = "".join(f"d{n},smart_lock,Europe/Berlin\n" for n in devices)
    (folder / "registry.csv").write_text("device,type,zone\n" + registry)
    samples = [f"d{n},{T0 + hour * HOUR},heat_celsius,{heat(n, hour)}\n" for n in devices for hour in range(HOURS)]
    (folder / "telemetry.csv").write_text("device,t_ms,metric,value\n" + "".join(samples))
    lines = "".join(f"d{n},{T0 + hour * HOUR},error,app,hot {hour}\n" for n in devices for hour in range(0, HOURS, 50))
    (folder / "logs.csv").write_text("device,t_ms,severity,source,text\n" + lines)
    return folder


def played(folder: Path, **more) -> Replayed:
    return replay(open_recording(folder), rules.load([folder / "rules.yaml"]), **more)


def told(result: Replayed, *, of: str = "") -> list[tuple]:
    return [
        (t.device_id, t.opened_ms, result.causes[t.ticket_id], t.title, t.evidence)
        for t in result.tickets
        if of in ("", t.device_id)
    ]


@pytest.mark.timeout(120)
def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "fleet")
    written = []
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "gateway", "replay", str(folder), "--json", str(tmp_path / f"{seed}.json")]
        done = subprocess.run(
            [*command, "--rules", str(folder / "rules.yaml")], env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        written.append((tmp_path / f"{seed}.json").read_bytes())

    assert written[0] == written[1]
    document = json.loads(written[0])
    assert {ticket["device"] for ticket in document["tickets"]} == {"d0", "d1"}
    assert document["values"] == 3 * HOURS
    assert set(document["tickets"][0]) == {"device", "t_ms", "cause", "title", "priority", "why", "forecast"}


def test_a_device_has_the_same_tickets_alone_as_among_others(tmp_path: Path) -> None:
    together = played(recorded(tmp_path / "all"))
    for number in range(3):
        alone = played(recorded(tmp_path / f"only{number}", (number,)))
        assert told(alone) == told(together, of=f"d{number}")

    assert {device for device, *_ in told(together)} == {"d0", "d1"}


def test_the_order_of_rows_and_devices_changes_nothing(tmp_path: Path) -> None:
    straight = recorded(tmp_path / "straight")
    turned = recorded(tmp_path / "turned", (2, 1, 0))
    table = (turned / "telemetry.csv").read_text().splitlines(keepends=True)
    (turned / "telemetry.csv").write_text("".join([table[0], *reversed(table[1:])]))

    assert told(played(turned)) == told(played(straight))


def test_one_window_in_two_blocks_comes_to_the_same(tmp_path: Path) -> None:
    whole, split = House(tmp_path / "whole"), House(tmp_path / "split")
    for hour in range(HOURS):
        values, at = {n: heat(n, hour) for n in range(3)}, T0 + hour * HOUR // 2
        whole.pass_(values, at=at)
        split.pass_({0: values[0]}, at=at)
        split.pass_({1: values[1], 2: values[2]}, at=at)
    heats = []
    for house in (whole, split):
        heats.append(
            [
                (d, a.fired_ms, a.resolved_ms, a.value)
                for d in ("d0", "d1")
                for a in caseview.alerts_of_device(house.engine, d)
                if a.rule == "TooHot"
            ]
        )
        house.close()

    assert len(heats[0]) >= 3
    assert heats[0] == heats[1]


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    shares: list[float] = []
    played(recorded(tmp_path / "fleet", (2,)), progress=lambda share, _at_ms: shares.append(share))

    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, scratch = recorded(tmp_path / "fleet", (2,)), tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    played(folder)
    (folder / "telemetry.csv").write_text("device,metric,value\nd2,heat_celsius,1\n")
    with pytest.raises(ConfigError, match="recording_malformed"):
        played(folder)

    assert list(scratch.iterdir()) == []


def test_warnings_and_service_are_part_of_a_devices_past_once_their_time_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, told = recorded(tmp_path / "fleet"), []
    after = T0 + 7 * HOUR
    (folder / "service.csv").write_text(f"device,t_ms,component\nd1,{after + 1},fan\nd0,{after + 2},pump\n")
    known = Judgement.served

    def served(self, device, t_ms, component) -> None:
        known(self, device, t_ms, component)
        told.append((self.facts.now_ms, component, device.tolist(), self.outlook.features.columns[:]))

    monkeypatch.setattr(Judgement, "served", served)
    played(folder)

    assert [row[:3] for row in told] == [(after, "fan", [1]), (after, "pump", [0])]
    assert sum(column.startswith("code:") for column in told[-1][3]) == 1
    assert told[-1][3][-2:] == ["service:fan", "service:pump"]


def test_it_learns_anew_when_half_as_many_failures_more_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, learned = recorded(tmp_path / "fleet"), []
    rows = "".join(f"d{n % 3},{T0 + hour * HOUR}\n" for n, hour in enumerate(range(20, 36)))
    (folder / "failures.csv").write_text("device,t_ms\n" + rows)
    monkeypatch.setattr(Outlook, "train", lambda _self, now_ms: learned.append((now_ms - T0) // HOUR))
    played(folder)

    assert learned == [1, 29, 34]
