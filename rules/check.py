"""`beforehand rules check`: are the rules well formed, and do they do what their tests say?

A test plays series of facts on one device and says when which alert must enter which state::

    - name: A battery that ages is told before it dies
      given: {type: smart_lock, step: 1h, battery_health_ratio: 0.69 x10, forecast.battery_days_left: 45 x2 20 x8}
      expect: {BatteryWearingOut: {pending: 2h, firing: 8h}}

A series is values parted by blanks: `0.69 x10` repeats, `90..60 x7` runs evenly from one to the other, `_` is unknown,
numbers may carry the units of expressions. A series that ends early keeps its last value. Times count from the first
step. An alert that fires without being expected fails the test, and so does one that is expected `never`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from pydantic import Field, TypeAdapter

from rules import document
from rules.document import Document
from rules.duration import duration_ms, spoken
from rules.errors import RuleError
from rules.evaluation import RuleState, State, evaluate
from rules.expression import UNITS, Floats
from rules.fact import check_name, metrics_of
from rules.ruleset import LIBRARY, RuleSet, join, rule_files
from rules.schema import AlertName, Duration, Entry, Sentence

MAX_STEPS: Final = 5000
_VALUE: Final = re.compile(r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)([A-Za-z]*)\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Failure:
    """One rule test that did not come out as it says."""

    file: str
    line: int
    test: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.test}: {self.message}"


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found. `ok` is whether the rules may be used."""

    files: int
    rules: int
    tests: int
    errors: tuple[RuleError, ...] = ()
    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """No error and no failed test; warnings do not count."""
        return not self.errors and not self.failures

    def lines(self) -> list[str]:
        """The report for a terminal, the sum last."""
        told = [f"error: {error}" for error in self.errors] + [f"failed: {failure}" for failure in self.failures]
        told += [f"warning: {warning}" for warning in self.warnings]
        wrong = len(self.errors) + len(self.failures)
        verdict = "all well" if self.ok else f"{wrong} to mend"
        return [*told, f"{self.rules} rules in {self.files} files, {self.tests} tests: {verdict}"]


class _Times(Entry):
    pending: Duration | None = None
    firing: Duration | None = None
    resolved: Duration | None = None


class _Test(Entry):
    name: Sentence | None = None
    given: dict[str, str]
    expect: dict[AlertName, _Times | Literal["never"]] = Field(default_factory=dict)


_TESTS: Final = TypeAdapter(list[_Test])


def run(paths: Iterable[Path | str] = (LIBRARY,), *, metrics: Iterable[str] | None = None) -> Report:
    """Check rule files and folders and run the tests beside them (`tests/` in the folder of the rules).

    Args:
        paths: rule files and folders; a later one may replace rules of an earlier one.
        metrics: every metric name that is known; a rule that reads another is a warning. None: not checked.

    Returns:
        Everything that is wrong, not just the first. For any file contents, nothing is raised.
    """
    errors: list[RuleError] = []
    files: list[Path] = []
    for path in paths:
        try:
            files += rule_files(Path(path))
        except RuleError as error:
            errors.append(error)
    documents = [doc for doc in (_collected(file, errors) for file in files) if doc is not None]
    try:
        ruleset = join(documents)
    except RuleError as error:
        errors.append(error)
        ruleset = RuleSet()
    count, failures = 0, []
    for file in _test_files(files):
        doc = _collected(file, errors)
        try:
            tests = doc.validated(_TESTS, doc.content) if doc else []
            for at, test in enumerate(tests):
                failures += _failures(test, ruleset, doc.file if doc else "", doc.line((at,)) if doc else 0)
            count += len(tests)
        except RuleError as error:
            errors.append(error)
    return Report(len(files), len(ruleset.rules), count, tuple(errors), tuple(failures), _warnings(ruleset, metrics))


def _collected(file: Path, errors: list[RuleError]) -> Document | None:
    """The document, if it can be read and its rules (each for itself) are well formed."""
    try:
        doc = document.read(file)
        if file.parent.name != "tests":
            join([doc])
    except RuleError as error:
        if error.code != "unknown_alert":  # the other rule may be in another file; the whole set is joined later
            errors.append(error)
            return None
    return document.read(file)


def _test_files(files: Iterable[Path]) -> list[Path]:
    """Tests of a rule file carry its name: `battery.yaml` has `tests/battery.yaml`."""
    beside = dict.fromkeys(file.parent / "tests" / file.name for file in files)
    return [file for file in beside if file.is_file()]


def _warnings(ruleset: RuleSet, metrics: Iterable[str] | None) -> tuple[str, ...]:
    told: list[str] = []
    looked_ahead = tuple(f"forecast.{spec.name}_" for spec in ruleset.forecasts)
    known = None if metrics is None else set(metrics)
    for rule in ruleset.rules:
        for name in rule.expr.names:
            unforeseen = name.startswith("forecast.") and not name.startswith(looked_ahead)
            told += [f"{rule.alert}: {name} has no entry under `forecasts`"] * unforeseen
        unheard = metrics_of(rule.expr.names) - known if known is not None else set()
        told += [f"{rule.alert}: no device is known to send {name}" for name in sorted(unheard)]
    return tuple(told)


def _failures(test: _Test, ruleset: RuleSet, file: str, line: int) -> list[Failure]:
    """How one test went wrong; empty where it passed.

    Raises:
        RuleError: `bad_test`, `unknown_alert`, with the line of the test.
    """
    try:
        for alert in test.expect:
            if ruleset.rule(alert) is None:
                raise RuleError("unknown_alert", f"there is no rule {alert}")
        entered = _play(test, ruleset)
    except RuleError as error:
        raise error.at(file, line) from None
    name = test.name or ", ".join(test.expect)
    return [Failure(file, line, name, message) for message in _differences(test, entered)]


def _differences(test: _Test, entered: dict[tuple[str, State], int]) -> list[str]:
    told = []
    for (alert, state), at in entered.items():
        if state == "firing" and test.expect.get(alert, "never") == "never":
            told.append(f"{alert} fires at {spoken(at / 1000)}, which is not expected")
    for alert, expected in test.expect.items():
        if isinstance(expected, str):
            continue
        states: tuple[tuple[State, int | None], ...] = (
            ("pending", expected.pending),
            ("firing", expected.firing),
            ("resolved", expected.resolved),
        )
        for state, wanted in states:
            got = entered.get((alert, state))
            if wanted is not None and wanted != got:
                seen = "never" if got is None else f"at {spoken(got / 1000)}"
                told.append(f"{alert} should be {state} at {spoken(wanted / 1000)}, but is {seen}")
    return told


def _play(test: _Test, ruleset: RuleSet) -> dict[tuple[str, State], int]:
    """When each alert first entered each state, in ms from the first step."""
    given = dict(test.given)
    step_ms, kind = duration_ms(given.pop("step", "")), given.pop("type", "")
    if step_ms <= 0:
        raise RuleError("bad_test", "`given` needs a step over 0, such as `step: 1h`")
    series = {name: _series(name, text) for name, text in given.items()}
    steps = max((values.size for values in series.values()), default=0)
    speaking = RuleSet(tuple(rule for rule in ruleset.rules if series.keys() & set(rule.expr.names)))
    unknown = np.full(1, np.nan)
    state, entered = RuleState(), dict[tuple[str, State], int]()
    for step in range(steps):
        now = {name: values[min(step, values.size - 1)] for name, values in series.items()}
        state, transitions = evaluate(
            speaking,
            state,
            column=lambda name, now=now: np.array([now[name]]) if name in now else unknown,  # type: ignore[misc]
            device_type=(kind,),
            now_ms=step * step_ms,
        )
        for change in transitions:
            entered.setdefault((change.rule, change.state), change.at_ms)
    return entered


def _series(name: str, text: str) -> Floats:
    """(steps,) values of one series in the notation above."""
    check_name(name)
    parts: list[Floats] = []
    words = text.split()
    for at, word in enumerate(words):
        if re.fullmatch(r"x\d+", word):
            continue
        after = words[at + 1] if at + 1 < len(words) else ""
        count = int(after[1:5]) if re.fullmatch(r"x\d{1,4}", after) else 1
        first, _, last = word.partition("..")
        parts.append(np.linspace(_value(name, first), _value(name, last or first), count))
    steps = sum(part.size for part in parts)
    if not 1 <= steps <= MAX_STEPS:
        raise RuleError("bad_test", f"{name} has {steps} values; 1 to {MAX_STEPS} are allowed")
    return np.concatenate(parts)


def _value(name: str, word: str) -> float:
    if word == "_":
        return np.nan
    match = _VALUE.match(word)
    if match is None or match[2] not in {"", *UNITS}:
        raise RuleError("bad_test", f"{name}: {word!r} is no value; write 0.69, 15m, _, or 0.9..0.6 x10")
    return float(match[1]) * UNITS.get(match[2], 1.0)
