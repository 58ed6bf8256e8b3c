import math
import re
from pathlib import Path

import pytest

import rules
from edge.wire import METRICS
from rules.schema import CustomerTold, ForecastSpec, Rule, TicketAsked

DOCS = Path(__file__).parents[3] / "docs" / "rules.md"
RULES = rules.load().rules


def test_the_library_passes_its_own_tests() -> None:
    report = rules.check.run(metrics=METRICS)

    assert report.lines()[:-1] == []
    assert report.tests >= report.rules


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.alert)
def test_every_rule_is_tested_explained_and_rendered(rule: Rule) -> None:
    tests = "".join(path.read_text() for path in (rules.LIBRARY / "tests").glob("*.yaml"))

    assert re.search(rf"\b{rule.alert}: \{{", tests), "no test in which it fires"
    assert rule.explain
    assert "unknown" in rule.explanation(lambda _: math.nan) or "{" not in rule.explain
    assert not re.search(r"[{}]|nan", rule.title(lambda _: 0.5) + rule.explanation(lambda _: 0.5))


def test_what_a_customer_is_told_always_has_a_ticket_behind_it() -> None:
    assert all(rule.ticket for rule in RULES if rule.tell_customer)


@pytest.mark.parametrize("model", [Rule, TicketAsked, CustomerTold, ForecastSpec])
def test_every_field_is_documented(model: type) -> None:
    text = DOCS.read_text()

    for name, field in model.model_fields.items():
        assert f"| `{field.alias or name}` | {field.description} |" in text


@pytest.mark.parametrize("table", [rules.FACTS, rules.CODES], ids=["facts", "codes"])
def test_every_fact_and_error_code_is_documented(table: dict[str, str]) -> None:
    text = DOCS.read_text()

    for name, meaning in table.items():
        assert f"| `{name}` | {meaning} |" in text


def test_every_function_and_unit_is_documented() -> None:
    text = DOCS.read_text()

    for name, (_, meaning) in rules.FUNCTIONS.items():
        assert re.search(rf"\| `{name}\([a-z, ]+\)` \| {re.escape(meaning)} \|", text)
    for unit in rules.UNITS:
        assert f"`{unit}`" in text


def test_the_examples_in_the_documentation_work(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n# ([^\n]+)\n(.+?)```", DOCS.read_text(), re.DOTALL)
    (tmp_path / "tests").mkdir()
    for name, text in blocks:
        (tmp_path / name).write_text(text)

    report = rules.check.run([tmp_path])

    assert report.ok, report.lines()
    assert report.tests == 2


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        (0.697, "%", "70 %"),
        (3_700_000, "bytes", "3.5 MiB"),
        (512, "bytes", "512 B"),
        (90_000, "duration", "1 d 1 h"),
        (-75, "duration", "-1 min 15 s"),
        (0, "duration", "0 s"),
        (12.345, ".1", "12.3"),
        (0.5, "+.1", "+0.5"),
        (1234.5, "", "1,234"),
        (0.01234, "", "0.0123"),
        (math.nan, "%", "unknown"),
        (math.inf, "bytes", "inf TiB"),
        (math.inf, "duration", "for ever"),
        (12.4, "days", "12 days"),
        (6.4, "days", "6.4 days"),
        (9.98, "days", "10 days"),
        (2.0, "days", "2 days"),
        (1.9, "days", "46 h"),
        (0.55, "days", "13 h"),
        (0.01, "days", "14 min"),
        (-0.2, "days", "0 min"),
        (math.nan, "days", "an unknown time"),
        (math.inf, "days", "a long time"),
    ],
)
def test_values_are_written_for_people(value: float, style: str, text: str) -> None:
    assert rules.written(value, style) == text
