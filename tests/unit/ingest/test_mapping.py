"""Plain MQTT devices by the operator's mapping; the examples of docs/plain-mqtt.md are tried as they stand there."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from edge import wire
from gateway.errors import ConfigError, Refused
from gateway.ingest import Mapping
from gateway.ports import BatchKey, Delivery
from tests.conftest import ROOT
from tests.unit.ingest.fleet import NOW_MS, Door, roster

BLOCKS = re.findall(r"```(yaml|text|json)\n(.*?)```", (ROOT / "docs/plain-mqtt.md").read_text(), re.DOTALL)
MAPPING = Mapping([entry for kind, text in BLOCKS if kind == "yaml" for entry in yaml.safe_load(text)])
EXAMPLES = [json.loads(line) for kind, text in BLOCKS if kind == "json" for line in text.strip().splitlines()]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e["topic"])
def test_the_documented_payloads_give_the_documented_values(example):
    payload = example["payload"]
    raw = payload if isinstance(payload, str) else json.dumps(payload)

    found = MAPPING.read(example["topic"], raw.encode(), at_ms=NOW_MS)

    values = {name: column[0] for name, column in zip(found.batch.metrics, found.batch.columns, strict=True)}
    assert found.device_id == example["device"]
    assert values == pytest.approx(example["values"])


def test_a_message_delivered_twice_counts_once_and_the_next_reading_counts():
    door = Door(roster("plug"), mapping=Mapping([{"topic": "t/{device}", "metrics": {"power_watts": ""}}]))
    first, same = (Delivery("t/plug", b"12.5", None, NOW_MS) for _ in range(2))
    later = Delivery("t/plug", b"12.5", None, NOW_MS + 60_000)

    harvest = door.take(first, same, later)

    assert harvest.duplicates == 1
    assert harvest.columns.t_ms.tolist() == [NOW_MS, NOW_MS + 60_000]
    assert all(key.boot == 0 for key in harvest.keys)
    assert harvest.marks == {}
    assert door.take(later).keys == []


@pytest.mark.parametrize(
    ("topic", "payload", "code"),
    [
        ("x/y", b"1", "bad_topic"),
        ("t/plug", b"\xff\xfe", "not_json"),
        ("t/plug", b'{"other": 1}', "nothing_mapped"),
        ("t/plug", b'{"p": "ON"}', "nothing_mapped"),
        ("t/plug", b'{"p": NaN}', "nothing_mapped"),
        ("t/plug", b'{"p": 1e999}', "nothing_mapped"),
        ("t/plug", b'{"p": 1, "at": "yesterday"}', "bad_field"),
        ("t/plug", b'{"p": 1, "at": true}', "bad_field"),
        ("t/plug", b"[" * 100_000, "nothing_mapped"),
        ("t/plug", b"1" * 300_000, "too_large"),
    ],
)
def test_what_is_not_mapped_is_refused_with_a_code(topic, payload, code):
    mapping = Mapping([{"topic": "t/{device}", "time": "at", "metrics": {"power_watts": "p"}}])

    with pytest.raises((wire.WireError, Refused)) as caught:
        mapping.read(topic, payload, at_ms=NOW_MS)

    assert caught.value.code == code


@pytest.mark.parametrize(
    "text", ["1800000000", "1800000000000", '"2027-01-15T08:00:00"', '"2027-01-15T09:00:00+01:00"']
)
def test_times_are_read_as_seconds_milliseconds_or_iso(text):
    mapping = Mapping([{"topic": "t/{device}", "time": "at", "metrics": {"power_watts": "p"}}])

    found = mapping.read("t/plug", f'{{"p": 1, "at": {text}}}'.encode(), at_ms=0)

    assert found.batch.steps == [1_800_000_000_000]


@pytest.mark.parametrize(
    "entry",
    [
        {"topic": "t/x", "metrics": {"power_watts": ""}},
        {"topic": "t/{device}", "metrics": {"Bad Name": ""}},
        {"topic": "t/{device}", "metrics": {}},
        {"topic": "#/{device}", "metrics": {"power_watts": ""}},
        {"topic": "bf/{device}", "metrics": {"power_watts": ""}},
        {"topic": "t/{device}", "metrics": {"power_watts": {"path": "x", "from": "furlongs"}}},
        {"topic": "t/x", "device": "no good", "metrics": {"power_watts": ""}},
        {"topic": "t/{device}", "colour": 1, "metrics": {"power_watts": ""}},
    ],
)
def test_a_mapping_that_cannot_work_is_told_at_start(entry):
    with pytest.raises(ConfigError) as caught:
        Mapping([entry])

    assert caught.value.code == "mapping_invalid"


def test_filters_for_the_broker_come_from_the_patterns():
    mapping = Mapping(
        [
            {"topic": "tele/{device}/SENSOR", "metrics": {"power_watts": "p"}},
            {"topic": "house/meter", "device": "meter", "metrics": {"power_watts": "p"}},
        ]
    )

    assert mapping.topics == ("tele/+/SENSOR", "house/meter")
    assert mapping.read("house/meter", b'{"p": 3}', at_ms=5).device_id == "meter"
    assert BatchKey(0, 0, mapping.read("house/meter", b'{"p": 3}', at_ms=5).batch.seq).seq < 2**63
