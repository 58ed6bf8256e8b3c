"""Each fault changes what it should, when it should, and nothing before its onset."""

import numpy as np
import pytest

from edge.wire import METRICS
from firmware_sim import MODES, FaultMode, Fleet, plan
from firmware_sim.fault import TYPES, fault
from firmware_sim.region import DAY_MS, HOUR_MS

START, END = 1_760_000_000_000, 1_760_000_000_000 + 30 * DAY_MS
ONSET = START + 15 * DAY_MS

MOVES = {
    "battery_ageing": {"battery_health_ratio": -0.2, "battery_volts": -0.2, "battery_resistance_ohms": 0.2},
    "motor_wear": {"motor_current_amperes": 0.2, "bolt_travel_s": 0.4, "lock_jams_total": 10},
    "memory_leak": {"memory_available_bytes": -5e7, "heap_free_bytes": -4e4},
    "flash_wear": {"flash_wear_ratio": 0.2},
    "disk_filling": {"disk_free_ratio": -0.2},
    "fan_bearing": {"fan_vibration_meters_per_second_squared": 1.0, "fan_speed_rpm": -200},
    "thermal_runaway": {"temperature_celsius": 15.0, "cpu_busy_ratio": 0.1},
    "wifi_decay": {"wifi_signal_dbm": -8.0, "wifi_retry_ratio": 0.2},
    "refrigerant_leak": {"superheat_kelvin": 5.0, "suction_pressure_pascals": -5e4, "performance_ratio": -0.4},
    "compressor_wear": {"compressor_vibration_meters_per_second_squared": 2.0, "compressor_current_amperes": 0.3},
    "sensor_drift": {"supply_temperature_celsius": 4.0},
    "sensor_stuck": {},
    "clock_drift": {"clock_offset_s": None},
    "reboot_loop": {"boots_total": 10, "uptime_s": -1e4},
    "bad_firmware": {"cpu_busy_ratio": 0.15, "memory_available_bytes": -2e7, "wan_loss_ratio": 0.005},
    "certificate_expiry": {},
    "device_silent": {},
}  # mean change in the last third before failure; None: either way; metrics a type does not have are passed over
CASES = [(mode, kind) for mode in MODES for kind in mode.types]


def fleet(*faults: tuple[int, str]) -> Fleet:
    """Twelve sound devices and the given faults, of twelve days from ONSET on."""
    made = Fleet(7, 12, start_ms=START, end_ms=END, faulty_ratio=0.0)
    modes = {mode.name: mode for mode in MODES}
    made.faults = tuple(fault(device, modes[name], ONSET, 12.0) for device, name in faults)
    return made


@pytest.mark.parametrize(("mode", "kind"), CASES, ids=lambda part: getattr(part, "name", part))
def test_a_fault_changes_its_metrics_after_its_onset_and_nothing_else(mode: FaultMode, kind: str) -> None:
    row, t_ms = 1, np.arange(START, END - 3 * DAY_MS, HOUR_MS // 2)
    device = int(np.flatnonzero([held == kind for held in fleet().type])[row])
    sound, broken = fleet(), fleet((device, mode.name))
    if mode.name in {"reboot_loop", "memory_leak", "bad_firmware"}:
        broken.boots = plan.boots(7, broken.built_ms, broken.faults, END)

    before, after = sound.measured(kind, t_ms).columns, broken.measured(kind, t_ms).columns

    early = t_ms < ONSET
    late = (t_ms > ONSET + 7 * DAY_MS) & (t_ms < ONSET + 11 * DAY_MS)
    for metric, values in after.items():
        others = np.arange(4) != row
        np.testing.assert_array_equal(values[others], before[metric][others])
        if metric != "certificate_left_s":  # whether renewal will fail decides when it was due
            np.testing.assert_array_equal(values[row, early], before[metric][row, early])
        if metric in MOVES[mode.name]:
            change, wanted = (values[row, late] - before[metric][row, late]).mean(), MOVES[mode.name][metric]
            assert change / wanted > 1.0 if wanted else abs(change) > 20.0, (metric, change)
    moved = set(MOVES[mode.name]) & set(after)
    assert moved or mode.name in {"sensor_stuck", "certificate_expiry", "device_silent"}


def test_a_stuck_sensor_reads_one_value_and_a_silent_device_none() -> None:
    t_ms = np.arange(ONSET, ONSET + DAY_MS, HOUR_MS)

    stuck = fleet((2, "sensor_stuck")).measured("heat_pump", t_ms).columns["supply_temperature_celsius"][0]
    silent = fleet((2, "device_silent")).measured("heat_pump", t_ms).columns

    assert np.unique(stuck).size == 1
    assert all(np.isnan(values[0]).all() for values in silent.values())
    assert not any(np.isnan(values[1]).any() for values in silent.values())


def test_a_certificate_runs_out_only_where_renewal_fails() -> None:
    t_ms = np.arange(START, END, HOUR_MS)

    left = fleet((1, "certificate_expiry")).measured("router", t_ms).columns["certificate_left_s"] / 86_400

    assert left[0].min() < 18
    assert left[1:].min() >= 30
    assert left.max() <= 90


@pytest.mark.parametrize("kind", TYPES)
def test_every_metric_is_listed_and_within_its_range(kind: str) -> None:
    measured = Fleet(3, 60, start_ms=START, end_ms=END).measured(kind, np.arange(START, END, HOUR_MS)).columns

    assert 12 <= len(measured) <= 18
    for name, values in measured.items():
        known = METRICS[name]
        assert known.low <= np.nanmin(values), name
        assert np.nanmax(values) <= known.high, name


@pytest.mark.parametrize("kind", TYPES)
def test_counters_only_grow(kind: str) -> None:
    made = Fleet(3, 30, start_ms=START, end_ms=END, faulty_ratio=0.0)

    for name, values in made.measured(kind, np.arange(START, END, HOUR_MS // 4)).columns.items():
        if name.endswith("_total"):
            assert (np.diff(values) >= 0).all(), name


def test_homes_are_busier_in_the_evening_than_at_night_and_weather_is_shared_by_a_town() -> None:
    made = Fleet(3, 60, start_ms=START, end_ms=END, faulty_ratio=0.0)
    t_ms = np.arange(START, START + 14 * DAY_MS, HOUR_MS)
    scene = made.scene("heat_pump", t_ms)
    hour = scene.local_ms() // HOUR_MS % 24

    activity, outdoor = scene.activity(), scene.outdoor()

    assert activity[(hour >= 18) & (hour <= 21)].mean() > 5 * activity[(hour >= 1) & (hour <= 4)].mean()
    alike = [
        np.corrcoef(outdoor[a], outdoor[b])[0, 1]
        for a in range(6)
        for b in range(a)
        if scene.region[a] == scene.region[b]
    ]
    assert min(alike) > 0.99
    apart = {int(region): outdoor[row] for row, region in enumerate(scene.region)}
    first, second, *_ = apart.values()
    assert abs(first - second).mean() > 1.0


def test_history_and_live_running_are_one() -> None:
    made = Fleet(3, 12, start_ms=START, end_ms=END, live_ms=END)
    t_ms = np.arange(START, START + DAY_MS, HOUR_MS // 4)

    for kind in TYPES:
        whole = made.measured(kind, t_ms).columns
        for at in (0, 17, 95):
            moment = made.measured(kind, t_ms[at : at + 1]).columns
            for name, values in moment.items():
                np.testing.assert_array_equal(values[:, 0], whole[name][:, at])


def test_log_lines_are_the_same_however_time_is_cut() -> None:
    made = Fleet(3, 30, start_ms=START, end_ms=END)
    middle = START + 20 * DAY_MS + 1_234_567

    whole = made.lines(START + 19 * DAY_MS, START + 21 * DAY_MS)
    parts = made.lines(START + 19 * DAY_MS, middle) + made.lines(middle, START + 21 * DAY_MS)

    assert sorted(parts) == whole
    assert len(whole) > 500


def test_faults_show_in_the_logs_after_their_onset_only() -> None:
    made = fleet((1, "thermal_runaway"))

    lines = [line for line in made.lines(START, END) if line.source == "thermal"]

    assert {line.number for line in lines} == {1}
    assert min(line.t_ms for line in lines) > ONSET
    assert max(line.t_ms for line in lines) < made.faults[0].failed_ms  # it has switched itself off
