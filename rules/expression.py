"""Expressions over facts, evaluated for a whole fleet at once.

Grammar, loosest first (`not` binds tighter than `and`, which binds tighter than `or`)::

    truth      := both ("or" both)*
    both       := claim ("and" claim)*
    claim      := "not" claim | sum [("<" | "<=" | ">" | ">=" | "==" | "!=") sum]
    sum        := product (("+" | "-") product)*
    product    := sign (("*" | "/") sign)*
    sign       := "-" sign | atom
    atom       := number [unit] | name | function "(" truth ("," truth)* ")" | "(" truth ")"

Truth is three-valued (S. C. Kleene, 1938, On notation for ordinal numbers, J. Symbolic Logic 3, 150-155): a comparison
with an unknown value (NaN) is unknown, and what is unknown at the top does not hold. So neither `x < 5` nor
`not x < 5` holds where `x` was never sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rules.errors import RuleError
from rules.fact import check_name

Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
Column: TypeAlias = Callable[[str], Floats]
"""From a fact's name to its values, one per device, NaN where unknown."""

MAX_CHARS: Final = 2000
MAX_NODES: Final = 200  # the longest rule of the library has 17
MAX_DEPTH: Final = 30  # of parentheses; each costs the parser seven frames
UNITS: Final = {
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "KiB": 1024.0,
    "MiB": 1024.0**2,
    "GiB": 1024.0**3,
}
"""Units a number may carry: durations become seconds, sizes become bytes."""

FUNCTIONS: Final = {
    "abs": (1, "magnitude"),
    "min": (2, "smaller of two; unknown if either is"),
    "max": (2, "larger of two; unknown if either is"),
    "default": (2, "the first, or the second where the first is unknown"),
    "known": (1, "whether a value is known; itself never unknown"),
}
"""Functions: how many arguments, and what they give. `known` gives a truth, the others a number."""

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?P<unit>[A-Za-z]*)"
    r"|(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)|(?P<op><=|>=|==|!=|[-+*/<>(),]))",
    re.ASCII,
)
_COMPARISONS: Final = ("<", "<=", ">", ">=", "==", "!=")
_WORDS: Final = ("and", "or", "not")
Kind: TypeAlias = Literal["number", "truth"]


@dataclass(frozen=True, slots=True)
class Node:
    """One operation: `op` is an operator, a function, `name` or `number`."""

    op: str
    kind: Kind
    args: tuple[Node, ...] = ()
    name: str = ""
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression; `names` are the facts it reads, in order of first mention."""

    text: str
    root: Node
    names: tuple[str, ...]

    def holds(self, column: Column, count: int) -> Flags:
        """(count,) whether it holds for each device; unknown is False. See `judged`."""
        return self.judged(column, count)[0]

    def judged(self, column: Column, count: int) -> tuple[Flags, Flags]:
        """Where it is true, and where it is false, each (count,); unknown where neither.

        Args:
            column: from a fact's name to (count,) values.
            count: number of devices.
        """
        with np.errstate(all="ignore"):
            true, false = _truth(self.root, column)
        return np.broadcast_to(true, (count,)), np.broadcast_to(false, (count,))


def parse(text: str) -> Expression:
    """Read an expression; its top must be a truth.

    Raises:
        RuleError: `too_large`, `bad_expression` or `unknown_fact`. For any text, nothing else is raised.
    """
    if len(text) > MAX_CHARS:
        raise RuleError("too_large", f"expression of {len(text)} characters, limit {MAX_CHARS}")
    parser = _Parser(list(_tokens(text)))
    root = parser.truth()
    if parser.peek()[1]:
        hint = "join comparisons with `and`" if parser.peek()[1] in _COMPARISONS else "an operator is missing"
        raise parser.fail(f"unexpected {parser.peek()[1]!r}; {hint}")
    if root.kind != "truth":
        raise RuleError("bad_expression", f"{text!r} gives a number; compare it with something")
    return Expression(text, root, tuple(parser.names))


def _tokens(text: str) -> Iterator[tuple[str, str, float, int]]:
    """Kind, text, number and position of every token, and an empty one at the end."""
    at = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise RuleError("bad_expression", f"{text[at:].lstrip()[:12]!r} at character {at + 1} is no part of it")
        kind = match.lastgroup or ""
        if kind in ("unit", "number"):
            unit = match["unit"]
            if unit and unit not in UNITS:
                raise RuleError("bad_expression", f"unit {unit!r} is none of {', '.join(UNITS)}")
            yield "number", match[0].strip(), float(match["number"]) * UNITS.get(unit, 1.0), at
        else:
            yield kind, match[0].strip(), 0.0, at
        at = match.end()
    yield "end", "", 0.0, len(text)


class _Parser:
    """Recursive descent over tokens; counts nodes so that neither depth nor size can grow without bound."""

    def __init__(self, tokens: list[tuple[str, str, float, int]]) -> None:
        self.tokens = tokens
        self.at = 0
        self.nodes = 0
        self.depth = 0
        self.names: dict[str, None] = {}

    def peek(self) -> tuple[str, str, float, int]:
        return self.tokens[self.at]

    def fail(self, why: str) -> RuleError:
        return RuleError("bad_expression", f"{why} (at character {self.peek()[3] + 1})")

    def take(self, *texts: str) -> str:
        """Consume and return the next token if it is one of `texts`, else return ''."""
        kind, text, _, _ = self.peek()
        if kind != "end" and text in texts:
            self.at += 1
            return text
        return ""

    def count(self) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise RuleError("too_large", f"expression of more than {MAX_NODES} parts")

    def node(self, op: str, kind: Kind, needs: Kind, *args: Node) -> Node:
        self.count()
        if any(arg.kind != needs for arg in args):
            wanted = "comparisons" if needs == "truth" else "numbers"
            raise self.fail(f"{op!r} works on {wanted}; use parentheses or compare first")
        return Node(op, kind, args)

    def truth(self) -> Node:
        left = self.both()
        while self.take("or"):
            left = self.node("or", "truth", "truth", left, self.both())
        return left

    def both(self) -> Node:
        left = self.claim()
        while self.take("and"):
            left = self.node("and", "truth", "truth", left, self.claim())
        return left

    def claim(self) -> Node:
        if self.take("not"):
            self.count()
            return self.node("not", "truth", "truth", self.claim())
        left = self.sum()
        if op := self.take(*_COMPARISONS):
            return self.node(op, "truth", "number", left, self.sum())
        return left

    def sum(self) -> Node:
        left = self.product()
        while op := self.take("+", "-"):
            left = self.node(op, "number", "number", left, self.product())
        return left

    def product(self) -> Node:
        left = self.sign()
        while op := self.take("*", "/"):
            left = self.node(op, "number", "number", left, self.sign())
        return left

    def sign(self) -> Node:
        if self.take("-"):
            self.count()
            return self.node("negate", "number", "number", self.sign())
        return self.atom()

    def atom(self) -> Node:
        self.count()
        kind, text, number, _ = self.peek()
        if self.take("("):
            inner = self.nested()
            self.close("(")
            return inner
        if kind == "number":
            self.at += 1
            return Node("number", "number", value=number)
        if kind == "name" and text not in _WORDS:
            self.at += 1
            if text in FUNCTIONS:
                return self.call(text)
            check_name(text)
            self.names[text] = None
            return Node("name", "number", name=text)
        raise self.fail(f"a value is missing before {text!r}" if text else "a value is missing at the end")

    def nested(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise RuleError("too_large", f"parentheses deeper than {MAX_DEPTH}")
        inner = self.truth()
        self.depth -= 1
        return inner

    def call(self, function: str) -> Node:
        if not self.take("("):
            raise self.fail(f"function {function!r} needs its arguments in parentheses")
        args = [self.nested()]
        while self.take(","):
            args.append(self.nested())
        self.close(function)
        wanted = FUNCTIONS[function][0]
        if len(args) != wanted:
            raise self.fail(f"{function} takes {wanted} argument{'s' if wanted > 1 else ''}, not {len(args)}")
        return self.node(function, "truth" if function == "known" else "number", "number", *args)

    def close(self, what: str) -> None:
        if not self.take(")"):
            raise self.fail(f"')' is missing after {what!r}")


def _number(node: Node, column: Column) -> Floats:
    if node.op == "number":
        return np.asarray(node.value)
    if node.op == "name":
        return column(node.name)
    return _NUMERIC[node.op](*(_number(arg, column) for arg in node.args))


def _divide(left: Floats, right: Floats) -> Floats:
    """A division by zero is unknown."""
    return np.where(right == 0.0, np.nan, left / right)


def _default(value: Floats, instead: Floats) -> Floats:
    return np.where(np.isnan(value), instead, value)


_NUMERIC: Final[dict[str, Callable[..., Floats]]] = {
    "negate": np.negative,
    "abs": np.abs,
    "default": _default,
    "/": _divide,
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
}


def _truth(node: Node, column: Column) -> tuple[Flags, Flags]:
    """Where the node is true and where it is false; unknown where neither."""
    match node.op:
        case "known":
            unknown = np.isnan(_number(node.args[0], column))
            return ~unknown, unknown
        case "not":
            true, false = _truth(node.args[0], column)
            return false, true
        case "and" | "or":
            (true, false), (also, nor) = _truth(node.args[0], column), _truth(node.args[1], column)
            return (true & also, false | nor) if node.op == "and" else (true | also, false & nor)
        case _:
            return _compare(node.op, _number(node.args[0], column), _number(node.args[1], column))


def _compare(op: str, left: Floats, right: Floats) -> tuple[Flags, Flags]:
    match op:
        case "<":
            return left < right, left >= right
        case "<=":
            return left <= right, left > right
        case ">":
            return left > right, left <= right
        case ">=":
            return left >= right, left < right
    same = left == right
    differ = (left < right) | (left > right)
    return (same, differ) if op == "==" else (differ, same)
