"""The wire is total: any bytes give a value or a WireError, and what was encoded comes back."""

import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import wire
from edge.wire import Batch, LogLine, WireError

DECODERS = {
    "batch": wire.decode_batch,
    "birth": wire.decode_birth,
    "death": wire.decode_death,
    "stored": wire.decode_stored,
    "desired": wire.decode_desired,
    "reported": wire.decode_reported,
    "reply": wire.decode_reply,
    "command": lambda payload: wire.decode_command(payload, device_id="d", key=b"k" * 32, now_ms=5),
}
CODES = set(wire.WireError.__doc__.replace("`", " ").replace(",", " ").replace(".", " ").split())

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4), max_leaves=20)  # fmt: skip # noqa: E501
keys = ["v", "boot", "seq", "sent", "t", "m", "l", "h", "a", "r", "config", "settings", "refused", "id", "ok", "code", "part", "parts", "text", "body", "sig", "clean", "type"]  # fmt: skip # noqa: E501
documents = st.dictionaries(st.sampled_from(keys) | st.text(max_size=4), values).map(lambda d: {"v": 1, "boot": 1, "seq": 0, "sent": 9} | d)  # fmt: skip # noqa: E501
texts = documents.map(lambda document: json.dumps(document).encode())
payloads = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=300).map(lambda tail: b"{" + tail),
    st.binary(max_size=300).map(lambda tail: b"\x78" + tail),
    texts,
    texts.map(zlib.compress),
    texts.map(wire.deflate),
    st.tuples(texts.map(wire.deflate), st.integers(0, 400), st.integers(0, 255)).map(
        lambda one: one[0][: one[1]] + bytes([one[2]]) + one[0][one[1] + 1 :]
    ),
)


@pytest.mark.parametrize("kind", DECODERS)
@settings(max_examples=60, deadline=None)
@given(payload=payloads)
def test_any_bytes_give_a_value_or_a_wire_error(kind, payload):
    try:
        value = DECODERS[kind](payload)
    except WireError as exc:
        assert exc.code in CODES  # noqa: PT017  # either outcome is right
    else:
        assert value is not None
        json.dumps(repr(value), ensure_ascii=False).encode()  # no lone surrogate got in


times = st.lists(st.integers(0, 10**6), max_size=20).map(
    lambda steps: tuple(sorted(1_700_000_000_000 + s for s in steps))
)
numbers = st.none() | st.integers(-99_999, 99_999) | st.floats(-1e9, 1e9).map(lambda value: float(f"{value:.5g}"))
names = st.from_regex(wire.NAME, fullmatch=True).filter(lambda name: name not in wire.METRICS)
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50)


@st.composite
def batches(draw):
    t_ms = draw(times)
    column = st.lists(numbers, min_size=len(t_ms), max_size=len(t_ms)).map(tuple)
    line = st.builds(LogLine, st.integers(0, 2**50), st.integers(0, 4), words, words)
    return Batch(
        boot=draw(st.integers(1, 2**40)),
        seq=draw(st.integers(0, 2**40)),
        sent_at_ms=draw(st.integers(0, 2**50)),
        t_ms=t_ms,
        columns=draw(st.dictionaries(names.filter(lambda name: not name.endswith("_total")), column, max_size=5)),
        logs=tuple(draw(st.lists(line, max_size=5))),
        historical=draw(st.booleans()),
        alarm=draw(st.booleans()),
    )


@settings(deadline=None)
@given(batch=batches(), packed=st.booleans())
def test_a_batch_survives_the_wire(batch, packed):
    assert wire.decode_batch(wire.encode_batch(batch, packed=packed)) == batch


@given(keys=st.sets(st.tuples(st.integers(1, 5), st.integers(0, 30))))
def test_a_mark_names_exactly_the_batches_it_was_made_of(keys):
    ranges = wire.decode_stored(wire.encode_stored(wire.ranges_of(keys)))

    assert {(boot, seq) for boot, first, last in ranges for seq in range(first, last + 1)} == keys
    assert sum(last - first + 1 for _, first, last in ranges) == len(keys)
