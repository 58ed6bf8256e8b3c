"""Samples and log lines in InfluxDB 2, through influxdb-client.

InfluxDB has no transactions, so a window is written in an order that makes every crash harmless: samples, log lines,
batch keys, and the window itself last. A point is named by its series and time, so a window that comes again writes
the same points over themselves; its keys are looked up before, and repeats never reach the block. While the server is
away `append` raises TryLater: nothing is acknowledged, the broker queues, and nothing is lost.
"""

from __future__ import annotations

import zlib
from calendar import timegm
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from influxdb_client import BucketRetentionRules, InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from gateway.errors import ConfigError, TryLater
from gateway.model import SEVERITIES, Block, Floats, Integers, LogLines, Roster
from gateway.ports import BatchKey
from gateway.stores import flux

KEYS_A_QUERY = 500  # keeps a Flux query under a hundred kilobytes
HOUR_MS, DAY_S = 3_600_000, 86_400
AWAY_S = 5.0  # before the server is asked again


class InfluxStore:
    """A SeriesStore on InfluxDB 2. The roster gives the tags their names."""

    def __init__(
        self,
        roster: Roster,
        *,
        url: str,
        token: str,
        org: str,
        bucket: str,
        keep_raw_s: float = 90 * DAY_S,
        keep_rollup_s: float = 730 * DAY_S,
        create_buckets: bool = True,
    ) -> None:
        self.roster = roster
        self.bucket, self.hourly, self.org = bucket, f"{bucket}_hourly", org
        self._keep_raw_ms = int(keep_raw_s * 1000)
        self._client = InfluxDBClient(url=url, token=token, org=org, timeout=30_000, enable_gzip=True)
        self._write_api = self._client.write_api(write_options=SYNCHRONOUS)
        if create_buckets:
            self._make_buckets({self.bucket: keep_raw_s, self.hourly: keep_rollup_s})

    def seen(self, keys: Sequence[BatchKey]) -> set[BatchKey]:
        """Which of the keys are stored already."""
        found: set[BatchKey] = set()
        for at in range(0, len(keys), KEYS_A_QUERY):
            for row in self._query(flux.seen_keys(self.bucket, keys[at : at + KEYS_A_QUERY])):
                boot, _, seq = str(row["_value"]).partition("/")
                found.add(BatchKey(int(row["device"]), int(boot), int(seq)))
        return found

    def append(self, block: Block, keys: Sequence[BatchKey]) -> None:
        """Write one window. Raises TryLater `store_away` or `store_busy`; the window may then come again."""
        oldest_ms = block.received_ms - self._keep_raw_ms
        for lines, precision in (
            (_sample_lines(block, self.roster, oldest_ms), "ms"),
            (_log_lines(block, oldest_ms), "ns"),
        ):
            if lines:
                self._write(lines, precision=precision)
        if keys:
            self._write(_key_lines(block, keys), precision="ns")
        self._write([_window_line(block)], precision="ns")

    def settle(self, window: int) -> None:
        """Nothing to do: InfluxDB arranges its own files."""

    def last_window(self) -> int:
        """The highest committed window number; 0 where there is none."""
        return max((int(row["_value"]) for row in self._query(flux.last_window(self.bucket))), default=0)

    def since(self, window: int) -> Iterator[Block]:
        """Blocks with a higher window number, in order. Births and presence are not kept here."""
        for row in self._query(flux.windows_after(self.bucket, window)):
            number, low, high = int(row["number"]), int(row["low_ms"]), int(row["high_ms"])
            samples = self._query(flux.samples_of_window(self.bucket, number, low, high))
            lines = self._query(flux.logs_of_window(self.bucket, number, low, high))
            yield _block(number, int(row["received_ms"]), list(samples), list(lines))

    def range(self, series: int, start_ms: int, end_ms: int, *, limit: int = 0) -> tuple[Integers, Floats]:
        """(t_ms, value) of one series in [start, end), by time; thinned by min/max buckets where `limit` > 0."""
        query = flux.value_range(self.bucket, series, start_ms, end_ms)
        if limit:
            query = flux.thinned_range(self.bucket, series, start_ms, end_ms, buckets=max(1, limit // 2))
        rows = [(_ms(row["_time"]), float(row["_value"])) for row in self._query(query)]
        rows = sorted(set(rows)) if limit else rows
        return np.array([t for t, _ in rows], np.int64), np.array([v for _, v in rows], np.float64)

    def last(self, series: Sequence[int]) -> tuple[Integers, Floats]:
        """Newest (t_ms, value) of each series; t_ms -1 and NaN where there is none."""
        t_ms, value = np.full(len(series), -1, np.int64), np.full(len(series), np.nan)
        if len(series):
            place = {int(number): at for at, number in enumerate(series)}
            ahead_ms = int(datetime.now(UTC).timestamp() * 1000) + DAY_S * 1000
            for row in self._query(flux.last_values(self.bucket, list(place), ahead_ms)):
                at = place[int(row["series"])]
                t_ms[at], value[at] = _ms(row["_time"]), float(row["_value"])
        return t_ms, value

    def logs(self, device: int, start_ms: int, end_ms: int, *, limit: int = 200) -> list[tuple[int, str, str, str]]:
        """Newest `limit` log lines of a device in [start, end): (t_ms, severity, source, text), oldest first."""
        rows = self._query(flux.log_tail(self.bucket, device, start_ms, end_ms, limit=limit))
        found = [(_ms(r["_time"]), SEVERITIES[int(r["severity"])], str(r["source"]), str(r["text"])) for r in rows]
        return found[::-1]

    def retain(self, now_ms: int) -> dict[str, int]:
        """Roll the last two days up by the hour; InfluxDB itself drops what is older than a bucket's retention."""
        end_ms = now_ms // HOUR_MS * HOUR_MS
        list(self._query(flux.roll_up(self.bucket, self.hourly, end_ms - 48 * HOUR_MS, end_ms)))
        return {}

    def close(self) -> None:
        """Release the connection."""
        self._write_api.close()
        self._client.close()

    def _make_buckets(self, wanted: dict[str, float]) -> None:
        try:
            buckets = self._client.buckets_api()
            for name, keep_s in wanted.items():
                rules = BucketRetentionRules(type="expire", every_seconds=int(keep_s))
                held = buckets.find_bucket_by_name(name)
                if held is None:
                    buckets.create_bucket(bucket_name=name, org=self.org, retention_rules=rules)
                else:
                    held.retention_rules = [rules]
                    buckets.update_bucket(held)
        except ApiException as exc:
            raise _refused(exc) from exc
        except HTTPError as exc:
            raise TryLater("store_away", "InfluxDB does not answer", after_s=AWAY_S) from exc

    def _write(self, lines: Sequence[str], *, precision: str) -> None:
        try:
            self._write_api.write(self.bucket, self.org, "\n".join(lines), write_precision=precision)
        except ApiException as exc:
            raise _refused(exc) from exc
        except HTTPError as exc:
            raise TryLater("store_away", "InfluxDB does not answer", after_s=AWAY_S) from exc

    def _query(self, query: str) -> Iterable[dict[str, Any]]:
        try:
            tables = self._client.query_api().query(query, org=self.org)
        except ApiException as exc:
            raise _refused(exc) from exc
        except HTTPError as exc:
            raise TryLater("store_away", "InfluxDB does not answer", after_s=AWAY_S) from exc
        return [record.values for table in tables for record in table.records]


def _refused(exc: ApiException) -> ConfigError | TryLater:
    """InfluxDB's answer as ours: a wrong token or name needs a person, everything else passes."""
    if exc.status in (401, 403):
        return ConfigError("store_refused", "InfluxDB refuses the token: set BEFOREHAND_STORE__INFLUX_TOKEN")
    if exc.status == 404:
        return ConfigError("store_refused", "InfluxDB knows no such organisation or bucket: see store.influx_org")
    return TryLater("store_busy", f"InfluxDB answered {exc.status}", after_s=AWAY_S)


def _sample_lines(block: Block, roster: Roster, oldest_ms: int) -> list[str]:
    """Line protocol of the samples, made in columns; what is beyond retention is left out, or InfluxDB would refuse."""
    kept = block.t_ms > oldest_ms
    series, place = np.unique(block.series[kept], return_inverse=True)
    owners, kinds = roster.series_device[series], roster.series_metric[series]
    heads = pa.array(
        [
            f"samples,device={_tag(roster.devices[d].device_id)},metric={_tag(roster.metrics[m])},series={s} value="
            for s, d, m in zip(series.tolist(), owners.tolist(), kinds.tolist(), strict=True)
        ]
    )
    tails = pa.array([f",window={block.window}i ", f",window={block.window}i,late=true "])
    lines = pc.binary_join_element_wise(
        heads.take(pa.array(place)),
        pa.array(block.value[kept]).cast(pa.string()),
        tails.take(pa.array(block.late[kept].astype(np.int8))),
        pa.array(block.t_ms[kept]).cast(pa.string()),
        "",
    )
    found: list[str] = lines.to_pylist()
    return found


def _log_lines(block: Block, oldest_ms: int) -> list[str]:
    """Line protocol of the log lines. Lines of one millisecond are kept apart by a digest below the millisecond."""
    logs = block.logs
    columns = zip(logs.device.tolist(), logs.t_ms.tolist(), logs.severity.tolist(), logs.source, logs.text, strict=True)
    return [
        f"logs,device={device} text={_field(text)},source={_field(source)},severity={severity}i,window={block.window}i "
        f"{t_ms * 1_000_000 + zlib.crc32(f'{source}|{text}'.encode()) % 1_000_000}"
        for device, t_ms, severity, source, text in columns
        if t_ms > oldest_ms
    ]


def _key_lines(block: Block, keys: Sequence[BatchKey]) -> list[str]:
    """Batch keys as points, a nanosecond apart from the commit on, so that no two of a device share a time."""
    start = block.received_ms * 1_000_000
    return [f'batches,device={k.device} key="{k.boot}/{k.seq}" {start + n}' for n, k in enumerate(keys)]


def _window_line(block: Block) -> str:
    times = np.concatenate([block.t_ms, block.logs.t_ms])
    low, high = (int(times.min()), int(times.max())) if times.size else (block.received_ms, block.received_ms)
    fields = f"number={block.window}i,low_ms={low}i,high_ms={high}i,received_ms={block.received_ms}i"
    return f"windows {fields} {block.received_ms * 1_000_000 + block.window % 1_000_000}"


def _block(window: int, received_ms: int, samples: list[dict[str, Any]], lines: list[dict[str, Any]]) -> Block:
    series = np.array([int(row["series"]) for row in samples], np.int64)
    t_ms = np.array([_ms(row["_time"]) for row in samples], np.int64)
    order = np.lexsort((t_ms, series))
    value = np.array([row["value"] for row in samples], np.float64)
    late = np.array([bool(row.get("late")) for row in samples], np.bool_)
    logs = LogLines(
        device=np.array([int(row["device"]) for row in lines], np.int64),
        t_ms=np.array([_ms(row["_time"]) for row in lines], np.int64),
        severity=np.array([int(row["severity"]) for row in lines], np.int8),
        source=tuple(str(row["source"]) for row in lines),
        text=tuple(str(row["text"]) for row in lines),
    )
    return Block(
        window=window, received_ms=received_ms, series=series[order], t_ms=t_ms[order], value=value[order],
        late=late[order], logs=logs,
    )  # fmt: skip


def _ms(moment: datetime) -> int:
    return timegm(moment.utctimetuple()) * 1000 + moment.microsecond // 1000


def _tag(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ") or "-"


def _field(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
