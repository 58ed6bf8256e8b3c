"""Work on a schedule: a job is a name, an interval and a function. Every run is kept in the ledger.

APScheduler keeps time; a job never overlaps itself, and a missed run is made up once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy import Engine

from gateway.ledger import runs
from gateway.services.supervise import guarded

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Something that is done again and again. `run` blocks, and returns one line on what it did."""

    name: str
    every_s: float
    run: Callable[[int], str]  # now_ms -> what was done


def schedule(jobs: Sequence[Job], *, ledger: Engine, clock: Callable[[], int]) -> AsyncIOScheduler:
    """A scheduler for these jobs, not started. Its jobs run in threads, so the loop stays free."""
    scheduler = AsyncIOScheduler(timezone="UTC")
    for job in jobs:
        scheduler.add_job(
            run, "interval", seconds=job.every_s, id=job.name, args=(job, ledger, clock),
            max_instances=1, coalesce=True, misfire_grace_time=None,
        )  # fmt: skip
    return scheduler


async def run(job: Job, ledger: Engine, clock: Callable[[], int]) -> None:
    """Run a job now and keep the run; a failure is kept and logged, and the schedule goes on."""
    run_id = await asyncio.to_thread(runs.begin, ledger, job.name, now_ms=clock())
    told: list[str] = []
    well = await guarded(f"job {job.name}", asyncio.to_thread(lambda: told.append(job.run(clock()))))
    state, detail = ("done", told[0]) if well else ("failed", "see the log")
    await asyncio.to_thread(runs.end, ledger, run_id, state=state, detail=detail, now_ms=clock())
    log.info("job.done", job=job.name, state=state, detail=detail)
