"""What the agent says of itself: its own metrics, and the diagnostics bundle."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from time import monotonic

from edge.agent import Agent
from edge.desired import shown
from edge.wire import SEVERITIES

COUNTERS = {
    "thinned": "agent_thinned_total",
    "full": "agent_dropped_full_total",
    "corrupt": "agent_dropped_corrupt_total",
    "disk": "agent_dropped_disk_total",
    "log_rate": "agent_dropped_log_rate_total",
    "bad_line": "agent_dropped_bad_line_total",
    "too_many_metrics": "agent_dropped_metrics_total",
    "sensor_failures": "agent_sensor_failures_total",
    "republished": "agent_republished_total",
    "reconnects": "agent_reconnects_total",
}


def counted(agent: Agent) -> dict[str, int]:
    """All counters by reason, those that never counted too."""
    counts = agent.buffer.drops + agent.gate.drops + agent.counts
    counts["republished"] = agent.outbox.republished
    counts["reconnects"] = max(0, agent.connects - 1)
    return {reason: counts[reason] for reason in COUNTERS}


def own_readings(agent: Agent) -> Callable[[], Mapping[str, float]]:
    """A function that gives the agent's metrics; a counter appears once it has counted."""
    page = os.sysconf("SC_PAGE_SIZE")
    before = [monotonic(), _cpu_s()]

    def read() -> dict[str, float]:
        now, cpu_s = monotonic(), _cpu_s()
        readings = {"agent_cpu_ratio": (cpu_s - before[1]) / max(1e-3, now - before[0])}
        before[:] = now, cpu_s
        with open("/proc/self/statm", encoding="ascii") as file:
            readings["agent_memory_bytes"] = float(int(file.read().split()[1]) * page)
        readings["agent_buffer_bytes"] = float(agent.buffer.used_bytes)
        if (left_s := agent.buffer.left_s()) is not None:
            readings["agent_buffer_left_s"] = min(left_s, 1e9)
        return readings | {COUNTERS[reason]: float(count) for reason, count in counted(agent).items() if count}

    return read


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system


def bundle(agent: Agent) -> str:
    """The diagnostics bundle as JSON text: state and recent log lines; no secrets, logs redacted as always."""
    left_s = agent.buffer.left_s()
    device = agent.settings.device
    document = {
        "device": {"id": device.id, "type": device.type, "model": device.model, "firmware": device.firmware},
        "t": agent.clock.now_ms(),
        "boot": agent.run.boot,
        "reboot_reason": agent.reason,
        "settings": shown(agent.collect),
        "counters": counted(agent),
        "buffer": {
            "batches": agent.waiting,
            "bytes": agent.buffer.used_bytes,
            "limit_bytes": agent.buffer.max_bytes,
            "left_h": None if left_s is None else round(left_s / 3600, 1),
            "under_way": agent.outbox.under_way,
        },
        "last": dict(sorted(agent.last.items())),
        "logs": [[line.t_ms, SEVERITIES[line.severity], line.source, line.text] for line in agent.recent],
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
