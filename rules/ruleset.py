"""Rule files to one consistent set of rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from rules import document
from rules.document import Document
from rules.errors import RuleError
from rules.schema import ForecastSpec, Rule, RuleFile

LIBRARY: Final = Path(__file__).parent / "library"
"""The rules that come with the product."""

_FILE: Final = TypeAdapter(RuleFile)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules and forecasts that fit together; the order of files and entries is kept."""

    rules: tuple[Rule, ...] = ()
    forecasts: tuple[ForecastSpec, ...] = ()

    def rule(self, alert: str) -> Rule | None:
        """The rule of that name, or None."""
        return next((rule for rule in self.rules if rule.alert == alert), None)

    @property
    def names(self) -> tuple[str, ...]:
        """Every fact that some expression reads, in order of first mention."""
        return tuple(dict.fromkeys(name for rule in self.rules for name in rule.expr.names))


def load(paths: Iterable[Path | str] = (LIBRARY,)) -> RuleSet:
    """The rules of files and folders (their `*.yaml`, by name; tests in `tests/` below are left out).

    A later rule may stand in for an earlier one of the same name by saying `replace: true`.

    Raises:
        RuleError: with file and line; the first that is wrong. For any file contents, nothing else is raised.
    """
    return join([document.read(file) for path in paths for file in rule_files(Path(path))])


def rule_files(path: Path) -> list[Path]:
    """The rule files of a folder, or the file itself.

    Raises:
        RuleError: `no_file`.
    """
    if path.is_dir():
        return sorted(found for found in path.glob("*.y*ml") if found.is_file())
    if not path.exists():
        raise RuleError("no_file", "there is no such file or folder", file=str(path))
    return [path]


def join(documents: Sequence[Document]) -> RuleSet:
    """The rules of several documents as one set.

    Raises:
        RuleError: as `load`.
    """
    rules: dict[str, tuple[Rule, str, int]] = {}
    forecasts: dict[tuple[str, str], ForecastSpec] = {}
    for doc in documents:
        bare = isinstance(doc.content, list)
        content: document.Plain = {"rules": doc.content} if bare else doc.content
        found = doc.validated(_FILE, content) if not bare else _bare(doc)
        for at, rule in enumerate(found.rules):
            line = doc.line((at,) if bare else ("rules", at))
            if rule.alert in rules and not rule.replace:
                raise RuleError("duplicate_alert", f"{rule.alert} is there already", file=doc.file, line=line)
            rules[rule.alert] = (rule, doc.file, line)
        for at, spec in enumerate(found.forecasts):
            _add_forecast(forecasts, spec, doc, doc.line(("forecasts", at)))
    for rule, file, line in rules.values():
        for other in rule.inhibited_by:
            if other not in rules:
                raise RuleError("unknown_alert", f"inhibited_by: there is no rule {other}", file=file, line=line)
    _refuse_cycles(rules)
    kept = tuple(rule for rule, _, _ in rules.values() if rule.enabled)
    return RuleSet(kept, tuple(dict.fromkeys(forecasts.values())))


def _bare(doc: Document) -> RuleFile:
    rules = doc.validated(TypeAdapter(tuple[Rule, ...]), doc.content)
    return RuleFile(rules=rules)


def _add_forecast(held: dict[tuple[str, str], ForecastSpec], spec: ForecastSpec, doc: Document, line: int) -> None:
    for kind in spec.types or ("",):
        if (spec.name, kind) in held:
            raise RuleError("duplicate_alert", f"forecast {spec.name} is there already", file=doc.file, line=line)
        held[spec.name, kind] = spec


def _refuse_cycles(rules: dict[str, tuple[Rule, str, int]]) -> None:
    """Depth-first over `inhibited_by`, iteratively, so that a long chain costs no recursion."""
    done: set[str] = set()
    for start in rules:
        path: list[str] = []
        stack = [(start, False)]
        while stack:
            name, leaving = stack.pop()
            if leaving:
                path.pop()
                done.add(name)
            elif name in path:
                _, file, line = rules[name]
                raise RuleError("inhibition_cycle", f"{' <- '.join([*path, name])}", file=file, line=line)
            elif name not in done:
                path.append(name)
                stack.append((name, True))
                stack.extend((other, False) for other in rules[name][0].inhibited_by)
