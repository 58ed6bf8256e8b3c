from pathlib import Path

import pytest

from rules import RuleError, check, load

GOOD = "- {alert: Hot, expr: temperature_celsius > 90, for: 5m}\n"


def refused(tmp_path: Path, text: str) -> RuleError:
    path = tmp_path / "site.yaml"
    path.write_text(text)
    with pytest.raises(RuleError) as caught:
        load([path])
    report = check.run([path])
    assert [error.code for error in report.errors] == [caught.value.code]
    return caught.value


@pytest.mark.parametrize(
    ("text", "code", "line", "words"),
    [
        ("- alert: Hot\n  expr: t > 1\n  fro: 5m\n", "bad_field", 3, "'fro'"),
        ("- alert: Hot\n  expr: t >\n", "bad_expression", 2, "expr"),
        ("- alert: Hot\n  expr: t > 1\n  for: soon\n", "bad_duration", 3, "soon"),
        ("- alert: Hot\n", "bad_field", 1, "expr"),
        ("- alert: Hot\n  expr: t > 1\n  severity: grave\n", "bad_field", 3, "severity"),
        ("- alert: Hot\n  expr: t > 1\n  ticket:\n    title: '{t'\n", "bad_template", 4, "{t"),
        ("- alert: Hot\n  expr: t > 1\n  explain: '{forecast.x}'\n", "unknown_fact", 3, "forecast.x"),
        ("- alert: Hot\n  expr: t > 1\n  expr: t > 2\n", "not_yaml", 3, "twice"),
        ("- &a {alert: Hot, expr: t > 1}\n- *a\n", "not_yaml", 1, "anchors"),
        ("a: [\n", "not_yaml", 2, ""),
        ("[" * 40 + "]" * 40, "not_yaml", 1, "deeper"),
        (GOOD + GOOD, "duplicate_alert", 2, "Hot"),
        (GOOD + "- alert: Warm\n  expr: t > 1\n  inhibited_by: [Cold]\n", "unknown_alert", 2, "Cold"),
        ("rules: 5\n", "bad_field", 1, "rules"),
        ("forecasts: [{name: a, metric: b, limit: nan, direction: rising}]", "bad_field", 1, "limit"),
        (
            "- {alert: Aa, expr: t > 1, inhibited_by: [Bb]}\n- {alert: Bb, expr: t > 1, inhibited_by: [Aa]}\n",
            "inhibition_cycle",
            1,
            "Aa <- Bb <- Aa",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, text: str, code: str, line: int, words: str) -> None:
    error = refused(tmp_path, text)

    assert (error.code, error.line) == (code, line)
    assert words in error.detail
    assert error.file.endswith("site.yaml")


def test_a_path_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="no_file"):
        load([tmp_path / "none.yaml"])

    assert not check.run([tmp_path / "none.yaml"]).ok


def test_an_operators_file_may_replace_and_switch_off_rules_of_the_library(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(
        "- {alert: DeviceSilent, expr: silent_s > 1d, replace: true}\n"
        "- {alert: RebootLoop, expr: reboots_24h > 5, replace: true, enabled: false}\n"
    )

    library, ours = load(), load([*check.run.__defaults__[0], tmp_path])

    assert ours.rule("DeviceSilent").expr.text == "silent_s > 1d"
    assert ours.rule("RebootLoop") is None
    assert len(ours.rules) == len(library.rules) - 1


def test_an_empty_file_has_no_rules(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")

    assert load([tmp_path]).rules == ()


def test_a_rule_without_a_cause_is_its_own_cause(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(GOOD + "- {alert: DeviceCold, expr: temperature_celsius < 0}\n")

    assert [rule.cause for rule in load([tmp_path]).rules] == ["hot", "device_cold"]


def test_a_failed_rule_test_says_when_it_came_instead(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(GOOD)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "site.yaml").write_text(
        "- given: {step: 1m, temperature_celsius: 95 x10}\n  expect: {Hot: {firing: 7m}}\n"
        "- given: {step: 1m, temperature_celsius: 95 x10}\n  expect: {Hot: never}\n"
        "- given: {step: 1m, temperature_celsius: 95 x10}\n"
        "- given: {step: 1m, temperature_celsius: 95 x10}\n  expect: {Hot: {firing: 5m, resolved: 6m}}\n"
    )

    report = check.run([tmp_path], metrics=["humidity_ratio"])

    assert [failure.line for failure in report.failures] == [1, 3, 5, 6]
    assert "should be firing at 7 min, but is at 5 min" in str(report.failures[0])
    assert "not expected" in str(report.failures[2])
    assert report.warnings == ("Hot: no device is known to send temperature_celsius",)
    assert "4 to mend" in report.lines()[-1]


@pytest.mark.parametrize(
    "test",
    ["{given: {t: 1}}", "{given: {step: 1h, t: x3}}", "{given: {step: 1h, t: 5 x9999}}", "{given: {step: 1h, t: q}}"],
)
def test_a_rule_test_that_cannot_be_read_is_an_error(tmp_path: Path, test: str) -> None:
    (tmp_path / "site.yaml").write_text(GOOD)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "site.yaml").write_text(f"- {test}\n")

    assert check.run([tmp_path]).errors[0].code in {"bad_test", "bad_duration"}
