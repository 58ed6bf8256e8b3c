"""A Wi-Fi router: a household's traffic, memory and flash that fill, a fan, a radio."""

from __future__ import annotations

import numpy as np

from firmware_sim.noise import Floats
from firmware_sim.region import DAY_MS, HOUR_MS
from firmware_sim.scene import Scene

MIB = 1024.0**2


def measure(scene: Scene) -> dict[str, Floats]:
    """What the router's firmware reports, by metric; (devices, samples) in the metric's unit.

    Heat follows load, room and fan; latency is lognormal over load, as queues make it.
    """
    activity = scene.activity()
    leak, bad = scene.severity("memory_leak"), scene.severity("bad_firmware")
    decay, bearing = scene.severity("wifi_decay"), scene.severity("fan_bearing")
    runaway, filling = scene.severity("thermal_runaway"), scene.severity("disk_filling")
    cpu = np.clip(0.10 + 0.35 * activity + scene.jitter("cpu", 0.03) + 0.25 * runaway + 0.22 * bad, 0.01, 1.0)
    turning = np.where(bearing < 0.9, 1.0 - 0.25 * bearing, 0.0)
    speed = scene.trait("fan", 2600, 3100) + 420.0 * cpu + scene.jitter("fan", 30.0)
    room = 0.15 * (scene.outdoor() - 10.0)
    heat = 43.0 + scene.trait("shelf", -2.5, 2.5) + room + 14.0 * cpu + 22.0 * (1.0 - turning) ** 2 + 48.0 * runaway
    worn, free = scene.trait("flash", 0.05, 0.40), scene.trait("disk", 0.45, 0.70)
    rotation = 0.015 * np.sin(2 * np.pi * (scene.t_ms / (7 * DAY_MS) + scene.trait("rotation", 0, 1)))
    latency = scene.trait("line", 0.008, 0.022) * np.exp(0.5 * activity + scene.jitter("latency", 0.18) + 0.5 * bad)
    busy = 0.05 + 0.05 * activity + np.abs(scene.jitter("retry", 0.02)) + 0.5 * decay
    return {
        "cpu_busy_ratio": cpu,
        "memory_available_bytes": MIB
        * np.clip(128.0 - 10.0 * activity + scene.jitter("memory", 1.2) - 118.0 * leak - 30.0 * bad, 3.0, 256.0),
        "flash_wear_ratio": worn + 1.5e-4 * scene.days() + (1.05 - worn) * scene.severity("flash_wear"),
        "disk_free_ratio": np.clip((free + rotation) * (1.0 - filling), 0.0, 1.0),
        "temperature_celsius": heat + scene.wander("air", 0.8, 4 * HOUR_MS) + scene.jitter("heat", 0.35),
        "fan_speed_rpm": np.maximum(speed * turning, 0.0),
        "fan_vibration_meters_per_second_squared": turning
        * (scene.trait("balance", 0.65, 1.05) + scene.jitter("shake", 0.05) + 5.0 * bearing),
        "wifi_signal_dbm": scene.trait("antenna", -60, -48) + scene.wander("antenna", 1.2, 4 * HOUR_MS)
        + scene.jitter("antenna", 0.8) - 24.0 * decay,
        "wifi_noise_dbm": -93.0 + scene.trait("noise", -2, 4) + 2.0 * activity + scene.jitter("noise", 0.7),
        "wifi_retry_ratio": np.clip(busy, 0.0, 1.0),
        "wifi_clients_count": np.round(scene.trait("people", 4, 20) * (0.35 + 0.65 * activity)),
        "wan_latency_s": latency,
        "wan_loss_ratio": np.clip(0.001 * np.exp(scene.jitter("loss", 0.8)) + 0.01 * bad, 0.0, 1.0),
        "wan_drops_total": scene.counter("drops", scene.trait("drops", 0.05, 0.6)) + np.floor(30.0 * bad),
        "certificate_left_s": _certificate(scene),
        "clock_offset_s": scene.clock_offset_s(),
        "uptime_s": scene.uptime_s(),
        "boots_total": scene.boots_total(),
    }  # fmt: skip


def _certificate(scene: Scene) -> Floats:
    """Certificates of 90 days are renewed at 30; where renewal fails from the onset on, the 30 days run out."""
    due = scene.start_ms + scene.trait("renewal", 0, 60) * DAY_MS
    for row, fault in scene.faults.get("certificate_expiry", ()):
        due[row] = fault.onset_ms
    left = 30 * DAY_MS + np.mod(due - scene.t_ms[None, :], 60 * DAY_MS)
    failing = scene.severity("certificate_expiry")
    return np.floor(np.where(failing > 0.0, 30 * DAY_MS * (1.0 - failing), left) / 1000.0)
