"""The one error of the rule language: where, what, and a sentence that says what to do."""

from __future__ import annotations

from typing import Final

CODES: Final = {
    "no_file": "the path names no rule file",
    "too_large": "the file or expression is over its limit",
    "not_yaml": "the file is no YAML, nests too deep, repeats a key, or uses anchors",
    "bad_field": "a field is missing, unknown, or has a value that does not fit",
    "bad_duration": "a duration is not written as `90s`, `15m`, `6h`, `1d` or `1h30m`",
    "bad_expression": "the expression does not follow the grammar",
    "unknown_fact": "a dotted name is no fact that the gateway offers",
    "bad_template": "a sentence has a placeholder that cannot be filled in",
    "duplicate_alert": "two rules (or forecasts) have one name, and the later does not say `replace: true`",
    "unknown_alert": "`inhibited_by` or a test names a rule that is not there",
    "inhibition_cycle": "rules inhibit each other in a circle, so that none could ever be heard",
    "bad_test": "a rule test cannot be read",
}
"""Every code of `RuleError`, with what it means."""


class RuleError(ValueError):
    """A rule file that cannot be used; `code` is stable, `line` counts from 1 and is 0 where it is unknown."""

    def __init__(self, code: str, detail: str, *, file: str = "", line: int = 0) -> None:
        place = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(f"{place}{code}: {detail}")
        self.code = code
        self.detail = detail
        self.file = file
        self.line = line

    def at(self, file: str, line: int) -> RuleError:
        """The same error with its place; a place that is known already stays."""
        return RuleError(self.code, self.detail, file=self.file or file, line=self.line or line)
