"""A recorded fleet: a folder of tables that `beforehand replay` plays as if it were live. Format: docs/replay.md.

    fleet.json                        name, source, licence, window_ms, change_rows, risk_horizon_ms
    registry.csv|.csv.gz|.parquet     device, type, model, hardware, firmware, customer, zone, site
    telemetry*.csv|...                device, t_ms, metric, value    or    device, t_ms, <metric>, <metric>, ...
    logs*.csv|...                     device, t_ms, severity, source, text
    births.csv|...                    device, t_ms, boot, firmware, reboot_reason
    failures.csv|...                  device, t_ms, component        truth: known from t_ms on, never before
    service.csv|...                   device, t_ms, component        service records

Only fleet.json, the registry and one telemetry or log table must be there. The same folder gives the same blocks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.errors import ConfigError
from gateway.model import Birth, Block, Integers, LogLines, Roster
from gateway.prognosis import HORIZON_MS
from gateway.services import recorded
from gateway.services.recorded import Occasions


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One recorded fleet; `roster` knows its devices, and gets their series when `blocks` has read the telemetry."""

    folder: Path
    name: str
    source: str  # whom to name when results are shown
    licence: str
    window_ms: int  # event time in one block
    change_rows: bool  # a row appears only when a value changed: what is silent or stuck is well
    risk_horizon_ms: int  # how far ahead the risk of failure looks
    roster: Roster

    def blocks(self) -> Iterator[Block]:
        """The blocks of `windows`."""
        return self.windows()[1]

    def windows(self) -> tuple[int, Iterator[Block]]:
        """How many windows there are, and the block of each.

        All windows of event time come in order, empty ones too, numbered from 1; `received_ms` is the window's end.

        A device is born in the window of its first row.

        Raises:
            ConfigError: `recording_malformed` where a table lacks a column or names an unknown device.
        """
        series, t_ms, value = recorded.samples(self.folder, self.roster)
        logs = recorded.log_lines(self.folder, self.roster)
        both = np.concatenate([t_ms, logs.t_ms])
        if not both.size:
            raise ConfigError("recording_malformed", f"{self.folder} holds neither telemetry nor logs")
        first, last = int(both.min()) // self.window_ms, int(both.max()) // self.window_ms
        window = t_ms // self.window_ms
        order = np.lexsort((t_ms, series, window))
        series, t_ms, value, window = series[order], t_ms[order], value[order], window[order]
        log_window = logs.t_ms // self.window_ms
        births = self._births(first, series, t_ms, logs)
        edges = np.searchsorted(window, np.arange(first, last + 2))
        log_edges = np.searchsorted(log_window, np.arange(first, last + 2))

        def block(n: int) -> Block:
            mine = slice(edges[n], edges[n + 1])
            return Block(
                window=n + 1,
                received_ms=(first + n + 1) * self.window_ms,
                series=series[mine],
                t_ms=t_ms[mine],
                value=value[mine],
                late=np.zeros(edges[n + 1] - edges[n], np.bool_),
                logs=recorded.cut(logs, int(log_edges[n]), int(log_edges[n + 1])),
                births=births.get(n, ()),
            )

        count = last - first + 1
        return count, map(block, range(count))

    def failures(self) -> Occasions:
        """What failed and when: truth, to be told to learners only once its time has come."""
        return recorded.occasions(self.folder, "failures", self.roster)

    def departures(self) -> Occasions:
        """What was taken out of service without having failed, and when."""
        return recorded.occasions(self.folder, "departures", self.roster)

    def service(self) -> Occasions:
        """What was repaired or replaced, and when."""
        return recorded.occasions(self.folder, "service", self.roster)

    def _births(self, first: int, series: Integers, t_ms: Integers, logs: LogLines) -> dict[int, tuple[Birth, ...]]:
        """Births by window number, counted from 0: those recorded, else one of each device at its first row."""
        told = recorded.births(self.folder, self.roster)
        born: dict[int, list[Birth]] = {}
        for birth in told or self._first_rows(series, t_ms, logs):
            born.setdefault(birth.t_ms // self.window_ms - first, []).append(birth)
        return {window: tuple(births) for window, births in born.items()}

    def _first_rows(self, series: Integers, t_ms: Integers, logs: LogLines) -> list[Birth]:
        seen = np.full(len(self.roster.devices), np.iinfo(np.int64).max)
        np.minimum.at(seen, self.roster.series_device[series], t_ms)
        np.minimum.at(seen, logs.device, logs.t_ms)
        return [
            Birth(
                device_id=device.device_id, boot=1, t_ms=at, type=device.type, model=device.model,
                hardware=device.hardware, firmware=device.firmware,
            )
            for device, at in zip(self.roster.devices, seen.tolist(), strict=True)
            if at < np.iinfo(np.int64).max
        ]  # fmt: skip


def open_recording(folder: Path) -> Recording:
    """The recorded fleet in `folder`, its registry read, its telemetry not yet.

    Raises:
        ConfigError: `recording_missing` where the folder is none, `recording_malformed` where the registry is broken.
    """
    about = folder / "fleet.json"
    if not about.is_file():
        raise ConfigError("recording_missing", f"{folder} has no fleet.json; docs/replay.md describes the format")
    try:
        said = json.loads(about.read_text("utf-8"))
        window_ms = int(said.get("window_ms", 3_600_000))
        risk_horizon_ms = int(said.get("risk_horizon_ms", HORIZON_MS))
    except (ValueError, AttributeError, TypeError) as exc:
        raise ConfigError("recording_malformed", f"{about}: {exc}") from exc
    for name, ms in (("window_ms", window_ms), ("risk_horizon_ms", risk_horizon_ms)):
        if ms <= 0:
            raise ConfigError("recording_malformed", f"{about}: {name} is {ms}, and must be above 0")
    return Recording(
        folder=folder,
        name=str(said.get("name", folder.name)),
        source=str(said.get("source", "")),
        licence=str(said.get("licence", "")),
        window_ms=window_ms,
        change_rows=bool(said.get("change_rows", False)),
        risk_horizon_ms=risk_horizon_ms,
        roster=recorded.registry(folder),
    )
