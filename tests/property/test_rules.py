"""Whatever stands in a rule file, loading gives rules or a RuleError; evaluation agrees with the plain definition."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import RuleError, RuleSet, RuleState, check, evaluate, parse
from rules.document import parse as parse_document
from rules.ruleset import join

TOKENS = ["a", "b", "1", "2.5", "6h", "3MiB", "<", "<=", "==", "!=", "+", "-", "*", "/", "(", ")", ",", "and", "or"]
TOKENS += ["not", "abs", "min", "known", "default", "silent_s", "score.device", "score.a", "forecast.x_days_left", "é"]
NAMES = st.sampled_from(["a", "b"])
T = TypeVar("T")


def outcome(read: Callable[[], T]) -> T | RuleError:
    """What it gives, or its RuleError; any other exception fails the test."""
    try:
        return read()
    except RuleError as error:
        return error


@given(st.one_of(st.text(), st.lists(st.sampled_from(TOKENS), max_size=25).map(" ".join)))
def test_any_text_is_an_expression_or_a_rule_error(text: str) -> None:
    read = outcome(lambda: parse(text))

    if isinstance(read, RuleError):
        assert read.detail
    else:
        assert read.holds(lambda _: np.array([1.0, np.nan]), 2).shape == (2,)


KEYS = st.sampled_from(
    [
        "alert",
        "expr",
        "for",
        "types",
        "ticket",
        "title",
        "priority",
        "rules",
        "forecasts",
        "given",
        "expect",
        "step",
        "x",
    ]
)
SCALARS = st.one_of(
    st.sampled_from(["Hot", "x > 1", "5m", "router", "true", "{x}", "1 x5", "never"]),
    st.text(max_size=8),
    st.integers(),
)
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))


@given(TREES.map(lambda tree: yaml.safe_dump(tree).encode()) | st.binary(max_size=200) | st.text().map(str.encode))
def test_any_bytes_are_rules_or_a_rule_error(raw: bytes) -> None:
    read = outcome(lambda: join([parse_document(raw, file="f.yaml")]))

    assert isinstance(read, RuleSet) or (read.file == "f.yaml" and read.detail)


@settings(max_examples=60)
@given(TREES)
def test_checking_any_rule_test_reports_and_never_raises(
    tmp_path_factory: pytest.TempPathFactory, tree: object
) -> None:
    folder: Path = tmp_path_factory.mktemp("rules")
    (folder / "tests").mkdir()
    (folder / "a.yaml").write_text("- {alert: Hot, expr: x > 1}")
    (folder / "tests" / "a.yaml").write_text(yaml.safe_dump(tree))

    assert check.run([folder]).lines()


NUMBERS = st.recursive(
    NAMES | st.sampled_from(["0", "1", "2"]),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda part: f"({' '.join(part)})"),
    max_leaves=4,
)
COMPARISONS = st.tuples(NUMBERS, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), NUMBERS).map(" ".join)
TRUTHS = st.recursive(
    COMPARISONS,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda part: f"({' '.join(part)})")
        | inner.map(lambda part: f"not ({part})")
    ),
    max_leaves=5,
)


class Unknown(Exception):
    """A value that is not known was needed."""


def one_by_one(text: str, a: float, b: float) -> bool:
    """Python's own evaluation of a truth without `and`, `or`, `not`, for known values."""
    if math.isnan(a) or math.isnan(b):
        raise Unknown
    try:
        return bool(eval(text, {}, {"a": a, "b": b}))
    except ZeroDivisionError:
        raise Unknown from None


VALUES = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0])


@given(TRUTHS, st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=5))
def test_columns_agree_with_one_by_one_where_all_is_known(text: str, pairs: list[tuple[float, float]]) -> None:
    columns = {"a": np.array([pair[0] for pair in pairs]), "b": np.array([pair[1] for pair in pairs])}

    together = parse(text).holds(columns.__getitem__, len(pairs))

    for got, (a, b) in zip(together, pairs, strict=True):
        try:
            assert got == one_by_one(text, a, b)
        except Unknown:
            continue


@given(TRUTHS)
def test_a_claim_and_its_opposite_never_hold_together(text: str) -> None:
    columns = {"a": np.array([0.0, 1.0, np.nan]), "b": np.array([np.nan, 1.0, np.nan])}

    holds = parse(text).holds(columns.__getitem__, 3)
    opposite = parse(f"not ({text})").holds(columns.__getitem__, 3)

    assert not (holds & opposite).any()


@given(
    st.lists(st.lists(st.sampled_from([0.0, 2.0, math.nan]), min_size=4, max_size=4), max_size=12),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_a_device_fares_alone_as_it_does_in_the_fleet(rows: list[list[float]], wait: int, keep: int) -> None:
    text = f"- {{alert: High, expr: x > 1, for: {wait}s, keep_firing_for: {keep}s}}"
    rules = join([parse_document(text.encode(), file="f")])

    def play(columns: list[list[float]]) -> list[tuple[int, str, int, int]]:
        state, told = RuleState(), []
        for second, row in enumerate(columns):
            x = np.array(row)
            state, new = evaluate(
                rules, state, column=lambda _, x=x: x, device_type=["a"] * len(row), now_ms=second * 1000
            )
            told += [(change.device, change.state, change.at_ms, change.since_ms) for change in new]
        return told

    together = play(rows)
    for device in range(4):
        alone = play([[row[device]] for row in rows])
        assert [change[1:] for change in together if change[0] == device] == [change[1:] for change in alone]
