"""What the seeded fleet of the console's tests is made of: people, product types, and the troubles of some devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.model import DeviceId, Episode, Forecast

DAY = 86_400_000

PEOPLE = (
    ("Mara Jensen", "+4915112345601", "de", "Europe/Berlin"),
    ("陈伟", "+8613800138001", "zh", "Asia/Shanghai"),
    ("Tom Alvarez", "+12125550123", "en", "America/New_York"),
    ("Lucía Romero", "+14155550144", "en", "America/Los_Angeles"),
    ("Jonas Weber", "+4915112345602", "de", "Europe/Berlin"),
    ("李娜", "+8613800138002", "zh", "Asia/Shanghai"),
    ("Priya Nair", "+447700900177", "en", "Europe/London"),
    ("Owen Clarke", "+447700900188", "en", "Europe/London"),
)
TYPES = {
    "smart_lock": ("Bolt S2", "rev-c", ("2.3.1", "2.4.0")),
    "wifi_router": ("Hearth AX3", "b1", ("7.1.4", "7.2.0")),
    "heat_pump": ("Aeris 8", "r4", ("1.9.0", "1.9.2")),
}
METRICS: Mapping[str, tuple[tuple[str, float, float], ...]] = {
    "smart_lock": (
        ("battery_health_ratio", 0.97, 0.004),
        ("battery_volts", 5.9, 0.03),
        ("battery_level_ratio", 0.82, 0.01),
        ("motor_current_amperes", 0.55, 0.02),
        ("temperature_celsius", 19.0, 2.0),
        ("wifi_signal_dbm", -58.0, 2.0),
    ),
    "wifi_router": (
        ("memory_available_bytes", 2.4e8, 6e6),
        ("cpu_busy_ratio", 0.18, 0.04),
        ("temperature_celsius", 51.0, 1.5),
        ("wan_latency_s", 0.018, 0.003),
        ("wifi_clients_count", 11.0, 2.0),
    ),
    "heat_pump": (
        ("compressor_current_amperes", 7.4, 0.25),
        ("suction_pressure_pascals", 8.4e5, 8e3),
        ("performance_ratio", 3.6, 0.15),
        ("outdoor_temperature_celsius", 4.0, 3.0),
        ("supply_temperature_celsius", 38.0, 1.0),
        ("fan_speed_rpm", 820.0, 20.0),
    ),
}

LINES = {
    "smart_lock": ("bolt: turned in 0.61 s", "radio: rejoined, rssi -57", "battery: cell resistance 212 mOhm over 180"),
    "wifi_router": ("dhcp: lease renewed", "hostapd: station associated", "kernel: page allocation failure, order 2"),
    "heat_pump": ("ctl: defrost done in 214 s", "ctl: setpoint 38.0", "inverter: current limit active"),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    device_id: str
    cause: str
    rule: str
    title: str
    why: str
    severity: str
    priority: str
    customer: int
    days: float
    episodes: tuple[Episode, ...] = ()
    forecasts: tuple[Forecast, ...] = ()
    charts: tuple[str, ...] = ()
    facts: tuple[tuple[str, float | str], ...] = ()


def cases(now_ms: int) -> list[Case]:
    """The troubles of the fleet, as tickets will tell them."""
    ep = lambda **k: Episode(device_id=DeviceId(k.pop("device")), **k)  # noqa: E731
    return [
        Case(
            device_id="lock-1001",
            cause="battery",
            rule="BatteryWearingOut",
            severity="warning",
            priority="high",
            customer=1,
            days=4.2,
            title="Battery wearing out, about 6 days left",
            why="Battery health is down to 68 % and reaches 55 %, where the motor no longer gets its current on a cold "
            "day, in about 6 days. Inner resistance has climbed for 12 days; other locks of this model stayed level.",
            episodes=(
                ep(
                    device="lock-1001",
                    metric="battery_health_ratio",
                    detector="drift",
                    onset_ms=now_ms - 12 * DAY,
                    peak=3.1,
                    expected=0.97,
                    observed=0.68,
                    reason="Battery health fell 30 % in 12 days; others of this model stayed level.",
                ),
                ep(
                    device="lock-1001",
                    metric="battery_volts",
                    detector="level",
                    onset_ms=now_ms - 5 * DAY,
                    peak=1.7,
                    expected=5.9,
                    observed=5.24,
                    reason="Voltage is below its normal range under load.",
                ),
            ),
            forecasts=(
                Forecast(
                    device_id=DeviceId("lock-1001"),
                    name="battery",
                    made_ms=now_ms,
                    metric="battery_health_ratio",
                    limit=0.55,
                    median_ms=now_ms + int(5.6 * DAY),
                    low_ms=now_ms + int(4.1 * DAY),
                    high_ms=now_ms + int(8.2 * DAY),
                ),
            ),
            charts=("battery_health_ratio", "battery_volts"),
            facts=(("battery_health_ratio", 0.68), ("battery_volts", 5.24), ("temperature_celsius", 18.6)),
        ),
        Case(
            device_id="router-1002",
            cause="memory",
            rule="MemoryLeak",
            severity="critical",
            priority="urgent",
            customer=1,
            days=1.4,
            title="Memory runs out in about 3 days; the router will restart",
            why="Available memory falls by 15.5 MB a day since firmware 7.1.4 was started, and allocation failures "
            "have begun. Restarting buys about two weeks; 7.2.0 fixes it.",
            episodes=(
                ep(
                    device="router-1002",
                    metric="memory_available_bytes",
                    detector="drift",
                    onset_ms=now_ms - 11 * DAY,
                    peak=4.4,
                    expected=2.4e8,
                    observed=5.4e7,
                    reason="Available memory fell 78 % in 12 days.",
                ),
                ep(
                    device="router-1002",
                    metric="log:42",
                    detector="log_burst",
                    onset_ms=now_ms - 3 * DAY,
                    peak=2.2,
                    reason="“kernel: page allocation failure” came 14 times in 3 days, never before.",
                ),
            ),
            forecasts=(
                Forecast(
                    device_id=DeviceId("router-1002"),
                    name="memory",
                    made_ms=now_ms,
                    metric="memory_available_bytes",
                    limit=1.2e7,
                    median_ms=now_ms + int(2.7 * DAY),
                    low_ms=now_ms + int(2.2 * DAY),
                    high_ms=now_ms + int(3.5 * DAY),
                ),
            ),
            charts=("memory_available_bytes", "cpu_busy_ratio"),
            facts=(("memory_available_bytes", 5.4e7), ("cpu_busy_ratio", 0.19)),
        ),
        Case(
            device_id="pump-1003",
            cause="refrigerant",
            rule="RefrigerantLeak",
            severity="warning",
            priority="normal",
            customer=1,
            days=0.8,
            title="Compressor labours: current up 23 % in 12 days",
            why="Compressor current has climbed 23 % in 12 days while others of this model stayed level; performance "
            "fell. A similar rise preceded 7 of 9 failures.",
            episodes=(
                ep(
                    device="pump-1003",
                    metric="compressor_current_amperes",
                    detector="drift",
                    onset_ms=now_ms - 12 * DAY,
                    peak=1.9,
                    expected=7.4,
                    observed=9.1,
                    reason="Compressor current climbed 23 % in 12 days.",
                ),
            ),
            forecasts=(
                Forecast(
                    device_id=DeviceId("pump-1003"),
                    name="failure",
                    made_ms=now_ms,
                    risk_ratio=0.31,
                    horizon_ms=30 * DAY,
                    reason="Current, performance and suction pressure together.",
                ),
            ),
            charts=("compressor_current_amperes", "performance_ratio", "suction_pressure_pascals"),
            facts=(("compressor_current_amperes", 9.1), ("performance_ratio", 2.7)),
        ),
        Case(
            device_id="lock-1013",
            cause="motor",
            rule="LockMotorWearing",
            severity="warning",
            priority="normal",
            customer=5,
            days=0.3,
            title="Lock motor labours: 0.88 A, 1.3 s a turn",
            why="The motor draws 0.88 A and needs 1.3 s to drive the bolt. A worn gear or a door that has "
            "sagged does this; jams follow.",
            charts=("motor_current_amperes",),
        ),
        Case(
            device_id="router-1005",
            cause="wifi",
            rule="WifiDecaying",
            severity="info",
            priority="low",
            customer=2,
            days=9.0,
            title="Wi-Fi has decayed to -79 dBm",
            why="The signal has become weaker by 0.4 dB a day for three weeks.",
            charts=("wan_latency_s",),
        ),
    ]
