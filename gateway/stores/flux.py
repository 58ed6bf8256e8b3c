"""The Flux queries of the InfluxDB store, as text; InfluxData's own parser and type checker accept each of them.

    samples   tags device, metric, series       value, window, late
    logs      tag device (its number)           text, source, severity, window
    events                                      kind, json, window                     births and presence
    windows                                     number, low_ms, high_ms, received_ms   what was committed
    batches   tag device (its number)           key, `<boot>/<seq>`
    ranges    tag device (its number; - is all) ranges                                 all keys up to some time

Whatever has no bounds of its own is asked for over all times, the future too: this server's clock may be behind ours.
"""

from __future__ import annotations

from collections.abc import Sequence

ALL_TIMES = "start: 1970-01-01T00:00:00Z, stop: 2200-01-01T00:00:00Z"
LAST_MS = 7_258_118_400_000  # 2200-01-01


def text(value: str) -> str:
    """A Flux string literal."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${") + '"'


def _from(bucket: str, start_ms: int, end_ms: int) -> str:
    start_ms, end_ms = max(0, min(start_ms, LAST_MS - 1)), min(end_ms, LAST_MS)
    return (
        f"from(bucket: {text(bucket)})\n"
        f"  |> range(start: time(v: {start_ms * 1_000_000}), stop: time(v: {end_ms * 1_000_000}))\n"
    )


def _all(bucket: str, measurement: str) -> str:
    return (
        f"from(bucket: {text(bucket)})\n  |> range({ALL_TIMES})\n"
        f'  |> filter(fn: (r) => r._measurement == "{measurement}")\n'
    )


def _series(bucket: str, series: int, start_ms: int, end_ms: int, field: str) -> str:
    return (
        _from(bucket, start_ms, end_ms)
        + f'  |> filter(fn: (r) => r._measurement == "samples" and r.series == "{series}" and r._field == "{field}")\n'
    )


PIVOT = '  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")\n'
BY_TIME = '  |> keep(columns: ["_time", "_value"])\n  |> sort(columns: ["_time"])'


def value_range(bucket: str, series: int, start_ms: int, end_ms: int, *, field: str = "value") -> str:
    """Values of one series by time."""
    return _series(bucket, series, start_ms, end_ms, field) + BY_TIME


def thinned_range(
    bucket: str,
    series: int,
    start_ms: int,
    end_ms: int,
    *,
    buckets: int,
    fields: tuple[str, str] = ("value", "value"),
) -> str:
    """The least of the first field and the greatest of the second in each of `buckets` parts, with their own times."""
    window = f"  |> window(every: {max(1, (end_ms - start_ms) // buckets)}ms)\n"
    least, most = (_series(bucket, series, start_ms, end_ms, field) + window for field in fields)
    return f"least = {least}  |> min()\nmost = {most}  |> max()\nunion(tables: [least, most])\n  |> group()\n{BY_TIME}"


def last_values(bucket: str, series: Sequence[int]) -> str:
    """The newest value of each series."""
    wanted = " or ".join(f'r.series == "{number}"' for number in series)
    return (
        _all(bucket, "samples")
        + f'  |> filter(fn: (r) => r._field == "value" and ({wanted}))\n'
        + "  |> last()\n"
        + '  |> keep(columns: ["_time", "_value", "series"])'
    )


def newest_ranges(bucket: str) -> str:
    """The ranges of keys of each device, as they were written last."""
    return _all(bucket, "ranges") + '  |> last()\n  |> keep(columns: ["_time", "_value", "device"])'


def keys_after(bucket: str, start_ms: int) -> str:
    """Batch keys committed since."""
    return (
        _from(bucket, start_ms, LAST_MS)
        + '  |> filter(fn: (r) => r._measurement == "batches" and r._field == "key")\n'
        + '  |> keep(columns: ["_value", "device"])'
    )


def windows_after(bucket: str, window: int) -> str:
    """Committed windows with a higher number, in order."""
    return (
        _all(bucket, "windows")
        + PIVOT
        + f"  |> filter(fn: (r) => r.number > {window})\n"
        + "  |> group()\n"
        + '  |> sort(columns: ["number"])'
    )


def last_window(bucket: str) -> str:
    """The highest window number."""
    return _all(bucket, "windows") + '  |> filter(fn: (r) => r._field == "number")\n  |> group()\n  |> max()'


def samples_of_window(bucket: str, window: int, low_ms: int, high_ms: int) -> str:
    """The samples that one window committed."""
    return (
        _from(bucket, low_ms, high_ms + 1)
        + '  |> filter(fn: (r) => r._measurement == "samples")\n'
        + PIVOT
        + f"  |> filter(fn: (r) => r.window == {window})\n"
        + '  |> keep(columns: ["_time", "value", "late", "series"])\n'
        + "  |> group()"
    )


def logs_of_window(bucket: str, window: int, low_ms: int, high_ms: int) -> str:
    """The log lines that one window committed."""
    return (
        _from(bucket, low_ms, high_ms + 1)
        + '  |> filter(fn: (r) => r._measurement == "logs")\n'
        + PIVOT
        + f"  |> filter(fn: (r) => r.window == {window})\n"
        + "  |> group()"
    )


def events_of_window(bucket: str, window: int, received_ms: int) -> str:
    """Births and presence that one window committed, in their order."""
    return (
        _from(bucket, received_ms, received_ms + 1_000)
        + '  |> filter(fn: (r) => r._measurement == "events")\n'
        + PIVOT
        + f"  |> filter(fn: (r) => r.window == {window})\n"
        + "  |> group()\n"
        + '  |> sort(columns: ["_time"])'
    )


def log_tail(bucket: str, device: int, start_ms: int, end_ms: int, *, limit: int) -> str:
    """The newest lines of one device, newest first."""
    return (
        _from(bucket, start_ms, end_ms)
        + f'  |> filter(fn: (r) => r._measurement == "logs" and r.device == "{device}")\n'
        + PIVOT
        + "  |> group()\n"
        + '  |> sort(columns: ["_time"], desc: true)\n'
        + f"  |> limit(n: {limit})"
    )


def roll_up(bucket: str, hourly: str, start_ms: int, end_ms: int) -> str:
    """Hourly least, mean and greatest values into the roll-up bucket; nothing is sent back."""
    parts = [
        f'{name}s = data\n  |> aggregateWindow(every: 1h, fn: {name}, createEmpty: false, timeSrc: "_start")\n'
        f'  |> set(key: "_field", value: "{name}")\n'
        for name in ("min", "mean", "max")
    ]
    return (
        "data = "
        + _from(bucket, start_ms, end_ms)
        + '  |> filter(fn: (r) => r._measurement == "samples" and r._field == "value")\n'
        + "".join(parts)
        + f"union(tables: [mins, means, maxs])\n  |> to(bucket: {text(hourly)})\n  |> filter(fn: (r) => false)"
    )
