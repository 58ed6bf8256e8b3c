"""The metrics we know: name, unit, the range a sane device stays in, and how many digits are worth sending.

A name ends in its unit (Prometheus' way, base units); a counter ends in `_total`, is exact, and starts anew at each
boot of what counts. A metric that is not listed is welcome: its unit comes with the device's birth, it has no range,
and it is sent with `DEFAULT_DIGITS`. The compression dictionary is a constant of its own, so a new name costs no
compatibility.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

DEFAULT_DIGITS = 5
MAX_NAME = 64
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

BYTES, FAST = 2.0**53, 1e12  # whole numbers a float holds exactly; a terabyte a second


class Metric(NamedTuple):
    """What is known of one metric. `low` and `high` are what the quantity can physically be, both included."""

    unit: str
    low: float
    high: float
    digits: int  # significant digits sent; 0: exact (counters)
    title: str  # for people, without the unit


def _ratio(title: str, high: float = 1.0) -> Metric:
    return Metric("ratio", 0.0, high, 3, title)


def _bytes(title: str) -> Metric:
    return Metric("bytes", 0.0, BYTES, 4, title)


def _celsius(title: str, low: float = -60.0, high: float = 150.0) -> Metric:
    return Metric("celsius", low, high, 4, title)


def _rate(title: str) -> Metric:
    return Metric("bytes_per_second", 0.0, FAST, 3, title)


def _total(title: str) -> Metric:
    return Metric("total", 0.0, BYTES, 0, title)


def _count(title: str) -> Metric:
    return Metric("count", 0.0, 1e9, 0, title)


def _seconds(title: str, low: float = 0.0, high: float = 1e10, digits: int = 4) -> Metric:
    return Metric("s", low, high, digits, title)


HOST: dict[str, Metric] = {
    "cpu_busy_ratio": _ratio("CPU in use"),
    "cpu_iowait_ratio": _ratio("CPU waiting for disks"),
    "load_1m_tasks": Metric("tasks", 0.0, 1e5, 3, "Load, one minute"),
    "memory_available_bytes": _bytes("Memory available"),
    "memory_available_ratio": _ratio("Memory available, share"),
    "swap_used_bytes": _bytes("Swap in use"),
    "heap_free_bytes": _bytes("Heap free"),
    "disk_free_bytes": _bytes("Disk free"),
    "disk_free_ratio": _ratio("Disk free, share"),
    "disk_inodes_free_ratio": _ratio("Inodes free, share"),
    "disk_read_bytes_per_second": _rate("Disk reads"),
    "disk_write_bytes_per_second": _rate("Disk writes"),
    "disk_busy_ratio": _ratio("Disk busy"),
    "disk_io_errors_total": _total("Disk errors"),
    "disk_reallocated_sectors": Metric("sectors", 0.0, BYTES, 0, "Sectors moved"),
    "disk_pending_sectors": Metric("sectors", 0.0, BYTES, 0, "Sectors waiting to be moved"),
    "disk_offline_uncorrectable_sectors": Metric("sectors", 0.0, BYTES, 0, "Sectors beyond repair"),
    "disk_uncorrectable_errors_total": _total("Errors not corrected"),
    "flash_wear_ratio": _ratio("Flash life used", 2.0),
    "temperature_celsius": _celsius("Temperature"),
    "network_receive_bytes_per_second": _rate("Network in"),
    "network_transmit_bytes_per_second": _rate("Network out"),
    "network_errors_total": _total("Network errors"),
    "network_drops_total": _total("Network drops"),
    "wifi_signal_dbm": Metric("dbm", -120.0, 0.0, 3, "Wi-Fi signal"),
    "wifi_quality_ratio": _ratio("Wi-Fi link quality"),
    "wifi_retries_total": _total("Wi-Fi retries"),
    "battery_level_ratio": _ratio("Battery charge"),
    "battery_health_ratio": _ratio("Battery health", 1.2),
    "battery_volts": Metric("volts", 0.0, 1000.0, 4, "Battery voltage"),
    "battery_current_amperes": Metric("amperes", -1000.0, 1000.0, 4, "Battery current"),
    "battery_temperature_celsius": _celsius("Battery temperature"),
    "uptime_s": _seconds("Uptime", digits=0),
    "process_count": _count("Processes"),
    "open_files_count": _count("Open files"),
    "boots_total": _total("Boots"),
    "clock_offset_s": _seconds("Clock error", low=-1e9, high=1e9),
}

AGENT: dict[str, Metric] = {
    "agent_memory_bytes": _bytes("Agent memory"),
    "agent_cpu_ratio": _ratio("Agent CPU", 64.0),
    "agent_buffer_bytes": _bytes("Buffer in use"),
    "agent_buffer_left_s": _seconds("Buffer lasts", digits=3),
    "agent_thinned_total": _total("Samples thinned"),
    "agent_dropped_full_total": _total("Batches dropped, buffer full"),
    "agent_dropped_corrupt_total": _total("Batches dropped, damaged"),
    "agent_dropped_disk_total": _total("Batches dropped, disk error"),
    "agent_dropped_log_rate_total": _total("Log lines over the rate"),
    "agent_dropped_bad_line_total": _total("Socket lines refused"),
    "agent_dropped_metrics_total": _total("Readings over 500 metrics"),
    "agent_sensor_failures_total": _total("Sensor failures"),
    "agent_republished_total": _total("Batches sent again"),
    "agent_reconnects_total": _total("Reconnects"),
}

SMART_LOCK: dict[str, Metric] = {
    "battery_resistance_ohms": Metric("ohms", 0.0, 1000.0, 3, "Battery inner resistance"),
    "motor_current_amperes": Metric("amperes", 0.0, 50.0, 3, "Motor current"),
    "bolt_travel_s": _seconds("Bolt travel time", high=600.0, digits=3),
    "lock_operations_total": _total("Lock operations"),
    "lock_jams_total": _total("Lock jams"),
    "keypad_failures_total": _total("Wrong codes"),
    "tamper_total": _total("Tamper alarms"),
    "ble_signal_dbm": Metric("dbm", -127.0, 20.0, 3, "Bluetooth signal"),
}

ROUTER: dict[str, Metric] = {
    "fan_speed_rpm": Metric("rpm", 0.0, 100000.0, 3, "Fan speed"),
    "fan_vibration_meters_per_second_squared": Metric("meters_per_second_squared", 0.0, 1000.0, 3, "Fan vibration"),
    "wan_latency_s": _seconds("Internet latency", high=600.0, digits=3),
    "wan_loss_ratio": _ratio("Internet loss"),
    "dns_latency_s": _seconds("DNS latency", high=600.0, digits=3),
    "wifi_clients_count": _count("Wi-Fi clients"),
    "wifi_noise_dbm": Metric("dbm", -120.0, 0.0, 3, "Wi-Fi noise"),
    "wifi_retry_ratio": _ratio("Wi-Fi retries, share"),
    "wifi_channel_busy_ratio": _ratio("Wi-Fi channel busy"),
    "conntrack_used_ratio": _ratio("Connection table used"),
    "wan_drops_total": _total("Internet drops"),
    "certificate_left_s": _seconds("Certificate lasts", low=-1e10),
}

HEAT_PUMP: dict[str, Metric] = {
    "outdoor_temperature_celsius": _celsius("Outdoor temperature", -90.0, 70.0),
    "indoor_temperature_celsius": _celsius("Indoor temperature"),
    "setpoint_temperature_celsius": _celsius("Set temperature"),
    "supply_temperature_celsius": _celsius("Supply temperature"),
    "return_temperature_celsius": _celsius("Return temperature"),
    "evaporator_temperature_celsius": _celsius("Evaporator temperature"),
    "discharge_temperature_celsius": _celsius("Discharge temperature", high=250.0),
    "suction_pressure_pascals": Metric("pascals", 0.0, 1e8, 4, "Suction pressure"),
    "discharge_pressure_pascals": Metric("pascals", 0.0, 1e8, 4, "Discharge pressure"),
    "water_pressure_pascals": Metric("pascals", 0.0, 1e8, 4, "Water pressure"),
    "superheat_kelvin": Metric("kelvin", -100.0, 200.0, 3, "Superheat"),
    "subcooling_kelvin": Metric("kelvin", -100.0, 200.0, 3, "Subcooling"),
    "compressor_current_amperes": Metric("amperes", 0.0, 1000.0, 3, "Compressor current"),
    "compressor_speed_hertz": Metric("hertz", 0.0, 1000.0, 3, "Compressor speed"),
    "compressor_vibration_meters_per_second_squared": Metric(
        "meters_per_second_squared", 0.0, 1000.0, 3, "Compressor vibration"
    ),
    "compressor_starts_total": _total("Compressor starts"),
    "power_watts": Metric("watts", 0.0, 1e6, 4, "Power taken"),
    "heat_output_watts": Metric("watts", -1e6, 1e6, 4, "Heat given"),
    "performance_ratio": _ratio("Coefficient of performance", 20.0),
    "water_flow_cubic_meters_per_second": Metric("cubic_meters_per_second", 0.0, 10.0, 3, "Water flow"),
    "valve_opening_ratio": _ratio("Expansion valve opening"),
    "defrosts_total": _total("Defrosts"),
}

METRICS: dict[str, Metric] = HOST | AGENT | SMART_LOCK | ROUTER | HEAT_PUMP


UNITS = tuple(sorted({metric.unit for metric in METRICS.values()}, key=len, reverse=True))  # longest first


def rounded(value: float, digits: int) -> int | float:
    """`value` with so many significant digits (0: as it is); whole numbers as int."""
    near = float(f"{value:.{digits}g}") if digits else float(value)
    return int(near) if near.is_integer() and abs(near) < BYTES else near


def digits_of(name: str) -> int:
    """Significant digits sent of a metric: the registry's, else exact for counters, else `DEFAULT_DIGITS`."""
    known = METRICS.get(name)
    if known is not None:
        return known.digits
    return 0 if name.endswith("_total") else DEFAULT_DIGITS


def unit_of(name: str) -> str:
    """The unit of a metric: the registry's, else the known unit its name ends in, else none."""
    known = METRICS.get(name)
    return known.unit if known else next((unit for unit in UNITS if name.endswith("_" + unit)), "")


def in_range(name: str, value: float) -> bool:
    """Whether the quantity can be that; any finite number where the metric is not listed."""
    known = METRICS.get(name)
    return math.isfinite(value) and (known is None or known.low <= value <= known.high)


def reference() -> str:
    """Every known metric as a Markdown table."""
    rows = [
        f"| `{name}` | {one.unit} | {one.low:g} to {one.high:g} | {one.digits} | {one.title} |"
        for name, one in METRICS.items()
    ]
    return "\n".join(["| Metric | Unit | Range | Digits | Title |", "|---|---|---|---|---|", *rows]) + "\n"
