"""The supervisor restarts what fails and lets go of what ends; jobs keep a record of their runs."""

import asyncio

import pytest
import structlog

from gateway import ledger
from gateway.errors import TryLater
from gateway.ledger import workspace
from gateway.ledger.database import reading
from gateway.services import jobs, supervise


async def test_a_loop_that_fails_runs_again_until_it_returns(monkeypatch):
    monkeypatch.setattr(supervise, "FIRST_S", 0.001)
    tries = []

    async def loop() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise RuntimeError

    await supervise.keep("loop", loop)

    assert len(tries) == 3


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TryLater("ledger_full"), "service.waits"),
        (ExceptionGroup("tasks", [ExceptionGroup("", [TryLater("ledger_full")])]), "service.waits"),
        (ExceptionGroup("tasks", [TryLater("ledger_full"), RuntimeError()]), "service.failed"),
    ],
)
async def test_what_only_waits_is_told_without_a_traceback(error: Exception, told: str):
    async def work() -> None:
        raise error

    with structlog.testing.capture_logs() as lines:
        assert not await supervise.guarded("loop", work())

    assert [(line["event"], "exc_info" in line) for line in lines] == [(told, told == "service.failed")]


async def test_cancellation_is_not_swallowed():
    task = asyncio.ensure_future(supervise.keep("loop", lambda: asyncio.sleep(60)))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(("error", "state", "detail"), [(None, "done", "swept 3"), (OSError, "failed", "see the log")])
async def test_every_run_of_a_job_is_kept_with_how_it_ended(tmp_path, error, state, detail):
    engine = ledger.connect(f"sqlite:///{tmp_path}/ledger.sqlite")
    ledger.migrate(engine)

    def sweep(now_ms: int) -> str:
        if error:
            raise error
        return "swept 3"

    await jobs.run(jobs.Job(name="sweep", every_s=1, run=sweep), engine, lambda: 5)

    with reading(engine) as connection:
        (run,) = workspace.jobs(connection)
    assert (run.job, run.state, run.detail, run.ended_ms) == ("sweep", state, detail, 5)
    engine.dispose()
