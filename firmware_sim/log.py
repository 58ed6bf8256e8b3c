"""What devices write into their logs: the daily chatter of each firmware, and what faults add to it.

A line's hour, place within the hour and numbers come from the key of (device, template, hour), so any stretch of time
gives the same lines however it is cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from firmware_sim.fault import LOCK, PUMP, ROUTER
from firmware_sim.noise import Floats, Integers, keys, mixed, uniform
from firmware_sim.region import HOUR_MS
from firmware_sim.scene import Scene


class Line(NamedTuple):
    """One log line of one device."""

    number: int  # position in the fleet
    t_ms: int
    severity: str
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Says:
    """A kind of line. `{n}`, `{p}`, `{x}`, `{ip}` and `{mac}` are filled with numbers drawn for each line."""

    source: str
    severity: str
    text: str
    per_day: float  # at full progress of the fault, where there is one
    mode: str = ""  # "" is daily chatter


_COMMON: Final = (
    Says("timesync", "warning", "clock stepped by {n} ms after poll of {ip}", 14, "clock_drift"),
    Says("timesync", "error", "offset {n} ms out of bounds, source rejected", 6, "clock_drift"),
)
_BOOTS: Final = Says("boot", "warning", "reset cause watchdog, pc=0x{x} lr=0x{x}", 40, "reboot_loop")

SAYS: Final = {
    LOCK: (
        Says("lockd", "info", "bolt thrown by keypad slot {p}, {n} ms", 9),
        Says("lockd", "info", "bolt withdrawn by app session {x}", 6),
        Says("wifi", "info", "beacon lost, roamed to {mac} rssi -{p}", 1.2),
        Says("lockd", "warning", "keypad: wrong code, {p} tries left", 0.5),
        Says("power", "debug", "gauge: {n} mV, {p} mA", 8),
        Says("power", "warning", "brown-out guard: {n} mV under load", 9, "battery_ageing"),
        Says("power", "error", "motor start postponed, supply {n} mV", 4, "battery_ageing"),
        Says("lockd", "warning", "bolt slow: {n} ms, retry {p}", 10, "motor_wear"),
        Says("lockd", "error", "bolt jammed at step {n}, motor {p} mA", 5, "motor_wear"),
        Says("wifi", "warning", "deauthenticated by {mac} reason=4", 14, "wifi_decay"),
        _BOOTS,
        *_COMMON,
    ),
    ROUTER: (
        Says("hostapd", "info", "wlan0: STA {mac} IEEE 802.11: associated (aid {p})", 22),
        Says("hostapd", "info", "wlan0: STA {mac} WPA: group key handshake completed", 24),
        Says("dnsmasq", "info", "DHCPACK(br-lan) {ip} {mac}", 12),
        Says("kernel", "info", "nf_conntrack: expectation table {p} entries", 2),
        Says("dnsmasq", "warning", "reducing DNS packet size for nameserver {ip} to 1280", 0.3),
        Says("kernel", "warning", "oom_reaper: low memory, {n} pages free", 8, "memory_leak"),
        Says("kernel", "error", "Out of memory: Killed process {n} (statsd)", 3, "memory_leak"),
        Says("ubi", "warning", "ubi0: scrubbed PEB {n}, {p} bad blocks", 10, "flash_wear"),
        Says("ubi", "error", "ubi0: error -74 while reading {n} bytes from PEB {n}", 4, "flash_wear"),
        Says("logd", "warning", "write failed: no space left on device ({p} pending)", 12, "disk_filling"),
        Says("fancontrol", "warning", "fan0: {n} rpm below target, duty {p}", 10, "fan_bearing"),
        Says("thermal", "warning", "zone0 at {n} mC, throttling step {p}", 20, "thermal_runaway"),
        Says("thermal", "error", "zone0 critical trip {n} mC", 6, "thermal_runaway"),
        Says("hostapd", "warning", "wlan0: STA {mac} disassociated due to excessive retries", 26, "wifi_decay"),
        Says("telemetryd", "error", "TLS handshake with {ip} failed: session ticket rejected", 60, "bad_firmware"),
        Says("telemetryd", "warning", "worker {p} restarted after exception at 0x{x}", 25, "bad_firmware"),
        Says("acme", "error", "renewal failed: order {x} invalid, try {p}", 4, "certificate_expiry"),
        _BOOTS,
        *_COMMON,
    ),
    PUMP: (
        Says("control", "info", "curve: supply target {p} C, valve step {n}", 20),
        Says("control", "info", "hot water cycle finished after {n} s", 3),
        Says("modbus", "info", "meter poll ok, {p} registers", 10),
        Says("control", "debug", "defrost finished, coil {p} C", 2),
        Says("modbus", "warning", "slave {p}: retry after timeout", 0.4),
        Says("control", "warning", "superheat high: valve at limit, step {n}", 14, "refrigerant_leak"),
        Says("control", "error", "E{p} low pressure cut-out, restart in {n} s", 4, "refrigerant_leak"),
        Says("drive", "warning", "compressor torque ripple {p} percent", 12, "compressor_wear"),
        Says("drive", "error", "overcurrent warning phase {p}, {n} mA", 3, "compressor_wear"),
        Says("control", "warning", "supply sensor implausible: heat balance off by {p} percent", 5, "sensor_drift"),
        Says("control", "warning", "heap low: {n} bytes, cache dropped", 8, "memory_leak"),
        *_COMMON,
    ),
}


def lines_of(scene: Scene, kind: str, start_ms: int, end_ms: int) -> list[Line]:
    """Log lines of a scene's devices in [start, end), in no order; its own moments do not matter."""
    hours = np.arange(start_ms // HOUR_MS, -(-end_ms // HOUR_MS), dtype=np.int64)
    middle = Scene(
        scene.seed, scene.number, scene.region, scene.built_ms, scene.boots, scene.faults,
        hours * HOUR_MS + HOUR_MS // 2, scene.start_ms,
    )  # fmt: skip
    busy = middle.activity() * 2.2  # of a mean hour
    found: list[Line] = []
    for says in SAYS[kind]:
        if says.mode and says.mode not in scene.faults:
            continue
        rate = says.per_day / 24.0 * (middle.severity(says.mode) ** 1.5 if says.mode else busy)
        found += _drawn(says, middle, hours, rate)
    silencing = [(row, fault) for held in scene.faults.values() for row, fault in held]
    dead = {int(scene.number[row]): fault for row, fault in silencing if fault.silences(np.array([end_ms]))[0]}
    return [
        line
        for line in found
        if start_ms <= line.t_ms < end_ms
        and (line.number not in dead or not dead[line.number].silences(np.array([line.t_ms]))[0])
    ]


def _drawn(says: Says, scene: Scene, hours: Integers, rate: Floats) -> list[Line]:
    """The lines of one kind: in each hour the whole part of its rate, and one more as often as the rest asks.

    Args:
        says: the kind.
        scene: whose devices.
        hours: (hours,) of Unix time.
        rate: (devices, hours) or (1, 1), lines an hour.
    """
    key = keys(scene.seed, says.source + says.text, scene.number)
    count = np.floor(rate + uniform(key[:, None], hours)).astype(np.int64)
    row, at = np.nonzero(count)
    times = count[row, at]
    row, at = np.repeat(row, times), np.repeat(at, times)
    nth = np.arange(row.size) - np.repeat(np.cumsum(times) - times, times)
    drawn = mixed(key[row], hours[at] * 1000 + nth + 7)
    t_ms = hours[at] * HOUR_MS + (drawn % np.uint64(HOUR_MS)).astype(np.int64)
    return [
        Line(number, when, says.severity, says.source, _filled(says.text, chance))
        for number, when, chance in zip(scene.number[row].tolist(), t_ms.tolist(), drawn.tolist(), strict=True)
    ]


def _filled(text: str, chance: int) -> str:
    return text.format(
        n=chance % 9000 + 100,
        p=chance // 7 % 90 + 3,
        x=f"{chance & 0xFFFFFF:06x}",
        ip=f"192.168.1.{chance % 250 + 2}",
        mac=":".join(f"{chance >> 8 * i & 255:02x}" for i in range(6)),
    )
