"""Work on a schedule. To add some, write its function here and name it in `JOBS`; its runs are kept and shown.

A job's function blocks, runs in a thread, never beside itself, and returns one line on what it did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.config import Settings, duration_s
from gateway.services.jobs import Job
from gateway.services.schooling import Schooling

if TYPE_CHECKING:
    from gateway.app.gateway import Gateway


@dataclass(frozen=True, slots=True)
class Planned:
    """A job before there is a gateway: its interval comes from the settings, and `run` says what was done."""

    name: str
    every: Callable[[Settings], str]
    run: Callable[[Gateway, int], str]


def retention(gateway: Gateway, now_ms: int) -> str:
    """Roll up and remove samples and log lines by age."""
    removed = gateway.store.retain(now_ms)
    return ", ".join(f"{name} {count:,}" for name, count in removed.items()) or "nothing to remove"


def snapshot(gateway: Gateway, _now_ms: int) -> str:
    """Write what detectors have learned, and let the store rearrange what will not be asked for again."""
    window = gateway.turn.save()
    gateway.store.settle(window)
    return f"window {window}" if window else "a turn waits for the ledger"


def training(gateway: Gateway, now_ms: int) -> str:
    """Train models anew."""
    return gateway.turn.train(wall_ms=now_ms)


def habits(gateway: Gateway, _now_ms: int) -> str:
    """Learn the habits of the devices that wait longest, for as long as one run may take."""
    held = gateway.settings.detect
    return gateway.turn.learn_habits(
        Schooling(
            every_ms=int(1000 * duration_s(held.habit_every)),
            past_ms=int(1000 * duration_s(held.habit_past)),
            budget_s=duration_s(held.habit_budget),
        )
    )


JOBS: Sequence[Planned] = (
    Planned("retention", lambda _: "1h", retention),  # a roll-up's own step
    Planned("snapshot", lambda settings: settings.detect.snapshot_every, snapshot),
    Planned("training", lambda settings: settings.detect.train_every, training),
    Planned("habits", lambda _: "10m", habits),  # each run is bounded by `detect.habit_budget`
)


def jobs_of(gateway: Gateway) -> list[Job]:
    """The jobs of one gateway."""

    def bound(planned: Planned) -> Callable[[int], str]:
        return lambda now_ms: planned.run(gateway, now_ms)

    return [Job(name=j.name, every_s=duration_s(j.every(gateway.settings)), run=bound(j)) for j in JOBS]
