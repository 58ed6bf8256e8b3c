"""What a full buffer gives up before it gives up whole batches: every second sample, then the lesser log lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from edge.wire import SEVERITIES, WireError, decode_batch, encode_batch
from edge.wire.batch import Column

KEPT = SEVERITIES.index("warning")


class Thinned(NamedTuple):
    """What is left of a batch. `payload` is None where nothing worth keeping is."""

    payload: bytes | None
    samples: int  # times left
    left_out: int  # values


def thinned(payload: bytes) -> Thinned:
    """The batch with half its samples: the older of each pair goes.

    A batch of one sample loses it and all lines below `warning`. The key stays, so a gateway that had the whole batch
    already drops this one as a repeat.
    """
    try:
        batch = decode_batch(payload)
    except WireError:
        return Thinned(None, 0, 0)
    length = len(batch.t_ms)
    few = length <= 1
    start = length if few else (length + 1) % 2
    columns = {name: column[start::2] for name, column in batch.columns.items()}
    columns = {name: column for name, column in columns.items() if any(value is not None for value in column)}
    logs = tuple(line for line in batch.logs if not few or line.severity >= KEPT)
    times = batch.t_ms[start::2] if columns else ()
    left_out = _values(batch.columns) - _values(columns)
    if not columns and not logs:
        return Thinned(None, 0, left_out)
    return Thinned(encode_batch(replace(batch, t_ms=times, columns=columns, logs=logs)), len(times), left_out)


def _values(columns: Mapping[str, Column]) -> int:
    return sum(value is not None for column in columns.values() for value in column)
