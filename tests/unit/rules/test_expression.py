import numpy as np
import pytest

from rules import RuleError, parse

FACTS = {
    "a": np.array([1.0, 2.0, np.nan]),
    "b": np.array([2.0, 2.0, 2.0]),
    "zero": np.zeros(3),
    "forecast.battery_days_left": np.array([5.0, np.nan, 50.0]),
}


def holds(text: str) -> list[bool]:
    return parse(text).holds(FACTS.__getitem__, 3).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a < b", [True, False, False]),
        ("a <= 2", [True, True, False]),
        ("a > 1 or b == 2", [True, True, True]),
        ("a != 1", [False, True, False]),
        ("not a < 2", [False, True, False]),
        ("not known(a)", [False, False, True]),
        ("known(a) and known(b)", [True, True, False]),
        ("a < 0 or b > 0 and zero < 1", [True, True, True]),
        ("(a < 0 or b > 0) and zero > 1", [False, False, False]),
        ("default(a, 9) > 8", [False, False, True]),
        ("abs(-a - b * 2 + 1) >= 5", [False, True, False]),
        ("min(a, 1) == 1", [True, True, False]),
        ("max(a, b) == 2", [True, True, False]),
        ("a / zero > 0", [False, False, False]),
        ("not a / zero > 0", [False, False, False]),
        ("forecast.battery_days_left < 1h / 6m", [True, False, False]),
        ("2KiB == 2048 and 1.5d == 36h", [True, True, True]),
        ("1 < 2", [True, True, True]),
    ],
)
def test_an_expression_holds_where_it_is_true_and_known(text: str, expected: list[bool]) -> None:
    assert holds(text) == expected


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", "bad_expression", "missing"),
        ("a", "bad_expression", "compare"),
        ("a <", "bad_expression", "missing at the end"),
        ("1 < a < 3", "bad_expression", "and"),
        ("a and b", "bad_expression", "comparisons"),
        ("(a < 1) + 1 > 0", "bad_expression", "numbers"),
        ("a < 5parsecs", "bad_expression", "parsecs"),
        ("abs(a, b) < 1", "bad_expression", "1 argument"),
        ("abs < 1", "bad_expression", "parentheses"),
        ("(a < 1", "bad_expression", "')'"),
        ("a < 1 b", "bad_expression", "'b'"),
        ("a; b", "bad_expression", "'; b'"),
        ("__import__('os') < 1", "bad_expression", ""),
        ("forecast.battery_day_left < 1", "unknown_fact", "days_left"),
        ("a < 1 or " * 150 + "a < 1", "too_large", "200"),
        ("(" * 900 + "a" + ")" * 900, "too_large", "parentheses"),
        ("- " * 900 + "a < 1", "too_large", ""),
        ("a" * 3000, "too_large", "3000"),
    ],
)
def test_what_is_no_expression_is_refused_with_a_sentence(text: str, code: str, words: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse(text)

    assert caught.value.code == code
    assert words in caught.value.detail


def test_names_come_in_order_of_first_mention() -> None:
    assert parse("b > 1 and silent_s < a and b < 5").names == ("b", "silent_s", "a")
