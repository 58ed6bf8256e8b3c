"""Commands on messages to customers: what waits, and channels that were stopped. They work beside a running gateway."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from gateway.cli.common import SettingsPath, console, now_ms, open_ledger, settings_of
from gateway.errors import NotFound

channel_app = typer.Typer(help="Channels through which messages go out.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(outbox)
    app.add_typer(channel_app, name="channel")


def outbox(
    limit: Annotated[int, typer.Option(help="How many of the newest are listed.", min=1, max=1000)] = 20,
    path: SettingsPath = None,
) -> None:
    """Count messages by state, and list those that wait, failed or are in doubt."""
    from gateway.ledger import workspace
    from gateway.ledger.database import reading

    with reading(open_ledger(settings_of(path))) as connection:
        counts = workspace.outbox_counts(connection)
        rows = workspace.held_messages(connection, limit=limit)
    console.print(", ".join(f"{count:,} {state}" for state, count in sorted(counts.items())) or "no messages yet")
    if rows:
        table = Table(box=None, pad_edge=False)
        for title in ("message", "ticket", "template", "state", "reason", "due (UTC)"):
            table.add_column(title, overflow="fold")
        for row in rows:
            ticket = f"#{row.ticket_number}" if row.ticket_number else "-"
            table.add_row(row.message_id, ticket, row.template or "-", row.state, row.reason or "-", _when(row.due_ms))
        console.print(table)


@channel_app.command("list")
def list_(path: SettingsPath = None) -> None:
    """List the channels that stand still, and why; the others send."""
    from gateway.ledger import setting
    from gateway.services.dispatch import DOWN

    down = setting.entries(open_ledger(settings_of(path)), DOWN)
    for entry in down:
        console.print(f"{entry.key.removeprefix(DOWN)}: {entry.value}, since {_when(entry.at_ms)} UTC")
    if not down:
        console.print("no channel stands still")


@channel_app.command("resume")
def resume(
    name: Annotated[str, typer.Argument(help="The channel, as `channel list` shows it.")],
    path: SettingsPath = None,
) -> None:
    """Send through a channel again, after its account or settings were put right."""
    from gateway.ledger import audit, setting
    from gateway.services.dispatch import DOWN, Dispatch

    engine = open_ledger(settings_of(path))
    if DOWN + name not in setting.read(engine, DOWN):
        raise NotFound("channel_down", f"{name} does not stand still; `beforehand channel list` shows those that do")
    Dispatch(engine=engine, channels={}, now_ms=now_ms).resume(name)
    audit.note(engine, at_ms=now_ms(), actor="command line", action="channel.resume", subject=f"channel:{name}")
    console.print(f"{name} sends again")


def _when(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
