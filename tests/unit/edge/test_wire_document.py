"""docs/wire.md and the code say the same, in both directions."""

import re
import zlib
from pathlib import Path

import pytest

from edge import wire

TEXT = (Path(__file__).parents[3] / "docs" / "wire.md").read_text()
VECTORS = re.findall(r"### (.+)\n\n```vector (\w+)\nhex: ([0-9a-f]+)\njson: (.+)\n```", TEXT)
KEY, DEVICE, NOW_MS = bytes(range(32)), "lock-1", 1_700_000_000_000

CODECS = {
    "batch": (wire.decode_batch, wire.encode_batch),
    "birth": (wire.decode_birth, wire.encode_birth),
    "death": (wire.decode_death, wire.encode_death),
    "stored": (wire.decode_stored, wire.encode_stored),
    "desired": (wire.decode_desired, wire.encode_desired),
    "reply": (wire.decode_reply, wire.encode_reply),
    "command": (
        lambda payload: wire.decode_command(payload, device_id=DEVICE, key=KEY, now_ms=NOW_MS),
        lambda command: wire.encode_command(command, device_id=DEVICE, key=KEY),
    ),
}


def test_there_are_vectors_of_every_kind():
    assert {kind for _, kind, _, _ in VECTORS} == set(CODECS)


@pytest.mark.parametrize(("name", "kind", "payload", "text"), VECTORS, ids=[vector[0] for vector in VECTORS])
def test_a_vector_holds_in_both_directions(name, kind, payload, text):
    decode, encode = CODECS[kind]
    packed = bytes.fromhex(payload)

    value = decode(packed)

    assert wire.inflate(packed).decode() == text
    assert decode(text.encode()) == value
    assert decode(encode(value)) == value
    if name != "The least a client may send":  # ours writes empty fields too
        assert wire.inflate(encode(value)).decode() == text


def test_the_dictionary_is_the_published_one():
    (adler, length), *others = re.findall(r"\| `([0-9a-f]{8})` \| (\d+) \|", TEXT)

    assert zlib.adler32(wire.DICTIONARY_1) == int(adler, 16)
    assert len(wire.DICTIONARY_1) == int(length)
    assert len(wire.DICTIONARIES) == 1 + len(others)


def test_topics_limits_and_codes_are_those_of_the_code():
    assert set(re.findall(r"\| `bf/1/<id>/(\w+)` \| device to", TEXT)) == set(wire.UP)
    assert set(re.findall(r"\| `bf/1/<id>/(\w+)` \| gateway to", TEXT)) == set(wire.DOWN)
    limits = (wire.MAX_PAYLOAD, wire.MAX_INFLATED, wire.MAX_SAMPLES, wire.MAX_METRICS, wire.MAX_LINES, wire.MAX_TEXT)
    for limit in (*limits, wire.PART_CHARACTERS):
        assert f"{limit:,}" in TEXT
    codes = set(re.findall(r"`(\w+)`", TEXT.split("## Refusals")[1].split("## ")[0]))
    assert codes == set(re.findall(r"`([a-z]+_[a-z]+|expired)`", wire.WireError.__doc__))
