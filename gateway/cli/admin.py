"""Commands for the operator: settings, doctor, users, tokens, rules, audit."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from gateway import config
from gateway.cli.common import SettingsPath, console, now_ms, open_ledger, settings_of
from gateway.errors import GatewayError

settings_app = typer.Typer(help="Settings.", no_args_is_help=True)
rules_app = typer.Typer(help="Rules.", no_args_is_help=True)
user_app = typer.Typer(help="People who may sign in to the console.", no_args_is_help=True)
token_app = typer.Typer(help="Tokens for the API.", no_args_is_help=True)
audit_app = typer.Typer(help="The audit chain.", no_args_is_help=True)


class Role(Enum):
    """What a person or a token may do."""

    ADMIN = "admin"
    AGENT = "agent"
    VIEWER = "viewer"


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(doctor)
    app.add_typer(settings_app, name="config")
    app.add_typer(rules_app, name="rules")
    app.add_typer(user_app, name="user")
    app.add_typer(token_app, name="token")
    app.add_typer(audit_app, name="audit")


def doctor(path: SettingsPath = None) -> None:
    """Check settings, clock, disk, ports, broker and stores, and say what to do."""
    from gateway.services.doctor import examine

    marks = {"ok": "[green]ok[/]", "warning": "[yellow]look[/]", "failed": "[red]fail[/]"}
    table = Table(box=None, pad_edge=False, show_header=False)
    findings = examine(settings_of(path), now_ms())
    for finding in findings:
        table.add_row(marks[finding.verdict], f"[bold]{finding.subject}[/]", finding.sentence)
    console.print(table)
    if any(finding.verdict == "failed" for finding in findings):
        raise typer.Exit(1)


@settings_app.command("defaults")
def settings_defaults() -> None:
    """Print a settings file with every key, its default and its sentence."""
    section = ""
    for key, default, sentence, secret in config.fields():
        head, _, leaf = key.rpartition(".")
        if head != section:
            section = head
            print(f"\n[{section}]")
        if secret:
            print(f"# {leaf}: {sentence} ({config.env_name(key)})")
        else:
            shown = list(default) if isinstance(default, tuple) else default
            text = f'"{shown}"' if isinstance(shown, str) else str(shown).lower()
            print(f"{leaf} = {text}  # {sentence}")


@settings_app.command("check")
def settings_check(path: SettingsPath = None) -> None:
    """Read the settings and say whether they hold."""
    settings_of(path)
    console.print("[green]ok[/] the settings hold")


@rules_app.command("check")
def rules_check(
    paths: Annotated[list[Path] | None, typer.Argument(help="Rule files or folders; none: the library.")] = None,
) -> None:
    """Check rules and run their tests."""
    import rules

    report = rules.check.run(paths or [rules.LIBRARY])
    for line in report.lines():
        console.print(line, markup=False)
    if not report.ok:
        raise typer.Exit(1)


@user_app.command("add")
def user_add(
    login: str,
    role: Annotated[Role, typer.Option(help="What the person may do.")] = Role.AGENT,
    name: Annotated[str, typer.Option(help="Full name.")] = "",
    path: SettingsPath = None,
) -> None:
    """Add a person; the password is asked for."""
    from gateway.ledger import access

    password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    user = access.User(login=login, name=name, role=role.value)
    access.save_user(open_ledger(settings_of(path)), user, password=password, now_ms=now_ms())
    console.print(f"{login} may sign in as {role.value}")


@user_app.command("disable")
def user_disable(login: str, path: SettingsPath = None) -> None:
    """Lock a person out at once; their tokens are void. `user add` lets them in again."""
    from gateway.ledger import access

    access.disable_user(open_ledger(settings_of(path)), login, actor="command line", now_ms=now_ms())
    console.print(f"{login} may sign in no more")


@user_app.command("list")
def user_list(path: SettingsPath = None) -> None:
    """List the people who may sign in."""
    from gateway.ledger import access

    table = Table(box=None, pad_edge=False)
    for title in ("login", "role", "name", "state"):
        table.add_column(title)
    for user in access.list_users(open_ledger(settings_of(path))):
        table.add_row(user.login, user.role, user.name, "disabled" if user.disabled else "active")
    console.print(table)


@token_app.command("add")
def token_add(
    login: Annotated[str, typer.Argument(help="Whose token it is.")],
    name: Annotated[str, typer.Option(help="What it is for.")] = "command line",
    role: Annotated[Role, typer.Option(help="What the token may do.")] = Role.VIEWER,
    path: SettingsPath = None,
) -> None:
    """Make an API token; it is shown once."""
    from gateway.ledger import access

    engine = open_ledger(settings_of(path))
    secret, _ = access.issue_token(engine, login, name=name, role=role.value, now_ms=now_ms())
    print(secret)


@audit_app.command("verify")
def audit_verify(path: SettingsPath = None) -> None:
    """Check the whole audit chain."""
    from gateway.ledger import audit

    broken = audit.verify(open_ledger(settings_of(path)))
    if broken is not None:
        raise GatewayError("audit_broken", f"entry {broken} does not follow from the one before it")
    console.print("[green]ok[/] the chain holds")
