r"""A block as InfluxDB's line protocol; `stores.flux` names the measurements.

String fields cannot hold a line break, so it is written as `\n`, and a backslash as two; `plain` undoes it.

Source: docs.influxdata.com, InfluxDB v2, Line protocol, "Special characters".
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway.model import Block, Roster
from gateway.ports import BatchKey
from gateway.stores.keyset import KeySet

MAX_STRING = 60_000  # of a string field; InfluxDB takes 64 KB
_UNESCAPED = {"n": "\n", "r": "\r", "\\": "\\"}


def samples(block: Block, roster: Roster, oldest_ms: int) -> list[str]:
    """The samples after `oldest_ms`, made in columns, ms; InfluxDB would refuse what is beyond its retention."""
    kept = block.t_ms > oldest_ms
    series, place = np.unique(block.series[kept], return_inverse=True)
    owners, kinds = roster.series_device[series], roster.series_metric[series]
    heads = pa.array(
        [
            f"samples,device={_tag(roster.devices[d].device_id)},metric={_tag(roster.metrics[m])},series={s} value="
            for s, d, m in zip(series.tolist(), owners.tolist(), kinds.tolist(), strict=True)
        ],
        pa.string(),
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


def logs(block: Block, oldest_ms: int) -> list[str]:
    """The log lines after `oldest_ms`, ns; those of one millisecond are kept apart by a digest below it."""
    rows = block.logs
    columns = zip(rows.device.tolist(), rows.t_ms.tolist(), rows.severity.tolist(), rows.source, rows.text, strict=True)
    return [
        f"logs,device={device} text={_field(text)},source={_field(source)},severity={severity}i,window={block.window}i "
        f"{t_ms * 1_000_000 + zlib.crc32(f'{source}|{text}'.encode()) % 1_000_000}"
        for device, t_ms, severity, source, text in columns
        if t_ms > oldest_ms
    ]


def events(block: Block) -> list[str]:
    """Births and presence, ns; a birth with more metrics than a string holds goes without them."""
    start, rows = block.received_ms * 1_000_000, []
    for birth in block.births:
        text = json.dumps(asdict(birth))
        rows.append(("birth", text if len(text) < MAX_STRING else json.dumps(asdict(birth) | {"metrics": []})))
    rows += [("presence", json.dumps(asdict(change))) for change in block.presence]
    return [
        f'events kind="{kind}",json={_field(text)},window={block.window}i {start + n}'
        for n, (kind, text) in enumerate(rows)
    ]


def keys(block: Block, wanted: Sequence[BatchKey]) -> list[str]:
    """Batch keys, ns: a nanosecond apart from the commit on, so that no two of a device share a time."""
    start = block.received_ms * 1_000_000
    return [f'batches,device={k.device} key="{k.boot}/{k.seq}" {start + n}' for n, k in enumerate(wanted)]


def window(block: Block) -> str:
    """The window itself, ns."""
    times = np.concatenate([block.t_ms, block.logs.t_ms])
    low, high = (int(times.min()), int(times.max())) if times.size else (block.received_ms, block.received_ms)
    fields = f"number={block.window}i,low_ms={low}i,high_ms={high}i,received_ms={block.received_ms}i"
    return f"windows {fields} {block.received_ms * 1_000_000 + block.window % 1_000_000}"


def ranges(held: KeySet, now_ms: int) -> list[str]:
    """All keys of a set as ranges, one line a device, ms; of a device with too many the newest."""
    by_device = groupby(sorted(held.ranges()), key=lambda one: one[0])
    return [f"ranges,device={device} ranges={_field(_joined(list(rows)))} {now_ms}" for device, rows in by_device]


def read_ranges(text: str) -> Iterator[tuple[int, int, int]]:
    """(boot, first, last) of each range that `ranges` wrote."""
    for one in text.split():
        boot, first, last = one.split("/")
        yield int(boot), int(first), int(last)


def plain(value: object) -> str:
    """The text of a string field, as it was before it was written; "" for none."""
    return re.sub(r"\\(.)", lambda found: _UNESCAPED.get(found[1], found[0]), str(value or ""))


def _joined(rows: Sequence[tuple[int, int, int, int]]) -> str:
    text = " ".join(f"{boot}/{first}/{last}" for _, boot, first, last in reversed(rows))
    return text if len(text) <= MAX_STRING else text[:MAX_STRING].rpartition(" ")[0]


def _tag(value: str) -> str:
    return value.replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ") or "-"


def _field(value: str) -> str:
    flat = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return '"' + flat.replace("\\", "\\\\").replace('"', '\\"') + '"'
