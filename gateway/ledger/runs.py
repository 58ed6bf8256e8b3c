"""Runs of scheduled jobs: when, how it ended, what was done. The newest hundred of a job are kept."""

from __future__ import annotations

from sqlalchemy import Engine, delete, insert, select, update

from gateway.ledger.database import writing
from gateway.ledger.tables import job_runs

KEPT = 100


def begin(engine: Engine, job: str, *, now_ms: int) -> int:
    """Note that a job starts; the number of the run."""
    with writing(engine) as connection:
        made = connection.execute(insert(job_runs).values(job=job, started_ms=now_ms).returning(job_runs.c.run_id))
        run_id = int(made.scalar_one())
        old = select(job_runs.c.run_id).where(job_runs.c.job == job).order_by(job_runs.c.run_id.desc()).offset(KEPT)
        connection.execute(delete(job_runs).where(job_runs.c.run_id.in_(old.scalar_subquery())))
    return run_id


def end(engine: Engine, run_id: int, *, state: str, detail: str, now_ms: int) -> None:
    """Note how it ended: `done` or `failed`."""
    with writing(engine) as connection:
        wanted = update(job_runs).where(job_runs.c.run_id == run_id)
        connection.execute(wanted.values(state=state, detail=detail, ended_ms=now_ms))
