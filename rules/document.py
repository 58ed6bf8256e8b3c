"""YAML as plain text values that remember their lines.

Every scalar stays text (the schema knows what it should be, so `no` is never silently a boolean), repeated keys are
errors, and anchors are refused: they are the one way in which a small file becomes an endless one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from rules.errors import RuleError

Plain: TypeAlias = "str | list[Plain] | dict[str, Plain]"
T = TypeVar("T")

MAX_BYTES: Final = 1_000_000
MAX_DEPTH: Final = 12
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Document:
    """The contents of one YAML file and where each part of them stands."""

    file: str
    content: Plain
    root: yaml.Node

    def line(self, path: Sequence[str | int]) -> int:
        """The line, from 1, of the part that `path` leads to, or of the last part on the way that exists."""
        node = self.root
        for step in path:
            below = _below(node, step)
            if below is None:
                break
            node = below
        return int(node.start_mark.line) + 1

    def validated(self, adapter: TypeAdapter[T], content: Plain, *, prefix: tuple[str | int, ...] = ()) -> T:
        """`content` as the adapter's type.

        Raises:
            RuleError: with the code of the value that did not fit, and its line.
        """
        try:
            return adapter.validate_python(content)
        except ValidationError as exc:
            raise self._located(exc, prefix) from None

    def _located(self, exc: ValidationError, prefix: tuple[str | int, ...]) -> RuleError:
        first = exc.errors(include_url=False)[0]
        path = (*prefix, *first["loc"])
        cause = first.get("ctx", {}).get("error")
        name = ".".join(str(step) for step in first["loc"] if isinstance(step, str))
        if isinstance(cause, RuleError):
            return RuleError(cause.code, f"{name}: {cause.detail}" if name else cause.detail).at(
                self.file, self.line(path)
            )
        if first["type"] == "extra_forbidden":
            return RuleError("bad_field", f"unknown field {name!r}", file=self.file, line=self.line(path))
        return RuleError("bad_field", f"{name or 'file'}: {first['msg']}", file=self.file, line=self.line(path))


def read(path: Path) -> Document:
    """The document in a file.

    Raises:
        RuleError: `no_file`, `too_large` or `not_yaml`.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as exc:
        raise RuleError("no_file", exc.strerror or "cannot be read", file=str(path)) from None
    if len(raw) > MAX_BYTES:
        raise RuleError("too_large", f"over {MAX_BYTES} bytes", file=str(path))
    return parse(raw, file=str(path))


def parse(raw: bytes, *, file: str) -> Document:
    """The document in these bytes; an empty one has an empty list.

    Raises:
        RuleError: `not_yaml`. For any bytes, nothing else is raised.
    """
    try:
        text = raw.decode()
        _check_shape(text, file)
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark
        problem = exc.problem or "cannot be read"
        raise RuleError("not_yaml", problem, file=file, line=mark.line + 1 if mark else 0) from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as exc:
        if isinstance(exc, RuleError):
            raise
        raise RuleError("not_yaml", str(exc).splitlines()[0], file=file) from None
    if root is None:
        root = yaml.SequenceNode("", [], *_at_start())
    return Document(file, _plain(root, file), root)


def _at_start() -> tuple[yaml.Mark, yaml.Mark]:
    mark = yaml.Mark("", 0, 0, 0, None, 0)
    return mark, mark


def _check_shape(text: str, file: str) -> None:
    """Refuse anchors and deep nesting before anything recursive sees them; the event stream is flat."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise RuleError("not_yaml", "anchors and aliases are not used in rule files", file=file, line=line)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise RuleError("not_yaml", f"nested deeper than {MAX_DEPTH}", file=file, line=line)


def _plain(node: yaml.Node, file: str) -> Plain:
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, file) for child in node.value]
    found: dict[str, Plain] = {}
    for key, child in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise RuleError("not_yaml", "a key must be text", file=file, line=line)
        if key.value in found:
            raise RuleError("not_yaml", f"key {key.value!r} is there twice", file=file, line=line)
        found[str(key.value)] = _plain(child, file)
    return found


def _below(node: yaml.Node, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((child for key, child in node.value if key.value == str(step)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        child: yaml.Node = node.value[step]
        return child
    return None
