"""`beforehand`: the command line. Errors made on purpose become one sentence and exit code 2."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from gateway.cli import admin, device, fleet, serve
from gateway.errors import GatewayError

app = typer.Typer(
    name="beforehand",
    help="Know before the user does: device telemetry into help that arrives before the fault is noticed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (serve, device, fleet, admin):
    part.register(app)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except GatewayError as exc:
        Console(stderr=True, highlight=False).print(
            f"[bold red]{exc.code}[/]: {exc.detail or 'see the log'}", soft_wrap=True
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
