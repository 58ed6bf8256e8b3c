"""The desired configuration: which settings the gateway may change, and how they are said back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edge.config import Collect, ConfigError, read_table
from edge.wire import SEVERITIES

CHANGEABLE = ("sample_every", "flush_every", "sensors", "log_level", "log_lines_per_minute")


def apply_desired(collect: Collect, settings: Mapping[str, object]) -> tuple[Collect, dict[str, str]]:
    """The settings with the desired ones in place, and what was refused of those, with the reason.

    Keys and values are those of `[collect]` in the agent's file. A wrong one is refused alone; the others apply.
    """
    refused: dict[str, str] = {}
    for key, value in settings.items():
        if key not in CHANGEABLE:
            refused[key[:64]] = f"unknown; known are {', '.join(CHANGEABLE)}"
            continue
        try:
            read = read_table(Collect, {key: value}, "collect")
        except ConfigError as exc:
            refused[key] = str(exc)[:200]
        else:
            collect = replace(collect, **{key: getattr(read, key)})
    return collect, refused


def shown(collect: Collect) -> dict[str, object]:
    """The changeable settings as they would be desired."""
    return {
        "sample_every": f"{collect.sample_every:.12g}s",
        "flush_every": f"{collect.flush_every:.12g}s",
        "sensors": list(collect.sensors),
        "log_level": SEVERITIES[collect.log_level],
        "log_lines_per_minute": collect.log_lines_per_minute,
    }
