"""From the broker to committed blocks; the order is the promise.

    window -> decode and admit -> roster growth to the ledger -> append (one transaction) -> acknowledge -> turn
                                                                                          -> `stored` marks

A crash before the append costs a redelivery; between append and acknowledgement, a repeat that is dropped by its key.
A store that is full or away is tried again for as long as it takes: nothing is acknowledged meanwhile, so the broker
queues and then the devices keep what they have.

Three stages run side by side, joined by queues of one window: decoding, committing, the turn. So memory holds a few
windows at most, and under load windows fill up to their size instead of piling up.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog

from edge.wire import encode_stored, ranges_of, topic
from gateway.errors import TryLater
from gateway.ingest import Harvest, Intake
from gateway.model import Block, Device, DeviceId, Roster
from gateway.ports import BatchKey, Delivery, SeriesStore, TelemetrySource
from gateway.services.deadletters import DeadLetters

T = TypeVar("T")
LONGEST_RETRY_S = 30.0
QUIET_S = 30.0  # without a window, after which there is no backlog: a source that has one gives it at once
MARK_TICK_S = 0.25
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Decoded:
    window: list[Delivery]
    harvest: Harvest
    now_ms: int
    began_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How windows close and how often a device is told what is stored; settings section `ingest`."""

    window_deliveries: int = 2_000
    linger_s: float = 0.5
    marks_every_s: float = 2.0


class Receiver:
    """Receives for ever, or until an error that a restart must settle. One for each store.

    Args:
        source: where deliveries come from.
        store: where blocks go.
        roster: the fleet; it grows as devices send new metrics.
        intake: decodes and admits; it has the same roster.
        save_series: keeps what the roster has grown by (from_series, from_metric) in the ledger. Blocks.
        on_block: the turn; called in order, once a committed block.
        on_message: gets `reported` and `reply` messages of devices (kind, device, payload).
        on_unknown: called with ids nobody knows, to look whether they were provisioned meanwhile. Blocks.
        dead_letters: where refused deliveries are kept.
        now_ms: the clock.
        pace: window size, linger, marks.

    `counts` holds deliveries, values, batches and everything refused or dropped, by reason.
    """

    def __init__(
        self,
        *,
        source: TelemetrySource,
        store: SeriesStore,
        roster: Roster,
        intake: Intake,
        save_series: Callable[[int, int], None],
        on_block: Callable[[Block], Awaitable[None]],
        on_message: Callable[[str, Device, bytes], Awaitable[None]] | None = None,
        on_unknown: Callable[[Sequence[str]], object] | None = None,
        dead_letters: DeadLetters | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        pace: Pace | None = None,
    ) -> None:
        self._source, self._store, self._roster, self._intake = source, store, roster, intake
        self._save_series, self._on_block, self._on_message = save_series, on_block, on_message
        self._on_unknown, self._dead_letters, self._now_ms = on_unknown, dead_letters, now_ms
        self._pace = pace or Pace()
        self._committing: set[BatchKey] = set()
        self._writing = threading.Lock()  # held by an append, whose thread outlives a run that is cancelled
        self._marks: dict[DeviceId, list[tuple[int, int]]] = {}
        self._marked_s: dict[DeviceId, float] = {}
        self.counts: Counter[str] = Counter()
        self.blocked = ""  # the code with which the store refuses now; "" while it takes what comes
        self._lag_ms, self._accounted_s = 0, 0.0  # of the newest window, and when it was committed

    @property
    def lag_ms(self) -> int:
        """Age of the newest committed window's oldest delivery when it was committed; 0 once nothing more has come."""
        over = not self._committing and time.monotonic() - self._accounted_s > QUIET_S
        return 0 if over else self._lag_ms

    async def run(self) -> None:
        """Receive until cancelled. An error of the store, the ledger or the turn ends it; a restart loses nothing."""
        await asyncio.to_thread(self._begin_anew)
        decoded: asyncio.Queue[_Decoded] = asyncio.Queue(1)
        blocks: asyncio.Queue[Block] = asyncio.Queue(2)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._decode(decoded))
            group.create_task(self._commit(decoded, blocks))
            group.create_task(self._turn(blocks))
            group.create_task(self._mark())

    def _begin_anew(self) -> None:
        """Forget what an ended run had under way, for it comes again; its last append may still be at work."""
        with self._writing:
            self._committing.clear()
            self._intake.forget()

    async def _decode(self, decoded: asyncio.Queue[_Decoded]) -> None:
        await self.patiently(lambda: self._store.seen(()))  # a store on a server reads there what it holds
        async for window in self._source.windows(size=self._pace.window_deliveries, linger_s=self._pace.linger_s):
            began_s, now_ms = time.perf_counter(), self._now_ms()
            await self._look_up(window)
            harvest = await asyncio.to_thread(self._intake.take, window, now_ms=now_ms, seen=self._seen)
            self._committing |= set(harvest.keys)
            await decoded.put(_Decoded(window, harvest, now_ms, began_s))

    def _seen(self, keys: Sequence[BatchKey]) -> set[BatchKey]:
        return self._store.seen(keys) | (self._committing & set(keys))

    async def _look_up(self, window: Sequence[Delivery]) -> None:
        """Ask for devices that nobody knew when the roster was loaded."""
        if self._on_unknown is None:
            return
        ids = {delivery.topic.split("/")[2] for delivery in window if delivery.topic.startswith("bf/1/")}
        if unknown := [device_id for device_id in ids if self._roster.device(device_id) is None]:
            await asyncio.to_thread(self._on_unknown, unknown)

    async def _commit(self, decoded: asyncio.Queue[_Decoded], blocks: asyncio.Queue[Block]) -> None:
        number = await self.patiently(self._store.last_window)
        while True:
            item = await decoded.get()
            harvest = item.harvest
            block = None
            if _has_content(harvest):
                number += 1
                block = _block(harvest, number, self._now_ms())
                await self.patiently(partial(self._append, block, harvest))
            self._committing.difference_update(harvest.keys)
            await self._tell_messages(harvest)
            if harvest.dead and self._dead_letters is not None:
                await asyncio.to_thread(self._dead_letters.keep, harvest.dead, now_ms=item.now_ms)
            await self._source.ack(item.window)
            for device_id, keys in harvest.marks.items():
                self._marks.setdefault(device_id, []).extend(keys)
            self._account(item, number)
            if block is not None:
                await blocks.put(block)

    def _append(self, block: Block, harvest: Harvest) -> None:
        with self._writing:
            if self._roster.series_count > harvest.from_series or len(self._roster.metrics) > harvest.from_metric:
                self._save_series(harvest.from_series, harvest.from_metric)
            self._store.append(block, harvest.keys)

    async def patiently(self, call: Callable[[], T]) -> T:
        """What a call that blocks gives, as often as it takes while the store or the ledger says TryLater.

        The first failure of a streak is logged, then the recovery; `blocked` has the code meanwhile.
        """
        failures = 0
        while True:
            try:
                result = await asyncio.to_thread(call)
            except TryLater as exc:
                failures += 1
                self.blocked = exc.code
                self.counts[exc.code] += 1
                if failures == 1:
                    log.error("receive.blocked", code=exc.code, detail=exc.detail)
                bound_s = min(exc.after_s * 2 ** min(failures - 1, 8), LONGEST_RETRY_S)
                await asyncio.sleep(random.uniform(0, bound_s))
            else:
                self.blocked = ""
                if failures:
                    log.info("receive.unblocked", failures=failures)
                return result

    async def _tell_messages(self, harvest: Harvest) -> None:
        if self._on_message is not None:
            for kind, device, payload in harvest.messages:
                await self._on_message(kind, device, payload)

    async def _turn(self, blocks: asyncio.Queue[Block]) -> None:
        while True:
            await self._on_block(await blocks.get())

    async def _mark(self) -> None:
        """Tell devices what is stored, each at most once in `marks_every_s`."""
        while True:
            await asyncio.sleep(MARK_TICK_S)
            now_s = time.monotonic()
            due = [d for d in self._marks if now_s - self._marked_s.get(d, 0.0) >= self._pace.marks_every_s]
            marks = [(topic(d, "stored"), encode_stored(ranges_of(self._marks.pop(d)))) for d in due]
            self._marked_s.update(dict.fromkeys(due, now_s))
            if marks:
                self.counts["marks"] += len(marks)
                await self._source.mark(marks)

    def _account(self, item: _Decoded, number: int) -> None:
        harvest, counts = item.harvest, self.counts
        refused = Counter(letter.code for letter in harvest.dead)
        counts.update(
            deliveries=len(item.window), batches=len(harvest.keys), values=harvest.columns.value.size,
            lines=len(harvest.logs), duplicates=harvest.duplicates, windows=1,
        )  # fmt: skip
        counts.update({f"refused.{code}": n for code, n in refused.items()})
        counts.update({f"dropped.{code}": n for code, n in harvest.dropped.items()})
        oldest_ms = min((d.at_ms for d in item.window if d.at_ms), default=item.now_ms)
        self._lag_ms, self._accounted_s = max(0, self._now_ms() - oldest_ms), time.monotonic()
        log.info(
            "receive.window", number=number, size=len(item.window), new=len(harvest.keys),
            values=len(harvest.columns.value),
            duplicate=harvest.duplicates, dead=dict(refused), dropped=dict(harvest.dropped), lag_ms=self.lag_ms,
            took_ms=round(1000 * (time.perf_counter() - item.began_s)),
        )  # fmt: skip


def _has_content(harvest: Harvest) -> bool:
    return bool(harvest.keys or harvest.births or harvest.presence)


def _block(harvest: Harvest, number: int, now_ms: int) -> Block:
    columns = harvest.columns
    return Block(
        window=number, received_ms=now_ms, series=columns.series, t_ms=columns.t_ms, value=columns.value,
        late=columns.late, logs=harvest.logs, births=tuple(harvest.births), presence=tuple(harvest.presence),
    )  # fmt: skip
