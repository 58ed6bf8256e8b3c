"""An air-to-water heat pump: weather drives demand, demand drives the compressor, the refrigerant carries the heat."""

from __future__ import annotations

from typing import Final

import numpy as np

from firmware_sim.noise import Floats
from firmware_sim.region import HOUR_MS
from firmware_sim.scene import Scene

DEFROST_EVERY_MS: Final = 75 * 60_000
DEFROST_MS: Final = 6 * 60_000


def measure(scene: Scene) -> dict[str, Floats]:
    """What the controller reports, by metric; (devices, samples) in the metric's unit.

    Pressures follow the saturation curve of R290 between -15 and 20 degrees, taken as exponential; the coefficient of
    performance falls by 0.06 for each kelvin of lift, both read off data sheets of 8 kW machines.
    """
    leak, wear = scene.severity("refrigerant_leak"), scene.severity("compressor_wear")
    outdoor = scene.outdoor() + scene.jitter("outdoor", 0.15)
    water = 0.25 * np.clip(scene.activity() - 0.5, 0.0, 0.5)
    demand = np.clip((18.0 - outdoor) / 30.0, 0.06, 1.1) + water
    defrost = _defrosting(scene, outdoor)
    speed = 22.0 + 62.0 * demand * (1.0 + 0.3 * leak) + scene.jitter("speed", 0.6)
    supply = (
        28.0 + 16.0 * demand + scene.wander("valve", 0.5, 2 * HOUR_MS) + scene.jitter("supply", 0.15) - 8.0 * defrost
    )
    back = supply - scene.trait("flow", 3.2, 4.2) - 2.6 * demand * (1.0 - 0.5 * leak) + 4.0 * defrost
    suction = 8.2e5 * np.exp(0.02 * (outdoor - 7.0)) * (1.0 - 0.45 * leak) * (1.0 + 0.3 * defrost)
    amperes = (2.6 + 6.5 * demand) * (1.0 + 0.35 * wear) * (1.0 - 0.2 * leak) + scene.jitter("amperes", 0.08)
    lift = np.maximum(supply - outdoor, 5.0)
    performance = np.clip(5.6 - 0.06 * lift, 1.6, 6.0) * (1.0 - 0.5 * leak) * (1.0 - 0.12 * wear)
    performance = np.maximum(performance + scene.jitter("performance", 0.04) - defrost, 0.3)
    power = amperes * 230.0 * 0.92
    unheated = np.clip((np.maximum(leak, wear) - 0.65) / 0.35, 0.0, 1.0)  # share of the demand that is not met
    setpoint = scene.trait("comfort", 20.0, 22.0)
    heap = 112.0 - 5.0 * scene.activity() + scene.jitter("heap", 0.6) - 104.0 * scene.severity("memory_leak")
    drifted = supply + 11.0 * scene.severity("sensor_drift")
    stuck = scene.severity("sensor_stuck") > 0.0
    return {
        "outdoor_temperature_celsius": outdoor,
        "indoor_temperature_celsius": setpoint + scene.wander("room", 0.35, 3 * HOUR_MS)
        - 0.9 * unheated * np.maximum(setpoint - outdoor, 0.0),
        "supply_temperature_celsius": np.where(stuck, np.round(scene.trait("stuck", 31.0, 39.0), 1), drifted),
        "return_temperature_celsius": back + scene.jitter("return", 0.15),
        "suction_pressure_pascals": suction + scene.jitter("suction", 6e3),
        "discharge_pressure_pascals": 1.15e6 + 3.1e4 * (supply - 28.0) * (1.0 - 0.2 * leak) + scene.jitter("head", 1e4),
        "superheat_kelvin": scene.trait("superheat", 5.6, 7.2) + scene.wander("superheat", 0.5, HOUR_MS)
        + scene.jitter("superheat", 0.3) + 15.0 * leak,
        "compressor_speed_hertz": speed,
        "compressor_current_amperes": amperes,
        "compressor_vibration_meters_per_second_squared": scene.trait("mount", 0.8, 1.2) * (1.0 + 0.012 * speed)
        + scene.jitter("shake", 0.1) + 6.5 * wear,
        "power_watts": power,
        "performance_ratio": performance,
        "heat_output_watts": power * performance,
        "heap_free_bytes": 1024.0 * np.maximum(heap, 2.0),
        "clock_offset_s": scene.clock_offset_s(),
        "uptime_s": scene.uptime_s(),
        "boots_total": scene.boots_total(),
    }  # fmt: skip


def _defrosting(scene: Scene, outdoor: Floats) -> Floats:
    """(devices, samples) 1 while the machine runs backwards to melt the ice on its evaporator."""
    phase = (scene.t_ms[None, :] + (scene.trait("ice", 0, 1) * DEFROST_EVERY_MS).astype(np.int64)) % DEFROST_EVERY_MS
    return ((phase < DEFROST_MS) & (outdoor < 4.0)).astype(np.float64)
