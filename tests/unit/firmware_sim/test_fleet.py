import json
import re
from collections import Counter
from dataclasses import fields
from pathlib import Path

import numpy as np
import phonenumbers
import pyarrow.parquet
import pytest

import rules
from edge.wire import DEVICE_ID
from firmware_sim import MODES, Fleet, Opened, Truth, export, score, write_truth
from firmware_sim.demo import Config
from firmware_sim.region import DAY_MS, HOUR_MS, REGIONS

START, END = 1_760_000_000_000, 1_760_000_000_000 + 30 * DAY_MS
DOCS = Path(__file__).parents[3] / "docs" / "simulator.md"


def test_one_seed_gives_one_world_and_another_seed_another() -> None:
    def world(seed: int) -> list[object]:
        made = Fleet(seed, 20, start_ms=START, end_ms=END)
        values = [part.columns["uptime_s"].sum() for part in made.telemetry(START, START + DAY_MS, HOUR_MS)]
        return [made.truth(), made.registry(), made.lines(START, START + DAY_MS), values]

    assert world(5) == world(5)
    assert all(one != other for one, other in zip(world(5), world(6), strict=True))


def test_every_mode_befalls_a_fleet_of_200_and_one_device_breaks_once() -> None:
    made = Fleet(1, 200, start_ms=START, end_ms=END)

    counts = Counter(held.mode for held in made.truth())

    assert set(counts) == {mode.name for mode in MODES}
    assert max(Counter(held.device for held in made.truth()).values()) == 1
    types = {unit.device: unit.type for unit in made.registry()}
    allowed = {mode.name: mode.types for mode in MODES}
    assert all(types[held.device] in allowed[held.mode] for held in made.truth())
    assert all(START < held.onset_ms < held.noticed_ms <= held.failed_ms for held in made.truth())


def test_owners_speak_two_languages_in_several_zones_and_no_number_is_anyones() -> None:
    units = Fleet(1, 200, start_ms=START, end_ms=END).registry()

    assert {unit.owner.language for unit in units} == {"en", "zh"}
    assert len({unit.owner.zone for unit in units}) >= 5
    assert len({unit.device for unit in units}) == 200
    for unit in units:
        assert DEVICE_ID.fullmatch(unit.device)
        assert phonenumbers.is_valid_number(phonenumbers.parse(unit.owner.phone))
        assert unit.owner.phone in {number for region in REGIONS for number in region.numbers}


def test_a_bad_firmware_shows_in_the_registry_from_its_roll_out_on() -> None:
    made = Fleet(1, 200, start_ms=START, end_ms=END)
    held = next(held for held in made.faults if held.mode == "bad_firmware")

    assert made.firmware_at(held.device, held.onset_ms - 1) != "4.3.0"
    assert made.firmware_at(held.device, held.onset_ms) == "4.3.0"
    assert made.registry()[held.device].firmware == "4.3.0"


def test_the_demo_has_faults_that_ripen_within_minutes_for_owners_of_both_languages() -> None:
    made = Fleet(1, 200, start_ms=START, end_ms=END, live_ms=END)
    ripe = [held for held in made.faults if END < held.failed_ms <= END + 300_000]

    assert {"battery_ageing", "fan_bearing", "thermal_runaway", "refrigerant_leak"} <= {held.mode for held in ripe}
    assert {made.registry()[held.device].owner.language for held in ripe} == {"en", "zh"}
    for held in ripe:
        assert 0.0 < held.progress(np.array([END]))[0] < 0.9
        assert held.progress(np.array([END + 300_000]))[0] == 1.0


@pytest.mark.parametrize(
    ("mode", "alert"),
    [
        ("battery_ageing", "BatteryNearlyEmpty"),
        ("fan_bearing", "FanStopped"),
        ("thermal_runaway", "RouterOverheating"),
        ("refrigerant_leak", "RefrigerantLeaking"),
    ],
)
def test_what_ripens_crosses_its_rule_within_two_minutes(mode: str, alert: str) -> None:
    made = Fleet(1, 200, start_ms=START, end_ms=END, live_ms=END)
    rule = rules.load().rule(alert)
    held = next(held for held in made.faults if held.mode == mode and END < held.failed_ms < END + 300_000)
    kind = made.type[held.device]
    row = int(np.flatnonzero(np.flatnonzero([each == kind for each in made.type]) == held.device)[0])
    t_ms = np.arange(END, END + 120_000, 10_000)

    columns = made.measured(kind, t_ms).columns
    unknown = np.full(t_ms.size, np.nan)
    crossed = rule.expr.holds(lambda name: columns[name][row] if name in columns else unknown, t_ms.size)

    assert crossed[-1]


def test_an_export_is_a_recording_without_the_truth(tmp_path: Path) -> None:
    made = Fleet(2, 30, start_ms=END - 6 * DAY_MS, end_ms=END)

    export(tmp_path / "fleet", made, step_ms=HOUR_MS)
    write_truth(tmp_path / "truth.csv", made.truth())

    names = {path.name for path in (tmp_path / "fleet").iterdir()}
    kinds = ("smart_lock", "router", "heat_pump")
    tables = {"fleet.json", "registry.csv", "births.csv", "logs.parquet"}
    assert names == tables | {f"telemetry-{kind}.parquet" for kind in kinds}
    assert json.loads((tmp_path / "fleet" / "fleet.json").read_text())["window_ms"] == HOUR_MS
    table = pyarrow.parquet.read_table(tmp_path / "fleet" / "telemetry-router.parquet")
    assert table.column_names[:2] == ["device", "t_ms"]
    assert 8 * 144 < table.num_rows <= 10 * 144
    sent = b"".join(path.read_bytes() for path in (tmp_path / "fleet").iterdir())
    metrics = rb"(?!_ratio)"  # flash_wear_ratio is a metric
    assert not [mode.name for mode in MODES if re.search(mode.name.encode() + metrics, sent)]
    assert (tmp_path / "truth.csv").read_text().count("\n") == len(made.truth()) + 1


def truth(device: str, mode: str = "disk_filling") -> Truth:
    return Truth(device=device, mode=mode, onset_ms=10 * HOUR_MS, noticed_ms=50 * HOUR_MS, failed_ms=60 * HOUR_MS)


def test_the_score_counts_recall_false_tickets_and_lead_time() -> None:
    held = [truth("a"), truth("b"), truth("c"), truth("d", "bad_firmware"), truth("e", "bad_firmware")]
    tickets = [
        Opened("a", 20 * HOUR_MS, "disk"),
        Opened("a", 5 * HOUR_MS, "memory"),  # before the onset: false
        Opened("b", 55 * HOUR_MS, "memory"),  # after the owner noticed, and of another cause
        Opened("e", 30 * HOUR_MS, "firmware"),  # one of the cohort is enough
        Opened("f", 30 * HOUR_MS, "disk"),  # nothing is wrong there
    ]

    report = score(held, tickets, devices=10, start_ms=0, end_ms=720 * HOUR_MS)

    assert (report.due, report.tickets, report.false_tickets) == (4, 5, 2)
    assert report.recall == 0.75
    assert report.beforehand_ratio == 0.5
    assert report.device_months == pytest.approx(10 - 5 * 710 / 720, abs=0.01)
    disk, firmware = sorted(report.modes, key=lambda mode: mode.mode != "disk_filling")
    assert (disk.due, disk.found, disk.beforehand, disk.right_cause) == (3, 2, 1, 1)
    assert (disk.median_lead_hours, disk.shortest_lead_hours) == (12.5, -5.0)
    assert (firmware.due, firmware.found, firmware.median_lead_hours) == (1, 1, 20.0)
    assert report.false_causes == (("disk", 1), ("memory", 1))
    assert "2 of 5 tickets false" in report.table()[-1]


def test_a_ticket_of_no_device_is_true_where_a_bad_firmware_had_begun_and_is_named() -> None:
    tickets = [Opened("", t * HOUR_MS, cause) for t, cause in ((5, "firmware x"), (30, "firmware x"), (30, "silent y"))]

    report = score([truth("a", "bad_firmware")], tickets, devices=10, start_ms=0, end_ms=720 * HOUR_MS)

    assert report.false_causes == (("firmware x", 1), ("silent y", 1))


def test_what_no_one_could_have_noticed_yet_is_not_due() -> None:
    report = score([truth("a")], [Opened("a", 20 * HOUR_MS, "disk")], devices=1, start_ms=0, end_ms=40 * HOUR_MS)

    assert (report.due, report.recall, report.false_tickets) == (0, None, 0)


def test_modes_scores_and_settings_are_documented() -> None:
    text = DOCS.read_text()
    report = score([], [], devices=1, start_ms=0, end_ms=HOUR_MS).to_json()
    settings = {one.name for one in fields(Config)}
    keys = set(report) | settings | {"mode", "found", "beforehand", "right_cause", "shortest_lead_hours"}

    for name in keys | {mode.name for mode in MODES}:
        assert f"`{name}`" in text
