import re

import pytest

from edge.logs import CRITICAL, DEBUG, ERROR, INFO, WARNING, LogGate, severity_of
from edge.redact import redact

T0 = 1_700_000_040_000


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mail to anna.k@example.co.uk failed", "mail to <email> failed"),
        ("assoc 3c:22:fb:01:9A:ff on wlan0", "assoc <mac> on wlan0"),
        ("dst 192.168.1.17:443 unreachable", "dst <ip>:443 unreachable"),
        ("via fe80::1c2b:3dff:fe4e:5f60 and 2001:db8:0:0:1:2:3:4", "via <ip> and <ip>"),
        ("call +1 (415) 555-2671 or 415-555-2671", "call <phone> or <phone>"),
        ("sms 13812345678 sent", "sms <phone> sent"),
        ("open rtsp://admin:hunter2@cam/stream", "open rtsp://<secret>@cam/stream"),
        ("Authorization: Bearer abc.def-123456", "Authorization: <secret> <secret>"),
        ('{"wifi_password": "p a s s", "ssid_len": 4}', '{"wifi_password": <secret>, "ssid_len": 4}'),
        ("psk=topsecret&ch=6", "psk=<secret>&ch=6"),
        ("got eyJhbGciOi.eyJzdWIi.SflKxwRJ ok", "got <secret> ok"),
        ("key 00112233445566778899aabbccddeeff", "key <secret>"),
        ("nonce Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MEFCQ0RFRg==", "nonce <secret>"),
        ("at lat=52.5200 lon=13.4050", "at lat=<place> lon=<place>"),
    ],
)
def test_personal_data_and_secrets_leave_the_line(line, expected):
    assert redact(line) == expected
    assert redact(expected) == expected


@pytest.mark.parametrize(
    "line",
    [
        "2026-03-01T12:34:56.789Z fw 2.4.1 started, heap 81234 bytes",
        "[12345.678901] usb 1-1: new high-speed device, gpio_pin 4",
        "std::vector grew to 4096; retry 3/10 after 0.25 s",
        "t=1700000000000 compressor 41.5 Hz, 12:34:56",
        "/usr/lib/firmware/iwlwifi-7265D-29.ucode loaded",
    ],
)
def test_technical_lines_stay_as_they_are(line):
    assert redact(line) == line


def test_redaction_of_a_hostile_line_takes_little_time():
    for piece in ("a", "a.", "A1a", "12", "::1", "eyJa", "http://", "password", "+1 ", "@a"):
        redact(piece * 8000)  # the test's time-out is the assertion: quadratic patterns take minutes


def test_an_operator_adds_patterns():
    assert redact("user Anna Kowalska in", [re.compile(r"(?<=user )\w+ \w+")]) == "user <redacted> in"


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("<3>usb: device not accepting address", ERROR),
        ("2026-01-01 [warn] low voltage", WARNING),
        ('{"level":"error","msg":"x"}', ERROR),
        ("INFO no error found", INFO),
        ("DEBUG tick", DEBUG),
        ("kernel panic - not syncing", CRITICAL),
        ("connection timed out", WARNING),
        ("write failed", ERROR),
        ("door opened", INFO),
    ],
)
def test_severity_comes_from_the_level_or_the_words(line, severity):
    assert severity_of(line) == severity


def test_a_noisy_source_is_held_to_its_rate_and_the_rest_is_told():
    gate = LogGate(lines_per_minute=3)
    sent = [gate.admit(T0 + i, ERROR if i == 7 else INFO, "app", f"line {i}") for i in range(10)]
    other = gate.admit(T0, INFO, "other", "hello")

    later = gate.admit(T0 + 60_000, INFO, "app", "again")

    assert [line.text for lines in sent for line in lines] == ["line 0", "line 1", "line 2"]
    assert len(other) == 1
    assert [(line.severity, line.text) for line in later] == [(ERROR, "suppressed 7 lines"), (INFO, "again")]
    assert gate.drops["log_rate"] == 7


def test_suppressed_lines_are_told_even_when_the_source_falls_silent():
    gate = LogGate(lines_per_minute=1)
    for _ in range(5):
        gate.admit(T0, INFO, "app", "x")

    assert gate.tell(T0 + 1) == []
    assert [line.text for line in gate.tell(T0 + 60_000)] == ["suppressed 4 lines"]
    assert gate.tell(T0 + 120_000) == []


def test_lines_below_the_level_are_not_sent():
    assert LogGate(level=WARNING).admit(T0, INFO, "app", "x") == []


def test_the_number_of_sources_is_bounded():
    gate = LogGate()
    lines = [gate.admit(T0, INFO, f"s{i}", "x") for i in range(300)]

    assert len({line.source for found in lines for line in found}) == 201
