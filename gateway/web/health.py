"""What is wrong with the gateway itself and waits for a person, and how an admin lets a channel send again."""

from __future__ import annotations

from gateway.errors import NotFound, Refused
from gateway.ledger import audit, setting
from gateway.selfwatch import Problem
from gateway.services.dispatch import DOWN
from gateway.web.deps import WebDeps
from gateway.web.session import Who

REASONS = {
    "refused": "it refuses our account, sender or settings",
    "unmapped_host": "its library asked for an address that is not set up",
}


def problems(deps: WebDeps) -> list[Problem]:
    """Channels that are down, then what else the gateway noticed of itself; each with the way out."""
    down = [
        Problem(entry.key, _sentence(entry.key.removeprefix(DOWN), str(entry.value)), entry.at_ms)
        for entry in setting.entries(deps.engine, DOWN)
    ]
    return down + sorted(dict(deps.watch.problems).values(), key=lambda p: p.since_ms)


def channel_of(problem: Problem) -> str:
    """The channel that is down; "" where the problem is another one."""
    return problem.code.removeprefix(DOWN) if problem.code.startswith(DOWN) else ""


def resume(deps: WebDeps, who: Who, channel: str) -> None:
    """Send through a channel again.

    Raises:
        NotFound: `channel_down`: it is not down.
        Refused: `no_dispatch`: nothing sends here.
    """
    if DOWN + channel not in setting.read(deps.engine, DOWN):
        raise NotFound("channel_down", channel)
    if deps.resume is None:
        raise Refused("no_dispatch", "this console is not joined to a gateway that sends")
    deps.resume(channel)
    audit.note(deps.engine, at_ms=deps.now_ms(), actor=who.login, action="channel.resume", subject=f"channel:{channel}")
    deps.hub.publish("system")


def _sentence(channel: str, code: str) -> str:
    return (
        f"No message goes out by {channel}: {REASONS.get(code, code.replace('_', ' '))}. Messages wait and none is "
        "lost. Put the account right with the provider and in the settings, then resume."
    )
