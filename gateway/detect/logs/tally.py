"""How often each device writes each template, and when that is a burst.

A table of (devices, TRACKED) rows; a device whose log has more templates than that keeps the ones it wrote last. Time
is cut into buckets of ten minutes. A row holds the count of its present bucket and, of the closed ones, exponentially
forgotten sums: of counts, of their squares, of buckets. The count of a bucket is taken to be negative binomial with
the row's own mean and variance, widened by what is not known yet; a burst is a count in the far tail that also beats
every recent bucket, so that what happened last week is no news.

Source: a gamma prior on a Poisson rate gives the negative binomial, as in A. Gelman et al. (2013), Bayesian data
analysis, section 2.6; matching its variance to an overdispersed past: A. Noufaily et al. (2013), An improved algorithm
for outbreak detection in multiple surveillance systems, Statistics in Medicine 32, 1206-1222.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from gateway.model import Flags, Floats, Integers, LogLines

BUCKET_MS = 600_000
TRACKED = 24  # rows of a device; its log over hours rarely has more (Loghub: 90 % of lines come from 10 templates)
FORGET = 0.5 ** (1 / 1008)  # a bucket; half in a week
FADE = 0.5 ** (1 / 2016)  # of the highest bucket; half in two weeks
DIGITS = 8.0  # a tail of 1e-8 scores 1.0: under one false burst a device-year for 24 templates, were the model exact
PRIOR = 0.5  # counts that the fleet's rate is worth against the device's own past (Jeffreys)
NEW_RATE = 0.1  # of a bucket: the rate of a template that the fleet does not know
LEAST = 5  # lines in a bucket under which nothing is a burst

ROW = np.dtype(
    [
        *(("slot", np.int32), ("open", np.int8)),
        *((name, np.int64) for name in ("bucket", "onset_ms", "hot_ms")),
        *((name, np.float32) for name in ("count", "past", "square", "span", "high", "peak")),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Lines of one bucket by device and template, (pairs,) each, sorted by device; no pair twice."""

    bucket: int
    device: Integers
    slot: Integers
    lines: Floats
    first_ms: Integers
    last_ms: Integers
    severity: NDArray[np.int8]  # the highest

    def __len__(self) -> int:
        return int(self.device.size)


def buckets(logs: LogLines, slot: Integers) -> Iterator[Counts]:
    """The lines by bucket, oldest first, counted by device and template."""
    bucket = logs.t_ms // BUCKET_MS
    order = np.lexsort((logs.t_ms, slot, logs.device, bucket))
    columns = np.stack([bucket, logs.device, slot])[:, order]
    starts = np.flatnonzero(np.r_[True, (np.diff(columns) != 0).any(0)])
    lines = np.diff(np.r_[starts, order.size]).astype(np.float64)
    ends = np.r_[starts[1:], order.size] - 1
    severity = np.maximum.reduceat(logs.severity[order], starts)
    groups = columns[:, starts]
    edges = np.flatnonzero(np.diff(groups[0], prepend=groups[0, 0] - 1))
    for a, b in zip(edges.tolist(), [*edges[1:].tolist(), starts.size], strict=True):
        yield Counts(
            bucket=int(groups[0, a]),
            device=groups[1, a:b],
            slot=groups[2, a:b],
            lines=lines[a:b],
            first_ms=logs.t_ms[order[starts[a:b]]],
            last_ms=logs.t_ms[order[ends[a:b]]],
            severity=severity[a:b],
        )


def only(counts: Counts, kept: Flags) -> Counts:
    """The counts of the kept pairs."""
    names = ("device", "slot", "lines", "first_ms", "last_ms", "severity")
    return Counts(bucket=counts.bucket, **{name: getattr(counts, name)[kept] for name in names})


def init(devices: int) -> NDArray[Any]:
    """An empty table."""
    table = np.zeros((devices, TRACKED), ROW)
    table["slot"], table["bucket"] = -1, -1
    return table


def place(table: NDArray[Any], counts: Counts, age: Floats) -> tuple[Integers, list[tuple[int, Any]]]:
    """The column of every pair, made where there is none in place of the row unused for longest.

    Args:
        table: of `init`; advanced in place.
        counts: of one bucket.
        age: (pairs,) buckets for which the pair's device has been heard, in which it did not write a new row's
        template.

    Returns:
        (pairs,) columns, -1 where a device wrote more templates in this bucket than it has rows; and (device, row) of
        those rows with an open episode that had to go.
    """
    match = table["slot"][counts.device] == counts.slot[:, None]
    column = np.where(match.any(1), match.argmax(1), -1)
    lost: list[tuple[int, Any]] = []
    while (missing := np.flatnonzero(column < 0)).size:
        pair = missing[np.unique(counts.device[missing], return_index=True)[1]]  # one a device at a time
        device = counts.device[pair]
        rows = table[device]
        taken = np.zeros(rows.shape, np.bool_)  # a row given out in this call is not taken away again
        given = np.isin(counts.device, device) & (column >= 0)
        taken[np.searchsorted(device, counts.device[given]), column[given]] = True
        dear = rows["bucket"] + (rows["open"] > 0) * (1 << 40) + taken * (1 << 50)
        chosen = dear.argmin(1)
        old = rows[np.arange(pair.size), chosen]
        lost += [(int(d), r) for d, r in zip(device[old["open"] > 0], old[old["open"] > 0], strict=True)]
        fresh = np.zeros(pair.size, ROW)
        fresh["slot"], fresh["bucket"] = counts.slot[pair], counts.bucket
        fresh["span"] = age[pair]
        table[device, chosen] = fresh
        column[pair] = chosen
    return np.where(table["slot"][counts.device, column] == counts.slot, column, -1), lost


def roll(table: NDArray[Any], device: Integers, column: Integers, bucket: int) -> None:
    """Close the buckets before `bucket` of the given rows."""
    rows = table[device, column]
    steps = np.maximum(bucket - rows["bucket"], 0).astype(np.float64)
    moved = steps > 0
    empty = FORGET ** np.maximum(steps - 1, 0)
    n = rows["count"].astype(np.float64)
    for name, closed in (("past", n), ("square", n * n)):
        rows[name] = np.where(moved, (rows[name] * FORGET + closed) * empty, rows[name])
    rows["span"] = np.where(moved, (rows["span"] * FORGET + 1) * empty + (1 - empty) / (1 - FORGET), rows["span"])
    rows["high"] = np.where(moved, np.maximum(rows["high"], n) * FADE**steps, rows["high"])
    rows["count"] = np.where(moved, 0.0, n)
    rows["bucket"] = np.maximum(rows["bucket"], bucket)
    table[device, column] = rows


def add(table: NDArray[Any], counts: Counts, column: Integers, fleet_rate: Floats) -> tuple[Floats, Floats]:
    """Add the counts to their rows.

    Args:
        table: advanced in place; a row that is ahead of the counts takes them into its past.
        counts: of one bucket.
        column: (pairs,) of `place`, rolled to that bucket.
        fleet_rate: (pairs,) lines a bucket that devices of the type write of the template.

    Returns:
        (pairs,) burst scores, 1.0 being the threshold and 0 where late, and the expected counts.
    """
    rows = table[counts.device, column]
    on_time = rows["bucket"] == counts.bucket
    rows["past"] += np.where(on_time, 0.0, counts.lines)
    rows["count"] += np.where(on_time, counts.lines, 0.0)
    table[counts.device, column] = rows
    mean, variance = _expect(rows, fleet_rate)
    score = -np.log10(np.maximum(_tail(rows["count"], mean, variance), 1e-300)) / DIGITS
    news: Flags = on_time & (rows["count"] >= LEAST) & (rows["count"] > rows["high"])
    return np.where(news, score, 0.0), mean


def _expect(rows: NDArray[Any], fleet_rate: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of the next bucket's count: own past under a weak prior at the fleet's rate."""
    rate = np.where(fleet_rate > 0, fleet_rate, NEW_RATE)
    known, span = rows["past"] + PRIOR, rows["span"] + PRIOR / rate
    mean = known / span
    own = np.maximum(rows["span"], 1.0)
    spread = rows["square"] / own - (rows["past"] / own) ** 2
    over = np.maximum(spread / np.maximum(rows["past"] / own, 1e-9), 1.0)
    return mean, mean * over + mean * mean / known


def _tail(count: Floats, mean: Floats, variance: Floats) -> Floats:
    """P(N >= count) of the negative binomial with that mean and variance."""
    size = mean * mean / np.maximum(variance - mean, 1e-9)
    tail: Floats = betainc(np.maximum(count, 1.0), size, mean / (mean + size))
    return np.where(count > 0, tail, 1.0)
