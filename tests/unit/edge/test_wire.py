import json
import zlib
from dataclasses import replace

import pytest

from edge import wire
from edge.wire import Batch, LogLine, WireError

NOW = 1_700_000_060_000
BATCH = Batch(
    boot=7,
    seq=42,
    sent_at_ms=NOW,
    t_ms=(NOW - 60_000, NOW - 50_000, NOW - 50_000),
    columns={"cpu_busy_ratio": (0.125, None, 1), "reads_total": (123456789012, 0, None), "own_metric": (1.5, 2, -3e-9)},
    logs=(LogLine(NOW - 1500, 3, "kernel", "oom killed app"), LogLine(NOW + 5, 1, "app", "grüß 你好")),
    historical=True,
    alarm=True,
)


def refusal(decode, *args, **kwargs):
    with pytest.raises(WireError) as caught:
        decode(*args, **kwargs)
    return caught.value.code


@pytest.mark.parametrize("packed", [True, False])
def test_a_batch_comes_back_as_it_was(packed):
    assert wire.decode_batch(wire.encode_batch(BATCH, packed=packed)) == BATCH


def test_a_batch_of_a_small_client_needs_no_optional_field():
    payload = b'{"v":1,"boot":1,"seq":0,"sent":1700000000000,"t":[1700000000000],"m":{"a_bytes":[81234]},"x":[]}'

    batch = wire.decode_batch(payload)

    assert batch == Batch(boot=1, seq=0, sent_at_ms=1700000000000, t_ms=(1700000000000,), columns={"a_bytes": (81234,)})


def test_values_are_rounded_to_the_digits_of_their_metric():
    batch = replace(BATCH, t_ms=(0,), columns={"cpu_busy_ratio": (0.123456,), "boots_total": (1234567,), "n": (1 / 3,)})

    columns = wire.decode_batch(wire.encode_batch(batch)).columns

    assert columns == {"cpu_busy_ratio": (0.123,), "boots_total": (1234567,), "n": (0.33333,)}


def test_what_is_not_finite_is_sent_as_not_read():
    batch = replace(BATCH, t_ms=(0, 1), columns={"n": (float("nan"), float("-inf"))})

    assert wire.decode_batch(wire.encode_batch(batch)).columns == {"n": (None, None)}


def test_a_lone_surrogate_does_not_reach_a_store():
    plain = b'{"v":1,"boot":1,"seq":0,"sent":9,"l":[[0,1,"a","\\ud800 \\u0000"]]}'

    assert wire.decode_batch(plain).logs[0].text.encode() == b"? \xef\xbf\xbd"
    assert (
        wire.decode_batch(wire.encode_batch(replace(BATCH, logs=(LogLine(NOW, 1, "a", "\ud800"),)))).logs[0].text == "?"
    )


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", "bad_form"),
        (b" {}", "bad_form"),
        (b"\x1f\x8b", "bad_form"),
        (b"x", "bad_zlib"),
        (b"\x78\xda" + b"\0" * 9, "bad_zlib"),
        (b"\x78\xbb\0\0\0\1zzz", "bad_dictionary"),
        (b"{" * (wire.MAX_PAYLOAD + 1), "too_large"),
        (zlib.compress(b" " * (wire.MAX_INFLATED + 1)), "too_large"),
        (zlib.compress(b"{}") + b"x", "bad_zlib"),
        (zlib.compress(b'{"v":1}')[:-1], "bad_zlib"),
        (zlib.compress(b"[]"), "bad_field"),
        (b"{\xff}", "not_json"),
        (b'{"v":' + b"[" * 100_000, "not_json"),
        (b'{"v":' + b"1" * 5_000 + b"}", "not_json"),
        (b"{}", "bad_version"),
        (b'{"v":true}', "bad_version"),
        (b'{"v":2}', "bad_version"),
        (b'{"v":1}', "bad_field"),
    ],
)
def test_bytes_that_are_no_batch_are_refused_with_the_reason(payload, code):
    assert refusal(wire.decode_batch, payload) == code


@pytest.mark.parametrize(
    "change",
    [
        {"boot": 0},
        {"boot": 1.0},
        {"boot": True},
        {"seq": -1},
        {"seq": 2**53},
        {"sent": None},
        {"t": 5},
        {"t": [0.5]},
        {"t": [True]},
        {"t": [5, -1]},
        {"t": [2**52, 2**52]},
        {"t": [0] * (wire.MAX_SAMPLES + 1)},
        {"m": []},
        {"m": {"a": [1]}},
        {"m": {"a": 1}},
        {"m": {"A": [1, 2]}},
        {"m": {"a\n": [1, 2]}},
        {"m": {"a": [1, "2"]}},
        {"m": {"a": [1, True]}},
        {"m": {"a": [1, [2]]}},
        {"m": {"a": [1, 10**400]}},
        {"m": {f"m{i}": [1, 2] for i in range(wire.MAX_METRICS + 1)}},
        {"l": {}},
        {"l": [[0, 1, "s"]]},
        {"l": [[0, 5, "s", "t"]]},
        {"l": [[0, True, "s", "t"]]},
        {"l": [[-100, 1, "s", "t"]]},
        {"l": [[0, 1, "s" * 65, "t"]]},
        {"l": [[0, 1, "s", "t" * 2001]]},
        {"h": 2},
        {"a": "1"},
        {"a": 1.0},
    ],
    ids=str,
)
def test_a_wrong_field_is_refused(change):
    good = {"v": 1, "boot": 1, "seq": 0, "sent": 50, "t": [40, 1], "m": {"a": [1, 2]}}
    wire.decode_batch(json.dumps(good).encode())

    assert refusal(wire.decode_batch, json.dumps(good | change).encode()) == "bad_field"


@pytest.mark.parametrize("number", [b"1e999", b"NaN", b"Infinity", b"-Infinity"])
def test_a_number_that_is_not_finite_is_refused(number):
    assert refusal(wire.decode_batch, b'{"v":1,"boot":1,"seq":0,"sent":1,"t":[1],"m":{"a":[' + number + b"]}}") in {
        "bad_field",
        "not_json",
    }


def test_a_batch_too_large_for_any_gateway_is_never_made():
    assert refusal(wire.deflate, b" " * (wire.MAX_INFLATED + 1)) == "too_large"


def test_notices_come_back_as_they_were():
    birth = wire.Birth(
        boot=3, t_ms=5, type="router", model="R2", hardware="b", firmware="1", config_version=2,
        reboot_reason="watchdog", agent="0.1.0", metrics={"cpu_busy_ratio": "ratio"},
    )  # fmt: skip
    reported = wire.Reported(version=4, settings={"sample_s": 10}, refused={"x": "unknown"})

    assert wire.decode_birth(wire.encode_birth(birth)) == birth
    assert wire.decode_death(wire.encode_death(wire.Death(boot=3))) == wire.Death(boot=3)
    assert wire.decode_death(wire.encode_death(wire.Death(boot=3, clean=True))).clean
    assert wire.decode_desired(wire.encode_desired(wire.Desired(version=4, settings={"a": [1]}))).settings == {"a": [1]}
    assert wire.decode_reported(wire.encode_reported(reported)) == reported


def test_a_stored_mark_holds_exactly_the_given_batches():
    keys = [(2, 0), (1, 9), (1, 7), (1, 8), (2, 0), (1, 5)]

    ranges = wire.ranges_of(keys)

    assert ranges == [(1, 5, 5), (1, 7, 9), (2, 0, 0)]
    assert wire.decode_stored(wire.encode_stored(ranges)) == ranges


@pytest.mark.parametrize("r", [b"1", b"[[1,2]]", b"[[0,1,1]]", b"[[1,2,1]]", b"[[1,-1,1]]", b'[["1",1,1]]'])
def test_a_wrong_mark_is_refused(r):
    assert refusal(wire.decode_stored, b'{"v":1,"r":' + r + b"}") == "bad_field"


KEY = b"k" * 32
COMMAND = wire.Command(command_id="c1", name="ping", args={"n": 1}, expires_ms=NOW + 60_000, nonce="00ff" * 8)


def test_a_command_is_taken_by_the_device_it_was_signed_for():
    payload = wire.encode_command(COMMAND, device_id="d1", key=KEY)

    assert wire.decode_command(payload, device_id="d1", key=KEY, now_ms=NOW) == COMMAND
    assert refusal(wire.decode_command, payload, device_id="d2", key=KEY, now_ms=NOW) == "bad_signature"
    assert refusal(wire.decode_command, payload, device_id="d1", key=b"x" * 32, now_ms=NOW) == "bad_signature"
    assert refusal(wire.decode_command, payload, device_id="d1", key=b"", now_ms=NOW) == "bad_signature"
    assert refusal(wire.decode_command, payload.replace(b"ping", b"pong"), device_id="d1", key=KEY, now_ms=NOW) == (
        "bad_signature"
    )


@pytest.mark.parametrize("now_ms", [NOW + 60_000, NOW + 60_000 - wire.MAX_LIFE_MS - 1])
def test_a_command_out_of_its_time_is_refused(now_ms):
    payload = wire.encode_command(COMMAND, device_id="d1", key=KEY)

    assert refusal(wire.decode_command, payload, device_id="d1", key=KEY, now_ms=now_ms) == "expired"


def test_a_long_answer_goes_in_parts_that_join_again():
    answer = "日" * 100_000

    parts = [
        wire.decode_reply(wire.encode_reply(part)) for part in wire.replies("c", ok=True, code="done", answer=answer)
    ]

    assert "".join(part.text for part in parts) == answer
    assert [(part.part, part.parts) for part in parts] == [(0, 3), (1, 3), (2, 3)]


def test_topics_name_device_and_kind():
    assert wire.topic("lock-1", "batch") == "bf/1/lock-1/batch"
    assert wire.parse_topic("bf/1/lock-1/stored") == ("lock-1", "stored")


@pytest.mark.parametrize(
    "text", ["", "bf/1/a", "bf/2/a/batch", "bf/1/a.b/batch", "bf/1/a/b/batch", "bf/1/a/x", "bf/1//birth"]
)
def test_a_foreign_topic_is_refused(text):
    assert refusal(wire.parse_topic, text) == "bad_topic"


def test_every_listed_metric_is_well_formed():
    for name, metric in wire.METRICS.items():
        assert wire.NAME.fullmatch(name)
        assert metric.low < metric.high
        assert name.endswith("_" + metric.unit), name
        assert metric.title


def test_published_dictionaries_never_change():
    assert list(wire.DICTIONARIES) == [zlib.adler32(wire.DICTIONARY_1)]
