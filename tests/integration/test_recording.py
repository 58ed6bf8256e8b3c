from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from gateway.errors import ConfigError
from gateway.services.importers import IMPORTERS, backblaze
from gateway.services.importers.table import read_csv
from gateway.services.recording import open_recording

HOUR_MS = 3_600_000
T0 = 1_700_000_000_000 // HOUR_MS * HOUR_MS
EXCERPT = Path(__file__).parents[2] / "examples" / "backblaze"


def write(folder, **tables):
    (folder / "fleet.json").write_text(json.dumps({"name": "two lamps", "window_ms": HOUR_MS}))
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


REGISTRY = "device,type,zone\nlamp-1,lamp,Europe/Paris\nlamp-2,lamp,\n"


def samples_of(recording):
    blocks = list(recording.blocks())
    roster = recording.roster
    return blocks, [
        (roster.devices[roster.series_device[s]].device_id, roster.metrics[roster.series_metric[s]], int(t) - T0, v)
        for block in blocks
        for s, t, v in zip(block.series, block.t_ms, block.value, strict=True)
    ]


def test_long_and_wide_tables_give_the_same_samples(tmp_path):
    (tmp_path / "long").mkdir()
    (tmp_path / "wide").mkdir()
    long = f"device,t_ms,metric,value\nlamp-2,{T0 + 5},volts,12.5\nlamp-1,{T0},celsius,40\nlamp-1,{T0},volts,12\n"
    wide = f"device,t_ms,celsius,volts\nlamp-1,{T0},40,12\nlamp-2,{T0 + 5},,12.5\n"

    _, from_long = samples_of(open_recording(write(tmp_path / "long", registry=REGISTRY, telemetry=long)))
    _, from_wide = samples_of(open_recording(write(tmp_path / "wide", registry=REGISTRY, telemetry=wide)))

    assert sorted(from_long) == sorted(from_wide)
    assert ("lamp-2", "volts", 5, 12.5) in from_long
    assert len(from_long) == 3


def test_windows_come_in_order_with_empty_ones_between(tmp_path):
    late = T0 + 3 * HOUR_MS
    telemetry = f"device,t_ms,metric,value\nlamp-1,{late + 1},volts,3\nlamp-1,{late},volts,2\nlamp-1,{T0},volts,1\n"
    recording = open_recording(write(tmp_path, registry=REGISTRY, telemetry=telemetry))

    blocks, _ = samples_of(recording)

    assert [block.window for block in blocks] == [1, 2, 3, 4]
    assert [len(block) for block in blocks] == [1, 0, 0, 2]
    assert [block.received_ms for block in blocks] == [T0 + n * HOUR_MS for n in (1, 2, 3, 4)]
    assert blocks[3].value.tolist() == [2.0, 3.0]


def test_log_lines_and_births_come_in_their_window(tmp_path):
    logs = f'device,t_ms,severity,source,text\nlamp-2,{T0 + HOUR_MS},error,driver,"broken, ""quoted"""\n'
    telemetry = f"device,t_ms,metric,value\nlamp-1,{T0},volts,1\n"
    recording = open_recording(write(tmp_path, registry=REGISTRY, telemetry=telemetry, logs=logs))

    first, second = recording.blocks()

    assert [birth.device_id for birth in first.births] == ["lamp-1"]
    assert [birth.device_id for birth in second.births] == ["lamp-2"]
    assert second.logs.text == ('broken, "quoted"',)
    assert second.logs.severity.tolist() == [3]


def test_the_registry_fills_devices_and_outcomes_are_kept_apart(tmp_path):
    failures = f"device,t_ms,component\nlamp-2,{T0 + 9},driver\nlamp-1,{T0 + 5},bulb\n"
    recording = open_recording(write(tmp_path, registry=REGISTRY, failures=failures))

    occasions = recording.failures()

    assert [device.zone for device in recording.roster.devices] == ["Europe/Paris", "UTC"]
    assert occasions.component == ("bulb", "driver")
    assert occasions.device.tolist() == [0, 1]
    assert len(recording.service()) == 0


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ({}, "no registry"),
        ({"registry": "type\nlamp\n"}, "lacks device"),
        ({"registry": "device,type\na,lamp\na,lamp\n"}, "device number 1"),
        ({"registry": REGISTRY, "telemetry": f"device,t_ms,metric,value\nlamp-9,{T0},volts,1\n"}, "lamp-9"),
        ({"registry": REGISTRY, "telemetry": "device,metric,value\nlamp-1,volts,1\n"}, "lacks t_ms"),
        ({"registry": REGISTRY, "telemetry": "device,t_ms,volts\nlamp-1,noon,1\n"}, "noon"),
        ({"registry": REGISTRY}, "neither telemetry nor logs"),
    ],
)
def test_a_broken_folder_is_refused_with_what_is_wrong(tmp_path, tables, says):
    folder = write(tmp_path, **tables)

    with pytest.raises(ConfigError, match=says):
        list(open_recording(folder).blocks())


def test_a_folder_that_is_no_recording_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="recording_missing"):
        open_recording(tmp_path)


def test_the_excerpt_of_real_disks_reads_the_same_each_time():
    first, second = ([*open_recording(EXCERPT).blocks()] for _ in range(2))

    assert sum(len(block) for block in first) > 10_000
    assert sum(len(block.births) for block in first) == 300
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.value, other.value)
        np.testing.assert_array_equal(one.series, other.series)


def test_the_excerpt_names_its_source():
    recording = open_recording(EXCERPT)

    assert "Backblaze" in recording.source
    assert recording.change_rows
    assert len(recording.failures()) == 100


@pytest.mark.parametrize(
    ("name", "folder", "registry"), [("backblaze", "backblaze", "devices"), ("azure", "azure_pdm", "machines")]
)
def test_importers_keep_every_device_and_failure(shared_data, tmp_path, name, folder, registry):
    source = shared_data / "failures" / folder
    if not source.is_dir():
        pytest.skip(f"{source} is not here")

    count = IMPORTERS[name](source, tmp_path)

    recording = open_recording(tmp_path)
    assert count == len(recording.roster.devices) == len(read_csv(source / f"{registry}.csv.gz"))
    assert len(recording.failures()) == len(read_csv(source / "failures.csv.gz"))


def test_recorded_births_are_taken_instead_of_first_rows(tmp_path):
    folder = tmp_path / "fleet"
    folder.mkdir()
    (folder / "fleet.json").write_text('{"window_ms": 1000}')
    (folder / "registry.csv").write_text("device,type,firmware\na,lamp,1.0\n")
    (folder / "telemetry.csv").write_text("device,t_ms,lamp_volts\na,500,1\na,2500,1\n")
    (folder / "births.csv").write_text("device,t_ms,boot,firmware,reboot_reason\na,2100,5,2.0,watchdog\na,400,4,,\n")

    births = [birth for block in open_recording(folder).blocks() for birth in block.births]

    assert [(b.t_ms, b.boot, b.firmware, b.reboot_reason) for b in births] == [
        (400, 4, "1.0", ""),
        (2100, 5, "2.0", "watchdog"),
    ]


def test_a_recording_says_how_far_ahead_its_risk_looks(tmp_path):
    (tmp_path / "registry.csv").write_text("device,type\na,lamp\n")
    for said, ms in (("{}", 30 * 86_400_000), ('{"risk_horizon_ms": 7200000}', 7_200_000)):
        (tmp_path / "fleet.json").write_text(said)
        assert open_recording(tmp_path).risk_horizon_ms == ms

    (tmp_path / "fleet.json").write_text('{"risk_horizon_ms": 0}')
    with pytest.raises(ConfigError, match="risk_horizon_ms is 0"):
        open_recording(tmp_path)


def test_disks_that_vanish_without_a_failure_are_departures(tmp_path):
    tables = {
        "devices": "device,model\na,X\nb,X\nc,X\n",
        "events": "time,device," + ",".join(backblaze.METRICS) + "".join(f"\n0,{d},{',' * 9}" for d in "abc") + "\n",
        "failures": "device,time\na,48\n",
        "exposure": "device,start,end\na,0,48\nb,0,24\nb,30,72\nc,0,96\n",
    }
    for stem, text in tables.items():
        (tmp_path / f"{stem}.csv.gz").write_bytes(gzip.compress(text.encode()))
    backblaze.convert(tmp_path, tmp_path / "fleet")

    left = open_recording(tmp_path / "fleet").departures()

    assert left.device.tolist() == [1]
    assert left.t_ms.tolist() == [backblaze.START_MS + 72 * backblaze.HOUR_MS]
