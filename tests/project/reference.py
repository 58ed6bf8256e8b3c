"""Makes the references under docs/ from the code: `python -m tests.project.reference` (`make docs`).

The tests compare what is written there with what this makes, so the documents cannot drift.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import typer

from edge import config as agent_config
from edge.wire import metric
from gateway import config
from gateway.__main__ import app

ROOT = Path(__file__).parents[2]
RAISED = ("ConfigError", "Refused", "TryLater", "OutcomeUnknown", "Undeliverable", "ChannelDown", "NotFound")
RAISED += ("GatewayError", "WireError", "RuleError", "RecordingError")


def settings() -> str:
    """docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "One TOML file (`beforehand.toml`, or `--config FILE`); the environment overrides it. Secrets come from the",
        "environment or from a file named by the variable with `_FILE` added, never from the TOML. Unknown keys are",
        "errors. `beforehand config defaults` prints a file with everything in it.",
        "",
        "| Key | Default | Meaning | Environment |",
        "|---|---|---|---|",
    ]
    for key, default, sentence, secret in config.fields():
        shown = "secret" if secret else "none" if default in ("", ()) else f"`{default}`"
        lines.append(f"| `{key}` | {shown} | {sentence} | `{config.env_name(key)}` |")
    return "\n".join(lines) + "\n"


def commands() -> str:
    """docs/commands.md."""
    lines = ["# Commands", "", "`beforehand COMMAND --help` says the same in the terminal.", ""]
    _command(typer.main.get_command(app), "beforehand", lines)
    return "\n".join(lines).rstrip() + "\n"


def _command(command: click.Command, name: str, lines: list[str]) -> None:
    if hasattr(command, "commands"):
        for key, sub in sorted(command.commands.items()):
            _command(sub, f"{name} {key}", lines)
        return
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join([name, *((p.name or "").upper() for p in arguments)])
    lines += [f"## `{usage}`", "", (command.help or "").strip(), ""]
    for option in options:
        help_text = getattr(option, "help", None) or ""
        lines.append(f"- `{', '.join(option.opts)}`: {help_text}")
    if options:
        lines.append("")


def errors() -> str:
    """docs/errors.md."""
    lines = [
        "# Error codes",
        "",
        "A code is stable: it labels a counter, stands in logs and in the API's error body. The class says what the",
        "caller does next (see `gateway/errors.py`).",
        "",
        "| Code | Class | Said by | Wording |",
        "|---|---|---|---|",
    ]
    for code, kind, where, detail in sorted(codes()):
        lines.append(f"| `{code}` | {kind} | `{where}` | {detail} |")
    return "\n".join(lines) + "\n"


def codes() -> set[tuple[str, str, str, str]]:
    """(code, class, module, wording) of every error that the code raises with a literal code."""
    found = set()
    for room in ("gateway", "edge", "rules", "firmware_sim"):
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and (code := _code_of(node)):
                    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                    detail = _wording(node.args[1]) if len(node.args) > 1 else ""
                    found.add((code, name, str(path.relative_to(ROOT)), detail))
    return found


def _code_of(node: ast.Call) -> str:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in RAISED and node.args and isinstance(node.args[0], ast.Constant):
        value = node.args[0].value
        if isinstance(value, str) and re.fullmatch(r"[a-z][a-z0-9_]*", value):
            return value
    return ""


def _wording(node: ast.expr) -> str:
    """A message as text; what is filled in stands as an ellipsis."""
    match node:
        case ast.Constant(value=str(text)):
            return text.replace("|", "\\|")
        case ast.JoinedStr(values=parts):
            return "".join(_wording(part) for part in parts)
        case ast.BinOp(left=left, right=right):
            return _wording(left) + _wording(right)
    return "…"


def metrics() -> str:
    """docs/metrics.md."""
    return (
        "# Metrics\n\nThe metrics we know; others are welcome. A value out of its range is refused at admission. The\n"
        "agent sends so many significant digits (0: exact).\n\n" + metric.reference()
    )


def agent_settings() -> str:
    """docs/agent-settings.md."""
    return (
        "# Settings of the agent\n\nOne TOML file, `beforehand-agent --config FILE`. Unknown keys are errors.\n"
        "`beforehand-agent --settings` prints this.\n\n" + agent_config.reference()
    )


PAGES = {
    "settings.md": settings,
    "commands.md": commands,
    "errors.md": errors,
    "metrics.md": metrics,
    "agent-settings.md": agent_settings,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (ROOT / "docs" / name).write_text(page())
