"""The supervisor: the one place where any error is caught. It logs the traceback and lets the rest go on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from gateway.errors import TryLater

log = structlog.get_logger(__name__)

FIRST_S, LONGEST_S = 0.5, 30.0  # full jitter between nought and a bound that doubles
QUIET_S = 60.0  # a loop that ran this long is healthy: its next failure starts from the shortest wait


async def guarded(name: str, work: Awaitable[object]) -> bool:
    """Wait for work; whether it ended without an error. Cancellation passes through."""
    try:
        await work
    except Exception as exc:
        if waits := _waits(exc):
            log.error("service.waits", service=name, code=waits.code, detail=waits.detail)
        else:
            log.exception("service.failed", service=name)
        return False
    return True


def _waits(exc: BaseException) -> TryLater | None:
    """The TryLater that an error is, or a group of nothing else: told in a sentence, without a traceback."""
    match exc:
        case TryLater():
            return exc
        case BaseExceptionGroup():
            found = [_waits(one) for one in exc.exceptions]
            return found[0] if all(found) else None
        case _:
            return None


async def keep(name: str, loop: Callable[[], Awaitable[object]]) -> None:
    """Run a service loop, again after each failure, until it returns or is cancelled."""
    bound_s = FIRST_S
    while True:
        began = asyncio.get_running_loop().time()
        if await guarded(name, loop()):
            return
        if asyncio.get_running_loop().time() - began > QUIET_S:
            bound_s = FIRST_S
        await asyncio.sleep(random.uniform(0, bound_s))
        bound_s = min(2 * bound_s, LONGEST_S)
