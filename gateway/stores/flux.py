"""The Flux queries of the InfluxDB store, as text; InfluxData's own parser and type checker accept each of them.

Samples are points of measurement `samples` (tags device, metric, series; fields value, window, late), log lines of
`logs` (tag device; fields text, source, severity, window), committed windows of `windows` (fields number, low_ms,
high_ms, received_ms), batch keys of `batches` (tag device; field key as `<boot>/<seq>`).
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.ports import BatchKey

FOREVER = "1970-01-01T00:00:00Z"


def text(value: str) -> str:
    """A Flux string literal."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${") + '"'


def _from(bucket: str, start_ms: int, end_ms: int) -> str:
    return (
        f"from(bucket: {text(bucket)})\n"
        f"  |> range(start: time(v: {start_ms * 1_000_000}), stop: time(v: {end_ms * 1_000_000}))\n"
    )


def value_range(bucket: str, series: int, start_ms: int, end_ms: int) -> str:
    """Values of one series by time."""
    return (
        _from(bucket, start_ms, end_ms)
        + f'  |> filter(fn: (r) => r._measurement == "samples" and r.series == "{series}" and r._field == "value")\n'
        + '  |> keep(columns: ["_time", "_value"])\n'
        + '  |> sort(columns: ["_time"])'
    )


def thinned_range(bucket: str, series: int, start_ms: int, end_ms: int, *, buckets: int) -> str:
    """The least and the greatest value in each of `buckets` equal parts, with their own times."""
    every_ms = max(1, (end_ms - start_ms) // buckets)
    return (
        "data = "
        + _from(bucket, start_ms, end_ms)
        + f'  |> filter(fn: (r) => r._measurement == "samples" and r.series == "{series}" and r._field == "value")\n'
        + '  |> keep(columns: ["_time", "_value"])\n'
        + f"  |> window(every: {every_ms}ms)\n"
        + "union(tables: [data |> min(), data |> max()])\n"
        + "  |> group()\n"
        + '  |> keep(columns: ["_time", "_value"])\n'
        + '  |> sort(columns: ["_time"])'
    )


def last_values(bucket: str, series: Sequence[int], now_ms: int) -> str:
    """The newest value of each series."""
    wanted = " or ".join(f'r.series == "{number}"' for number in series)
    return (
        _from(bucket, 0, now_ms)
        + f'  |> filter(fn: (r) => r._measurement == "samples" and r._field == "value" and ({wanted}))\n'
        + "  |> last()\n"
        + '  |> keep(columns: ["_time", "_value", "series"])'
    )


def seen_keys(bucket: str, keys: Sequence[BatchKey]) -> str:
    """Which batch keys are stored."""
    wanted = " or ".join(f'(r.device == "{key.device}" and r._value == "{key.boot}/{key.seq}")' for key in keys)
    return (
        f"from(bucket: {text(bucket)})\n  |> range(start: {FOREVER})\n"
        + f'  |> filter(fn: (r) => r._measurement == "batches" and r._field == "key" and ({wanted}))\n'
        + '  |> keep(columns: ["_value", "device"])'
    )


def windows_after(bucket: str, window: int) -> str:
    """Committed windows with a higher number, in order."""
    return (
        f"from(bucket: {text(bucket)})\n  |> range(start: {FOREVER})\n"
        + '  |> filter(fn: (r) => r._measurement == "windows")\n'
        + '  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")\n'
        + f"  |> filter(fn: (r) => r.number > {window})\n"
        + "  |> group()\n"
        + '  |> sort(columns: ["number"])'
    )


def last_window(bucket: str) -> str:
    """The highest window number."""
    return (
        f"from(bucket: {text(bucket)})\n  |> range(start: {FOREVER})\n"
        + '  |> filter(fn: (r) => r._measurement == "windows" and r._field == "number")\n'
        + "  |> group()\n  |> max()"
    )


def samples_of_window(bucket: str, window: int, low_ms: int, high_ms: int) -> str:
    """The samples that one window committed."""
    return (
        _from(bucket, low_ms, high_ms + 1)
        + '  |> filter(fn: (r) => r._measurement == "samples")\n'
        + '  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")\n'
        + f"  |> filter(fn: (r) => r.window == {window})\n"
        + '  |> keep(columns: ["_time", "value", "late", "series"])\n'
        + "  |> group()"
    )


def logs_of_window(bucket: str, window: int, low_ms: int, high_ms: int) -> str:
    """The log lines that one window committed."""
    return (
        _from(bucket, low_ms, high_ms + 1)
        + '  |> filter(fn: (r) => r._measurement == "logs")\n'
        + '  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")\n'
        + f"  |> filter(fn: (r) => r.window == {window})\n"
        + "  |> group()\n"
        + '  |> sort(columns: ["device", "_time"])'
    )


def log_tail(bucket: str, device: int, start_ms: int, end_ms: int, *, limit: int) -> str:
    """The newest lines of one device, newest first."""
    return (
        _from(bucket, start_ms, end_ms)
        + f'  |> filter(fn: (r) => r._measurement == "logs" and r.device == "{device}")\n'
        + '  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")\n'
        + "  |> group()\n"
        + '  |> sort(columns: ["_time"], desc: true)\n'
        + f"  |> limit(n: {limit})"
    )


def roll_up(bucket: str, hourly: str, start_ms: int, end_ms: int) -> str:
    """Hourly least, mean and greatest values into the roll-up bucket."""
    parts = [
        f'data\n  |> aggregateWindow(every: 1h, fn: {name}, createEmpty: false, timeSrc: "_start")\n'
        f'  |> set(key: "_field", value: "{name}")\n  |> to(bucket: {text(hourly)})'
        for name in ("min", "mean", "max")
    ]
    return (
        "data = "
        + _from(bucket, start_ms, end_ms)
        + '  |> filter(fn: (r) => r._measurement == "samples" and r._field == "value")\n'
        + "\n".join(parts)
    )
