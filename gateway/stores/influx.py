"""Samples and log lines in InfluxDB 2, through influxdb-client.

InfluxDB has no transactions, so a window is written in an order that makes every crash harmless: samples, log lines,
births and presence, the window itself, and its batch keys last. A point is named by its series and time, so a window
that comes again writes the same points over themselves, under its new number. While the server is away, or refuses us,
`append` raises TryLater: nothing is acknowledged, the broker queues, and nothing is lost.

The batch keys are in memory, as this is the one writer: read once, from ranges written at each retention and the keys
since.
"""

from __future__ import annotations

import json
import threading
import time
from calendar import timegm
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

import numpy as np
import structlog
from influxdb_client import BucketRetentionRules, InfluxDBClient
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.flux_csv_parser import FluxCsvParserException, FluxQueryException
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from gateway.errors import ConfigError, TryLater
from gateway.model import SEVERITIES, Birth, Block, Floats, Integers, LogLines, Presence, Roster
from gateway.ports import BatchKey
from gateway.stores import flux, influx_line
from gateway.stores.influx_line import plain
from gateway.stores.keyset import KeySet

SERIES_A_QUERY = 500  # keeps a Flux query under a hundred kilobytes
LINES_A_WRITE = 20_000  # about 2 MB before gzip: well within a request's 30 s
HOUR_MS, DAY_S = 3_600_000, 86_400
OVERLAP_MS = 6 * HOUR_MS  # keys of so long before the ranges are read again: an append may have waited
AWAY_S = 5.0  # before the server is asked again
_UNKNOWN = "InfluxDB knows no such organisation or bucket: see store.influx_org and store.influx_bucket"
PARTLY = 422  # some points were dropped and the rest is written
T = TypeVar("T")
log = structlog.get_logger(__name__)


class InfluxStore:
    """A SeriesStore on InfluxDB 2. The roster gives the tags their names; a retention of 0 s is for ever."""

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
    ) -> None:
        """Raises ConfigError (`store_refused`). A server that is away is asked again at the first use."""
        self.roster = roster
        self.bucket, self.hourly, self.org = bucket, f"{bucket}_hourly", org
        self._kept_s = {self.bucket: keep_raw_s, self.hourly: keep_rollup_s}
        self._client = InfluxDBClient(url=url, token=token, org=org, timeout=30_000, enable_gzip=True)
        self._write_api = self._client.write_api(write_options=SYNCHRONOUS)
        self._lock = threading.Lock()
        self._keys: KeySet | None = None
        self._made = False  # whether the buckets are known to be there
        try:
            self._make_buckets()
        except TryLater as exc:
            if exc.code == "store_refused":
                raise ConfigError(exc.code, exc.detail) from exc
            log.warning("store.away", code=exc.code, detail=exc.detail)

    def seen(self, keys: Sequence[BatchKey]) -> set[BatchKey]:
        """Which of the keys are stored already."""
        with self._lock:
            held = self._known()
            return {key for key in keys if key in held}

    def append(self, block: Block, keys: Sequence[BatchKey]) -> None:
        """Write one window.

        Raises:
            TryLater: `store_away`, `store_busy` or `store_refused`; the window may then come again.
        """
        oldest_ms = self._oldest_ms(block.received_ms)
        self._write(influx_line.samples(block, self.roster, oldest_ms), precision="ms")
        self._write(influx_line.logs(block, oldest_ms) + influx_line.events(block), precision="ns")
        self._write([influx_line.window(block)], precision="ns")
        self._write(influx_line.keys(block, keys), precision="ns")
        with self._lock:
            held = self._known()
            for key in keys:
                held.add(key)

    def settle(self, window: int) -> None:
        """Nothing to do: InfluxDB arranges its own files."""

    def last_window(self) -> int:
        """The highest committed window number; 0 where there is none."""
        return max((int(row["_value"]) for row in self._query(flux.last_window(self.bucket))), default=0)

    def since(self, window: int) -> Iterator[Block]:
        """Blocks with a higher window number, in order; of samples of one series and time the newest is there."""
        for row in self._query(flux.windows_after(self.bucket, window)):
            number, received_ms = int(row["number"]), int(row["received_ms"])
            span = number, int(row["low_ms"]), int(row["high_ms"])
            yield _block(
                number,
                received_ms,
                list(self._query(flux.samples_of_window(self.bucket, *span))),
                list(self._query(flux.logs_of_window(self.bucket, *span))),
                list(self._query(flux.events_of_window(self.bucket, number, received_ms))),
            )

    def range(self, series: int, start_ms: int, end_ms: int, *, limit: int = 0) -> tuple[Integers, Floats]:
        """(t_ms, value) of one series in [start, end), by time; thinned by min/max buckets where `limit` > 0.

        What is older than raw samples are kept comes from the hourly roll-up.
        """
        turned_ms = max(start_ms, self._oldest_ms(_now_ms()))
        raw, rolled = ("value", "value", "value"), ("mean", "min", "max")
        found = self._span(self.bucket, series, (turned_ms, end_ms), limit=limit, fields=raw)
        found += self._span(self.hourly, series, (start_ms, min(turned_ms, end_ms)), limit=limit, fields=rolled)
        rows = sorted(set(found)) if limit else sorted(found)
        return np.array([t for t, _ in rows], np.int64), np.array([v for _, v in rows], np.float64)

    def _span(
        self, bucket: str, series: int, span: tuple[int, int], *, limit: int, fields: tuple[str, str, str]
    ) -> list[tuple[int, float]]:
        start_ms, end_ms = span
        if start_ms >= min(end_ms, flux.LAST_MS):  # InfluxDB does not take an empty range
            return []
        query = flux.value_range(bucket, series, start_ms, end_ms, field=fields[0])
        if limit:
            parts = max(1, limit // 2)
            query = flux.thinned_range(bucket, series, start_ms, end_ms, buckets=parts, fields=fields[1:])
        return [(_ms(row["_time"]), float(row["_value"])) for row in self._query(query)]

    def last(self, series: Sequence[int]) -> tuple[Integers, Floats]:
        """Newest (t_ms, value) of each series; t_ms -1 and NaN where there is none."""
        t_ms, value = np.full(len(series), -1, np.int64), np.full(len(series), np.nan)
        place = {int(number): at for at, number in enumerate(series)}
        for first in range(0, len(series), SERIES_A_QUERY):
            for row in self._query(flux.last_values(self.bucket, series[first : first + SERIES_A_QUERY])):
                at = place[int(row["series"])]
                t_ms[at], value[at] = _ms(row["_time"]), float(row["_value"])
        return t_ms, value

    def logs(self, device: int, start_ms: int, end_ms: int, *, limit: int = 200) -> list[tuple[int, str, str, str]]:
        """Newest `limit` log lines of a device in [start, end): (t_ms, severity, source, text), oldest first."""
        if start_ms >= min(end_ms, flux.LAST_MS):
            return []
        rows = self._query(flux.log_tail(self.bucket, device, start_ms, end_ms, limit=limit))
        found = [(_ms(r["_time"]), SEVERITIES[int(r["severity"])], plain(r["source"]), plain(r["text"])) for r in rows]
        return found[::-1]

    def retain(self, now_ms: int) -> dict[str, int]:
        """Roll the last two days up by the hour, and write the batch keys as ranges.

        InfluxDB itself drops what is older than a bucket's retention.
        """
        with self._lock:
            lines = influx_line.ranges(self._known(), now_ms)
        self._write(lines, precision="ms")
        self._write([f'ranges,device=- ranges="-" {now_ms}'], precision="ms")  # last: all before it are there
        end_ms = now_ms // HOUR_MS * HOUR_MS
        self._query(flux.roll_up(self.bucket, self.hourly, end_ms - 48 * HOUR_MS, end_ms))
        return {}

    def close(self) -> None:
        """Release the connection."""
        self._write_api.close()
        self._client.close()

    def _known(self) -> KeySet:
        """The keys that are stored; the caller holds the lock."""
        if self._keys is None:
            held, since_ms = KeySet(), 0
            for row in self._query(flux.newest_ranges(self.bucket)):
                if row["device"] == "-":
                    since_ms = _ms(row["_time"]) - OVERLAP_MS
                    continue
                for boot, first, last in influx_line.read_ranges(str(row["_value"])):
                    held.add_range(int(row["device"]), boot, first, last)
            for row in self._query(flux.keys_after(self.bucket, since_ms)):
                boot_of, _, seq = str(row["_value"]).partition("/")
                held.add(BatchKey(int(row["device"]), int(boot_of), int(seq)))
            self._keys = held
        return self._keys

    def _oldest_ms(self, now_ms: int) -> int:
        kept_s = self._kept_s[self.bucket]
        return now_ms - int(1000 * kept_s) if kept_s else -1

    def _make_buckets(self) -> None:
        buckets = self._client.buckets_api()
        for name, keep_s in self._kept_s.items():
            rules = [BucketRetentionRules(type="expire", every_seconds=int(keep_s))]
            held = self._ask(lambda name=name: buckets.find_bucket_by_name(name))  # type: ignore[misc]
            if held is None:
                self._ask(
                    lambda name=name, rules=rules: buckets.create_bucket(  # type: ignore[misc]
                        bucket_name=name, org=self.org, retention_rules=rules
                    )
                )
            elif [rule.every_seconds for rule in held.retention_rules or ()] != [int(keep_s)]:
                held.retention_rules = rules
                self._ask(lambda held=held: buckets.update_bucket(held))  # type: ignore[misc]
        self._made = True

    def _write(self, lines: Sequence[str], *, precision: str) -> None:
        for first in range(0, len(lines), LINES_A_WRITE):
            text = "\n".join(lines[first : first + LINES_A_WRITE])
            self._use(lambda text=text: self._put(text, precision))  # type: ignore[misc]

    def _put(self, text: str, precision: str) -> None:
        try:
            self._write_api.write(self.bucket, self.org, text, write_precision=precision)
        except ApiException as exc:
            if exc.status != PARTLY:
                raise
            log.error("store.partly", detail=_message(exc))  # to come again would change nothing, and hold up the rest

    def _query(self, query: str) -> Iterable[dict[str, Any]]:
        tables = self._use(lambda: self._client.query_api().query(query, org=self.org))
        return [record.values for table in tables for record in table.records]

    def _use(self, call: Callable[[], T]) -> T:
        if not self._made:
            self._make_buckets()
        return self._ask(call)

    def _ask(self, call: Callable[[], T]) -> T:
        """Do it; the server's failures become ours."""
        try:
            return call()
        except ApiException as exc:
            raise _refused(exc) from exc
        except InfluxDBError as exc:  # the client itself looked for the organisation
            raise TryLater("store_refused", _UNKNOWN, after_s=AWAY_S) from exc
        except (FluxQueryException, FluxCsvParserException) as exc:
            raise TryLater("store_busy", "InfluxDB broke off its answer to a query", after_s=AWAY_S) from exc
        except HTTPError as exc:
            raise TryLater("store_away", "InfluxDB does not answer", after_s=AWAY_S) from exc


def _refused(exc: ApiException) -> TryLater:
    """InfluxDB's answer as ours: a wrong token or name needs a person, everything else passes by itself."""
    if exc.status in (401, 403):
        return TryLater("store_refused", "InfluxDB refuses the token: set BEFOREHAND_STORE__INFLUX_TOKEN")
    if exc.status == 404:
        return TryLater("store_refused", _UNKNOWN, after_s=AWAY_S)
    wait = str((exc.headers or {}).get("Retry-After", ""))
    return TryLater("store_busy", f"InfluxDB answered {exc.status}", after_s=float(wait) if wait.isdigit() else AWAY_S)


def _message(exc: ApiException) -> str:
    try:
        return str(json.loads(exc.body)["message"])[:200]
    except (ValueError, KeyError, TypeError):
        return str(exc.status)


def _block(
    window: int,
    received_ms: int,
    samples: list[dict[str, Any]],
    lines: list[dict[str, Any]],
    events: list[dict[str, Any]],
) -> Block:
    series = np.array([int(row["series"]) for row in samples], np.int64)
    t_ms = np.array([_ms(row["_time"]) for row in samples], np.int64)
    order = np.lexsort((t_ms, series))
    value = np.array([row["value"] for row in samples], np.float64)
    late = np.array([bool(row.get("late")) for row in samples], np.bool_)
    lines.sort(key=lambda row: (int(row["device"]), row["_time"]))
    logs = LogLines(
        device=np.array([int(row["device"]) for row in lines], np.int64),
        t_ms=np.array([_ms(row["_time"]) for row in lines], np.int64),
        severity=np.array([int(row["severity"]) for row in lines], np.int8),
        source=tuple(plain(row["source"]) for row in lines),
        text=tuple(plain(row["text"]) for row in lines),
    )
    told = [(row["kind"], json.loads(plain(row["json"]))) for row in events]
    return Block(
        window=window, received_ms=received_ms, series=series[order], t_ms=t_ms[order], value=value[order],
        late=late[order], logs=logs,
        births=tuple(
            Birth(**row | {"metrics": tuple(map(tuple, row["metrics"]))}) for kind, row in told if kind == "birth"
        ),
        presence=tuple(Presence(**row) for kind, row in told if kind == "presence"),
    )  # fmt: skip


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _ms(moment: datetime) -> int:
    return timegm(moment.utctimetuple()) * 1000 + moment.microsecond // 1000
