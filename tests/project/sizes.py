"""Module and function sizes, as `make check` holds them: modules up to 400 lines, functions that fit a screen."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("gateway", "edge", "rules", "firmware_sim", "bench")
MODULE_LINES, FUNCTION_LINES = 400, 60


def too_large() -> list[str]:
    """One sentence for each module or function over its limit."""
    found = []
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        if "migrations" in path.parts:
            continue
        text = path.read_text()
        name = path.relative_to(ROOT)
        if (lines := text.count("\n")) > MODULE_LINES:
            found.append(f"{name}: {lines} lines, limit {MODULE_LINES}")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body and (length := (body[-1].end_lineno or 0) - body[0].lineno + 1) > FUNCTION_LINES:
                    found.append(f"{name}:{node.lineno}: {node.name} has {length} lines, limit {FUNCTION_LINES}")
    return found


if __name__ == "__main__":
    if sentences := too_large():
        sys.exit("\n".join(sentences))
