"""For any bytes: a result, or an error with a code. And the column decoder agrees with the reference."""

from __future__ import annotations

import json
import os
import zlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import wire
from gateway.errors import Refused
from gateway.ingest import Mapping, decode_batch
from gateway.ports import BatchKey, Delivery
from gateway.stores.keyset import KeySet
from tests.unit.ingest.fleet import NOW_MS, Door, batch, delivery, roster

EXAMPLES = int(os.environ.get("BEFOREHAND_FUZZ", "100"))  # a fuzz run sets tens of thousands
CODES = {"too_large", "bad_form", "bad_zlib", "bad_dictionary", "not_json", "bad_version", "bad_field", "bad_topic"}
REFUSALS = CODES | {
    "unknown_device", "revoked_device", "wrong_topic", "over_quota", "clock_off", "too_many_metrics", "nothing_mapped"
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)
FIELDS = {
    "v": st.just(1) | JSON, "boot": st.integers(0, 3) | JSON, "seq": st.integers(0, 9) | JSON,
    "sent": st.integers(NOW_MS - 10**6, NOW_MS) | JSON, "t": st.lists(st.integers(0, NOW_MS), max_size=3) | JSON,
    "m": st.dictionaries(st.sampled_from(["cpu_busy_ratio", "x", "Ü"]), st.lists(st.floats() | st.none(), max_size=3))
    | JSON, "l": st.lists(st.lists(JSON, max_size=5), max_size=2) | JSON, "h": st.sampled_from([0, 1]) | JSON,
}  # fmt: skip
DOCUMENTS = st.fixed_dictionaries({}, optional=FIELDS).map(lambda d: json.dumps(d).encode())
PAYLOADS = st.binary(max_size=200) | DOCUMENTS | DOCUMENTS.map(zlib.compress) | DOCUMENTS.map(lambda d: d[:-1])
TOPICS = (
    st.sampled_from([f"bf/1/a/{kind}" for kind in wire.UP + wire.DOWN] + ["bf/1/z/batch", "t/a", "t/z"]) | st.text()
)
MAPPING = Mapping(
    [{"topic": "t/{device}", "time": "at", "metrics": {"x": "p.0.q", "y": {"path": "", "values": {"on": 1}}}}]
)


def outcome(decode, payload):
    """What `decode` makes of the payload: a value, or the code of its error."""
    try:
        return decode(payload)
    except (wire.WireError, Refused) as exc:
        return exc.code


@given(payload=PAYLOADS)
@settings(max_examples=EXAMPLES, deadline=None)
def test_the_decoder_agrees_with_the_reference_on_any_bytes(payload):
    expected, found = outcome(wire.decode_batch, payload), outcome(decode_batch, payload)

    if isinstance(found, str) or isinstance(expected, str):
        assert isinstance(found, str), (found, expected)
        assert isinstance(expected, str), (found, expected)
        assert found in CODES
        return
    assert (found.boot, found.seq, found.sent_ms) == (expected.boot, expected.seq, expected.sent_at_ms)
    assert np.cumsum(found.steps).tolist() == list(expected.t_ms)
    assert found.metrics == tuple(expected.columns)
    assert [tuple(c) for c in found.columns] == [tuple(c) for c in expected.columns.values()]
    assert (found.lines, found.historical, found.alarm) == (expected.logs, expected.historical, expected.alarm)


@given(window=st.lists(st.tuples(TOPICS, PAYLOADS, st.integers(0, NOW_MS)), max_size=8))
@settings(max_examples=EXAMPLES, deadline=None)
def test_any_window_is_taken_and_every_delivery_is_accounted_for(window):
    door = Door(roster("a"), mapping=MAPPING)
    good = delivery(batch(10**6))

    harvest = door.take(*(Delivery(topic, payload, None, at) for topic, payload, at in window), good)

    assert {letter.code for letter in harvest.dead} <= REFUSALS
    told = len(harvest.presence) + len(harvest.messages)
    assert len(harvest.keys) + harvest.duplicates + told + len(harvest.dead) == len(window) + 1
    assert BatchKey(0, 1, 10**6) in harvest.keys
    columns = harvest.columns
    assert np.isfinite(columns.value).all()
    assert np.array_equal(np.lexsort((columns.t_ms, columns.series)), np.arange(columns.value.size))


@given(topic=st.just("t/a") | st.text(), payload=PAYLOADS | JSON.map(lambda d: json.dumps({"p": [{"q": d}]}).encode()))
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_mapping_reads_any_message_or_refuses_it(topic, payload):
    found = outcome(lambda raw: MAPPING.read(topic, raw, at_ms=NOW_MS), payload)

    if isinstance(found, str):
        assert found in REFUSALS
        return
    assert wire.DEVICE_ID.fullmatch(found.device_id)
    assert all(np.isfinite(column).all() for column in np.asarray(found.batch.columns, float))
    assert 0 <= found.batch.seq < 2**63


@given(
    times=st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=6).map(sorted), max_size=6),
    cut=st.integers(0, 6),
)
@settings(max_examples=EXAMPLES, deadline=None)
def test_one_window_or_many_store_the_same_samples(times, cut):
    sent = [
        delivery(batch(seq, t_ms=[NOW_MS + t for t in ts], x=[float(seq)] * len(ts))) for seq, ts in enumerate(times)
    ]
    whole, parts = Door(), Door()

    at_once = whole.take(*sent).columns
    apart = [parts.take(*sent[:cut]).columns, parts.take(*sent[cut:]).columns]

    one = sorted(zip(at_once.t_ms.tolist(), at_once.value.tolist(), strict=True))
    two = sorted((t, v) for c in apart for t, v in zip(c.t_ms.tolist(), c.value.tolist(), strict=True))
    assert one == two


KEYS = st.builds(BatchKey, st.integers(0, 1), st.integers(0, 2), st.integers(0, 12))


@given(added=st.lists(KEYS), asked=st.lists(KEYS))
def test_a_key_set_is_a_set(added, asked):
    keys, plain = KeySet(), set()
    for key in added:
        keys.add(key)
        plain.add(key)

    assert [key in keys for key in asked] == [key in plain for key in asked]
    ranges = list(keys.ranges())
    held = {BatchKey(d, b, s) for d, b, first, last in ranges for s in range(first, last + 1)}
    assert held == {key for key in plain if key.boot}
    assert len(ranges) == sum(BatchKey(k.device, k.boot, k.seq + 1) not in held for k in held)
