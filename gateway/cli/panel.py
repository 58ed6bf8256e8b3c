"""What the demo shows in the terminal: where the fleet is, what was found, who was told, and what to try next."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection, func, select

from gateway.ledger.tables import devices, incidents, messages, tickets

SHOWN = 7  # newest tickets
WIDTH = 104  # a wider panel leaves more white than it tells
MARK = {"urgent": "bold red", "high": "yellow", "normal": "blue", "low": "bright_black"}  # of a ticket's priority


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTicket:
    """One of the newest tickets."""

    at_ms: int
    number: int
    device: str
    title: str
    priority: str
    told: bool  # whether its owner's phone has a message


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What stands in the ledger."""

    online: int
    incidents: int
    tickets: int
    messages: Counter[str]  # by state; replies are `received`
    newest: tuple[NewTicket, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """All that the panel tells."""

    url: str
    login: str
    password: str
    devices: int
    days: int  # of the past that is played
    share: float | None  # how much of it has been played; None: the fleet is live
    values: int
    behind_s: float
    now_ms: int
    counted: Counted


def count(connection: Connection) -> Counted:
    """What stands in the ledger now."""
    online = connection.execute(select(func.count()).where(devices.c.online)).scalar_one()
    open_ = connection.execute(select(func.count()).where(incidents.c.state == "open")).scalar_one()
    total = connection.execute(select(func.count()).select_from(tickets)).scalar_one()
    sent = connection.execute(select(messages.c.state, func.count()).group_by(messages.c.state)).all()
    told = select(messages.c.ticket_id).where(messages.c.state == "delivered", messages.c.ticket_id.is_not(None))
    rows = connection.execute(
        select(tickets, tickets.c.ticket_id.in_(told).label("told")).order_by(tickets.c.number.desc()).limit(SHOWN)
    ).all()
    return Counted(
        online=online,
        incidents=open_,
        tickets=total,
        messages=Counter({row[0]: row[1] for row in sent}),
        newest=tuple(
            NewTicket(
                at_ms=r.opened_ms, number=r.number, device=r.device_id or "many devices", title=r.title,
                priority=r.priority, told=r.told,
            )
            for r in rows
        ),
    )  # fmt: skip


def line(m: Moment) -> str:
    """The moment as one line, where no terminal is."""
    c, where = m.counted, "live" if m.share is None else f"playing the last {m.days} days: {m.share:.0%}"
    return (
        f"console {m.url} login {m.login} password {m.password} | {where} | {c.online} online, {m.values:,} values, "
        f"{c.incidents} incidents open, {c.tickets} tickets, {c.messages['delivered']} messages delivered"
    )


def panel(m: Moment, *, width: int = WIDTH) -> RenderableType:
    """The moment as a panel at most `width` columns wide."""
    parts: list[RenderableType] = [_door(m), Text(), _fleet(m), _found(m.counted)]
    if m.counted.newest:
        parts += [Text(), _newest(m)]
    parts += [Text(), _next(m)]
    return Panel(
        Group(*parts), title="[bold]Beforehand[/]", title_align="left", subtitle="[dim]Ctrl-C stops all of it[/]",
        subtitle_align="right", box=box.ROUNDED, border_style="bright_black", padding=(1, 2), width=min(width, WIDTH),
    )  # fmt: skip


def _door(m: Moment) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_row("[dim]Console[/]", f"[bold cyan underline]{m.url}[/]")
    grid.add_row("[dim]Sign in[/]", f"[bold]{m.login}[/] [dim]with password[/] [bold]{m.password}[/]")
    return grid


def _fleet(m: Moment) -> Table:
    grid = Table.grid(padding=(0, 2))
    if m.share is None:
        state: RenderableType = f"[bold green]●[/] live   {m.counted.online} of {m.devices} devices online"
    else:
        played = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=1.0, completed=m.share, width=28, complete_style="cyan", finished_style="cyan")
        played.add_row(f"[bold cyan]▶[/] its last {m.days} days, in fast motion", bar, f"{m.share:4.0%}")
        state = played
    grid.add_row("[dim]Fleet  [/]", state)
    grid.add_row("[dim]Stored [/]", f"{m.values:,} values   [dim]{m.behind_s:.1f} s behind[/]")
    return grid


def _found(counted: Counted) -> Table:
    told = counted.messages
    said = [_many(counted.incidents, "open incident"), _many(counted.tickets, "ticket")]
    said.append(f"{_many(told['delivered'], 'message')} to owners")
    said += [f"[bold]{told['held']}[/] held until morning"] if told["held"] else []
    said += [_many(told["received"], "answer")] if told["received"] else []
    grid = Table.grid(padding=(0, 2))
    grid.add_row("[dim]Found  [/]", "   ".join(said))
    return grid


def _many(number: int, thing: str) -> str:
    return f"[bold]{number}[/] {thing}{'' if number == 1 else 's'}"


def _newest(m: Moment) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right")
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    for t in m.counted.newest:
        grid.add_row(
            Text(f"#{t.number}", style="dim"),
            Text(t.device, style="cyan"),
            Text.assemble(("● ", MARK[t.priority]), t.title),
            Text("owner told", style="green") if t.told else Text(),
            Text(_ago(m.now_ms - t.at_ms), style="dim"),
        )
    grid.expand = True
    return grid


def _next(m: Moment) -> Text:
    if m.share is not None:
        return Text("Sign in now; the fleet goes live within two minutes, and then a few devices go bad.", style="dim")
    if not m.counted.messages["received"]:
        return Text("Try: open Phones in the console and answer as one of the owners.", style="dim")
    return Text("Try: open the ticket that was answered, write back, and say what it turned out to be.", style="dim")


def _ago(ms: int) -> str:
    minutes = max(0, ms) // 60_000
    if minutes < 1:
        return "just now"
    if minutes < 90:
        return f"{minutes} min ago"
    hours = minutes // 60
    return f"{hours} h ago" if hours < 48 else f"{hours // 24} days ago"
