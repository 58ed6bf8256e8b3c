"""What devices send, as the gateway holds it: columns, never one object a sample.

A `Roster` gives every device, metric and series a small dense number, so that the state of a whole fleet is a handful
of arrays. Numbers are given once, in order of first sight, are kept in the ledger, and are never reused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NewType, TypeAlias

import numpy as np
from numpy.typing import NDArray

DeviceId = NewType("DeviceId", str)
CustomerId = NewType("CustomerId", str)

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

SEVERITIES = ("debug", "info", "warning", "error", "critical")
"""Severities of log lines, lowest first; a column holds the position in this tuple."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One physical unit of the fleet, as the registry knows it."""

    device_id: DeviceId
    number: int  # dense, 0, 1, 2, ...
    type: str  # product type, as `smart_lock`; chooses rules and priors
    model: str = ""
    hardware: str = ""
    firmware: str = ""
    customer_id: CustomerId | None = None
    zone: str = "UTC"  # IANA zone of the place where it stands
    site: str = ""
    revoked: bool = False

    @property
    def cohort(self) -> tuple[str, str, str, str]:
        """Devices alike enough to share a baseline."""
        return (self.type, self.model, self.hardware, self.firmware)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLines:
    """Log lines of one block as columns, sorted by device, then time. All have shape (lines,)."""

    device: Integers  # device numbers
    t_ms: Integers  # event time, Unix ms, UTC
    severity: NDArray[np.int8]  # position in SEVERITIES
    source: tuple[str, ...]
    text: tuple[str, ...]

    @staticmethod
    def none() -> LogLines:
        """No lines at all."""
        empty = np.empty(0, np.int64)
        return LogLines(device=empty, t_ms=empty, severity=np.empty(0, np.int8), source=(), text=())

    def __len__(self) -> int:
        return len(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """What a device says of itself after connecting."""

    device_id: DeviceId
    boot: int
    t_ms: int
    type: str = ""
    model: str = ""
    hardware: str = ""
    firmware: str = ""
    config_version: int = 0
    reboot_reason: str = ""
    metrics: tuple[tuple[str, str], ...] = ()  # (name, unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """A device came (`online`) or its link was lost (its MQTT will)."""

    device_id: DeviceId
    t_ms: int
    online: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The samples of one committed window as columns, with what else came in it.

    `series`, `t_ms`, `value` and `late` have shape (samples,) and are sorted by series, then time. `late` marks samples
    that arrived historical (buffered while offline) or behind what the series had already: they are stored and correct
    history, and raise no live alert. `window` numbers committed windows 1, 2, 3, ... for ever: it is the watermark.
    """

    window: int
    received_ms: int  # gateway clock at commit; in replay, event time
    series: Integers
    t_ms: Integers  # Unix ms, UTC, corrected for the device's clock
    value: Floats  # in the metric's unit; never NaN (what was not read has no row)
    late: Flags
    logs: LogLines = field(default_factory=LogLines.none)
    births: tuple[Birth, ...] = ()
    presence: tuple[Presence, ...] = ()

    def __len__(self) -> int:
        return int(self.value.size)


@dataclass(slots=True)
class Roster:
    """Dense numbers for devices, metrics and series; append-only, so readers on other threads see whole prefixes.

    `series_device[s]` and `series_metric[s]` are the device and metric numbers of series `s`.
    """

    devices: list[Device] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)
    replaced: int = 0  # how often what is known of a device was replaced
    _device_number: dict[str, int] = field(default_factory=dict)
    _metric_number: dict[str, int] = field(default_factory=dict)
    _series_number: dict[tuple[int, int], int] = field(default_factory=dict)
    _series_device: list[int] = field(default_factory=list)
    _series_metric: list[int] = field(default_factory=list)
    _columns: tuple[int, Integers, Integers] = field(
        default_factory=lambda: (0, np.empty(0, np.int64), np.empty(0, np.int64))
    )

    def put_device(self, device: Device) -> None:
        """Add the next device, or replace what is known of one that is there.

        Raises:
            ValueError: `device.number` is neither the next one nor that of the same device.
        """
        known = self._device_number.get(device.device_id)
        if known is None and device.number == len(self.devices):
            self.devices.append(device)
            self._device_number[device.device_id] = device.number
        elif known is not None and known == device.number:
            self.devices[known] = device
            self.replaced += 1
        else:
            raise ValueError(f"device number {device.number} of {device.device_id}: expected {known}")

    def follow(self, ahead: Roster) -> None:
        """Take over what another roster has grown by, so that a thread works on one that does not grow under it."""
        count = ahead.series_count  # first: what it names is there already
        if ahead.replaced != self.replaced:
            self.replaced = ahead.replaced
            self.devices[:] = ahead.devices[: len(self.devices)]
        for device in ahead.devices[len(self.devices) :]:
            self.devices.append(device)
            self._device_number[device.device_id] = device.number
        for name in ahead.metrics[len(self.metrics) :]:
            self.metric(name)
        for number in range(self.series_count, count):
            self.series(ahead._series_device[number], ahead._series_metric[number])

    def device(self, device_id: str) -> Device | None:
        """The device of that id, or None where it is unknown."""
        number = self._device_number.get(device_id)
        return None if number is None else self.devices[number]

    def metric(self, name: str) -> int:
        """The number of a metric; a new name gets the next one."""
        number = self._metric_number.get(name)
        if number is None:
            number = self._metric_number[name] = len(self.metrics)
            self.metrics.append(name)
        return number

    def metric_number(self, name: str) -> int | None:
        """The number of a metric, or None where no device ever sent it."""
        return self._metric_number.get(name)

    def series(self, device: int, metric: int) -> int:
        """The number of a series; a new pair gets the next one."""
        number = self._series_number.get((device, metric))
        if number is None:
            number = self._series_number[(device, metric)] = len(self._series_device)
            self._series_device.append(device)
            self._series_metric.append(metric)
        return number

    def series_number(self, device: int, metric: int) -> int | None:
        """The number of a series, or None where the device never sent that metric."""
        return self._series_number.get((device, metric))

    @property
    def series_count(self) -> int:
        """How many series there are."""
        return len(self._series_device)

    @property
    def series_device(self) -> Integers:
        """(series,) device numbers."""
        return self._as_columns()[1]

    @property
    def series_metric(self) -> Integers:
        """(series,) metric numbers."""
        return self._as_columns()[2]

    def _as_columns(self) -> tuple[int, Integers, Integers]:
        count = len(self._series_device)
        held = self._columns
        if held[0] != count:
            held = (
                count,
                np.concatenate([held[1], np.asarray(self._series_device[held[0] : count], np.int64)]),
                np.concatenate([held[2], np.asarray(self._series_metric[held[0] : count], np.int64)]),
            )
            self._columns = held
        return held


def devices_of(roster: Roster, series: Sequence[int] | Integers) -> Integers:
    """(series,) device numbers of the given series numbers."""
    return roster.series_device[np.asarray(series, np.int64)]
