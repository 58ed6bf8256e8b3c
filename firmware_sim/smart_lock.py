"""A battery smart lock: cells that age, a motor that drives the bolt, a radio behind a steel door."""

from __future__ import annotations

import numpy as np

from firmware_sim.noise import Floats
from firmware_sim.region import DAY_MS, HOUR_MS
from firmware_sim.scene import Scene


def measure(scene: Scene) -> dict[str, Floats]:
    """What the lock's sensors read, by metric; (devices, samples) in the metric's unit.

    Cells are lithium: open voltage over charge, less the drop of the motor's current over an inner resistance that
    grows with age and cold (constants fitted by eye to data sheets of four 1.5 V cells in series).
    """
    ageing, wear = scene.severity("battery_ageing"), scene.severity("motor_wear")
    temperature = 0.6 * scene.outdoor() + 8.0 + scene.wander("door_sun", 0.8, 3 * HOUR_MS) + scene.jitter("door", 0.15)
    cold = np.maximum(10.0 - temperature, 0.0)
    health = scene.trait("cells", 0.93, 0.99) - 5e-5 * scene.days() + scene.jitter("gauge", 0.004) - 0.48 * ageing
    charge = scene.trait("charge", 0.72, 1.0) - 8e-4 * (scene.t_ms - scene.start_ms)[None, :] / DAY_MS
    charge = np.clip(charge + scene.jitter("charge", 0.002) - 0.95 * ageing**2, 0.01, 1.0)
    resistance = scene.trait("ohms", 0.16, 0.22) * (1.0 + 0.012 * cold) + 0.5 * ageing + scene.jitter("ohms", 0.004)
    motor = scene.trait("motor", 0.52, 0.62) + 0.004 * cold + scene.jitter("motor", 0.015) + 0.7 * wear
    travel = scene.trait("bolt", 0.80, 0.95) * (1.0 + 0.005 * cold) + scene.jitter("bolt", 0.015) + 1.3 * wear
    busy = scene.trait("household", 6, 22)
    signal = scene.trait("signal", -68, -52) + scene.wander("signal", 1.6, 5 * HOUR_MS) + scene.jitter("signal", 1.0)
    return {
        "battery_health_ratio": np.clip(health, 0.0, 1.0),
        "battery_level_ratio": charge,
        "battery_volts": 4.4 + 1.7 * charge**0.6 - resistance * motor + 0.004 * np.minimum(temperature - 20.0, 0.0)
        + scene.jitter("volts", 0.012),
        "battery_resistance_ohms": resistance,
        "motor_current_amperes": motor,
        "bolt_travel_s": travel,
        "temperature_celsius": temperature,
        "wifi_signal_dbm": signal - 28.0 * scene.severity("wifi_decay"),
        "lock_operations_total": scene.counter("bolt_turns", busy),
        "lock_jams_total": scene.counter("jams", busy * 0.001) + np.floor(60.0 * wear**2),
        "keypad_failures_total": scene.counter("wrong_codes", busy * 0.04),
        "heap_free_bytes": 96.0 * 1024 - 6000.0 * scene.activity() + scene.jitter("heap", 700.0),
        "clock_offset_s": scene.clock_offset_s(),
        "uptime_s": scene.uptime_s(),
        "boots_total": scene.boots_total(),
    }  # fmt: skip
