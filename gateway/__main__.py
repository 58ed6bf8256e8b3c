"""`beforehand`: the command line. Errors made on purpose become one sentence and exit code 2."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from gateway.cli import admin, customer, device, fleet, outreach, serve
from gateway.errors import GatewayError
from rules import RuleError

app = typer.Typer(
    name="beforehand",
    help="Know before the user does: device telemetry into help that arrives before the fault is noticed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (serve, device, customer, outreach, fleet, admin):
    part.register(app)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except GatewayError as exc:
        _tell(exc.code, exc.detail or "see the log")
    except RuleError as exc:
        _tell(exc.code, f"{exc}; `beforehand rules check FILE` tells all that is wrong")


def _tell(code: str, sentence: str) -> NoReturn:
    Console(stderr=True, highlight=False).print(f"[bold red]{code}[/]: {escape(sentence)}", soft_wrap=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
