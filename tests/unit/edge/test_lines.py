import pytest

from edge.lines import LineError, Readings, Said, parse_line, parse_lines
from edge.record import ALARM, CRASH, LOGS


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("metric a_volts=3.5", Readings({"a_volts": 3.5}, None)),
        ("metric a=-1e3 b=0 @1700000000000", Readings({"a": -1000.0, "b": 0.0}, 1_700_000_000_000)),
        ("event warning boot.rom  low voltage ", Said(LOGS, 2, "boot.rom", "low voltage")),
        ("alarm critical door forced open", Said(ALARM, 4, "door", "forced open")),
        ("crash main SIGSEGV at 0x0", Said(CRASH, 4, "main", "SIGSEGV at 0x0")),
    ],
)
def test_a_line_says_what_it_says(line, said):
    assert parse_line(line) == said


@pytest.mark.parametrize(
    "line",
    [
        "metric",
        "metric a",
        "metric A=1",
        "metric a=nan",
        "metric a=1_0",
        "metric a=1 @x",
        "metric a=1 @\u0663",  # a digit, but none of ours
        "metric @5",
        "event loud app x",
        "event info app",
        "event info",
        "alarm warning so/ur(ce x",
        "crash main",
        "hello",
    ],
)
def test_a_wrong_line_is_refused_with_a_reason(line):
    with pytest.raises(LineError, match=r"."):
        parse_line(line)


def test_good_lines_count_although_others_are_wrong():
    said, wrong = parse_lines("# note\n\nmetric a=1\nnonsense\n  event info app x\r\n")

    assert [type(one) for one in said] == [Readings, Said]
    assert len(wrong) == 1


def test_a_crash_takes_the_rest_of_the_datagram():
    said, wrong = parse_lines("metric a=1\ncrash main SEGV\nmetric b=2\n#1 frame\n")

    assert said[1].text == "SEGV\nmetric b=2\n#1 frame"
    assert len(said) == 2
    assert not wrong
