"""Leases items from the queue as fast as the instances can process them.

Any number of dispatchers may share a queue, and each may be killed at any moment: its successor takes over its items
at once, another dispatcher when their leases have run out.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from tidegate.domain.asynchronous import ItemState, LeasedItem
from tidegate.domain.errors import TidegateError
from tidegate.features.asynchronous.dispatcher.concurrency import ConcurrencyLimiter, ConcurrencySlot
from tidegate.features.asynchronous.dispatcher.outcomes import RequestProgress
from tidegate.features.asynchronous.dispatcher.processor import RequestProcessor
from tidegate.features.asynchronous.dispatcher.short_requests import ShortRequest, ShortRequests, is_short
from tidegate.features.asynchronous.dispatcher.snapshot import QueueSnapshot
from tidegate.http1.body_stream import BodyStream
from tidegate.http1.messages import StreamedReply
from tidegate.ports.queue import ItemReport, Queue
from tidegate.queueing.transitions import LEASE

log = logging.getLogger(__name__)

POLL_INTERVAL = 0.1
"""Seconds between polls of the queue while nothing happens."""
GATHER = 0.02
"""Seconds to wait for more items to end, so that one transaction leases as many new ones."""
OVERDUE_INTERVAL, DELETED_INTERVAL = 1.0, 5.0
"""Seconds between polls for overdue items, and for items of deleted endpoints."""
MAX_LEASED_AT_ONCE = 500
"""Items leased in one transaction."""
MAX_HELD = 2_000
MAX_OVERDUE = 500
MIN_AGE = 5.0
"""Seconds after an item was accepted in which its endpoint may be missing from the snapshot."""


@dataclass(frozen=True, eq=False)
class _RunningAttempt:
    """One item that is being processed in a task."""

    held: LeasedItem
    slot: ConcurrencySlot
    task: asyncio.Task[None]

    def cancel(self) -> None:
        self.slot.revoke()
        self.task.cancel()


@dataclass
class Dispatcher:
    queue: Queue
    processor: RequestProcessor
    snapshot: Callable[[], QueueSnapshot]
    """Returns the newest snapshot; blocks no longer than reading a small file."""
    progress: Callable[[], None]
    """Called after each poll that reached the queue, and while the last requests are finished."""
    _running: dict[str, _RunningAttempt | ShortRequest] = field(default_factory=dict)
    _limiters: dict[str, ConcurrencyLimiter] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _polled_overdue: float = 0.0
    _polled_deleted: float = 0.0
    _extended: float = 0.0
    _last_error: str = ""
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when an item has ended and no other is left."""

    def __post_init__(self) -> None:
        self._short = ShortRequests(self.processor, self._hand_over, self._forget)

    async def run(self, stopping: asyncio.Event, grace: float) -> None:
        """Runs until ``stopping``. Requests in progress then get ``grace`` seconds before they are requeued."""
        await self._take_over()
        while not stopping.is_set():
            try:
                busy = await self._poll()
                self.progress()
                self._last_error = ""
            except TidegateError as error:
                busy = False
                if str(error) != self._last_error:
                    log.warning("%s", error)
                self._last_error = str(error)
            if not busy:
                await self._pause()
        await self._shut_down(grace)

    async def _take_over(self) -> None:
        """Reclaims the leases of a crashed dispatcher at once, instead of when they run out."""
        try:
            if left := await self.queue.take_over(time.time()):
                log.info("reclaimed %d requests of a dispatcher that died", left)
        except TidegateError as error:
            log.warning("%s", error)

    async def _pause(self) -> None:
        """Waits until an item ends, or for the interval between polls."""
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_INTERVAL):
                await self._wake.wait()
        await asyncio.sleep(GATHER)

    async def _poll(self) -> bool:
        """Returns whether there may be more items to lease at once."""
        now, snapshot = time.time(), self.snapshot()
        if _due(self._extended, now, LEASE / 3):
            await self._extend(now)
        if _due(self._polled_overdue, now, OVERDUE_INTERVAL):
            await self._poll_slowly(now, snapshot)
        more = False
        for name, endpoint in snapshot.endpoints.items():
            room = self._limiter_of(name).available(endpoint.capacity)
            most = min(room, MAX_LEASED_AT_ONCE, MAX_HELD - len(self._running))
            if most > 0:
                now = time.time()
                taken = await self.queue.claim(name, most, now, now + LEASE)
                for held in taken:
                    self._start(held, True, endpoint.variant, now)
                more = more or len(taken) == MAX_LEASED_AT_ONCE
        return more

    def _limiter_of(self, name: str) -> ConcurrencyLimiter:
        if name not in self._limiters:
            self._limiters[name] = ConcurrencyLimiter(self._wake.set)
        return self._limiters[name]

    async def _poll_slowly(self, now: float, snapshot: QueueSnapshot) -> None:
        for held in await self.queue.overdue(MAX_OVERDUE, now, now + LEASE):
            endpoint = snapshot.endpoints.get(held.item.endpoint)
            self._start(held, True, endpoint.variant if endpoint else "", now)
        if _due(self._polled_deleted, now, DELETED_INTERVAL):
            await self._end_deleted(now, snapshot)
            self._polled_deleted = now
        self._polled_overdue = now

    async def _end_deleted(self, now: float, snapshot: QueueSnapshot) -> None:
        """Ends the items of endpoints that were deleted."""
        for name in self._limiters.keys() - snapshot.endpoints.keys():
            self._limiters[name].available(0)
            if self._limiters[name].idle:
                del self._limiters[name]
        for name, oldest in (await self.queue.strangers(snapshot.endpoints)).items():
            if oldest + MIN_AGE < snapshot.at:
                for held in await self.queue.claim(name, MAX_OVERDUE, now, now + LEASE):
                    self._start(held, False, "", now)

    async def _extend(self, now: float) -> None:
        fences = {id: one.held.fence for id, one in self._running.items()}
        kept = await self.queue.extend(fences, now + LEASE)
        self._extended = now
        for id, fence in fences.items():
            one = self._running.get(id)
            if one is None or one.held.fence != fence:
                continue
            if id in kept:
                one.slot.until = now + LEASE
            else:
                one.cancel()

    def _start(self, held: LeasedItem, exists: bool, variant: str, now: float) -> None:
        id = held.item.id
        if (before := self._running.get(id)) is not None:
            before.cancel()  # its lease ran out and it was leased again: only the newer lease may write
        slot = ConcurrencySlot(self._limiter_of(held.item.endpoint), now + LEASE)
        if is_short(held, exists, now):
            short = self._running[id] = self._short.make(held, variant, slot)
            short.begin()
        else:
            self._run_task(held, slot, self._process(held, exists, variant, slot))

    def _run_task(
        self,
        held: LeasedItem,
        slot: ConcurrencySlot,
        work: Coroutine[None, None, None],
        parts: BodyStream | None = None,
    ) -> None:
        task = asyncio.create_task(work)
        running = self._running[held.item.id] = _RunningAttempt(held, slot, task)

        def over(_: object) -> None:
            slot.release()  # a task that is cancelled before its first step does nothing itself
            if parts is not None:
                parts.drop()
            self._forget(running)

        task.add_done_callback(over)

    def _hand_over(self, short: ShortRequest, begun: RequestProgress) -> None:
        """Go on with a task where it was without one."""
        held, slot = short.held, short.slot
        parts = begun.got.parts if isinstance(begun.got, StreamedReply) else None
        self._run_task(held, slot, self._process(held, True, short.variant, slot, begun), parts)

    async def _process(
        self,
        held: LeasedItem,
        exists: bool,
        variant: str,
        slot: ConcurrencySlot,
        begun: RequestProgress | None = None,
    ) -> None:
        try:
            await self.processor.process(held, exists, variant, slot, begun)
        except Exception:
            log.exception("request %s: this try failed; its lease will run out", held.item.id)

    def _forget(self, one: _RunningAttempt | ShortRequest) -> None:
        id = one.held.item.id
        if self._running.get(id) is one:
            del self._running[id]
            if not self._running:
                self._ended.set()

    async def _shut_down(self, grace: float) -> None:
        """Requeues what does not end in time, for another dispatcher to start again."""
        ended = time.monotonic() + grace
        while self._running and (pause := ended - time.monotonic()) > 0:
            self._ended.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(pause, 1.0)):
                    await self._ended.wait()
            self.progress()
        left = list(self._running.values())
        for one in left:
            one.cancel()
        tasks = [one.task for one in left if isinstance(one, _RunningAttempt)]
        await asyncio.gather(*tasks, return_exceptions=True)
        now = time.time()
        notes = [
            ItemReport(held.item.id, held.fence, ItemState.WAITING, now, held.tries, held.losses, held.outcome)
            for held in (one.held for one in left)
            if held.state is ItemState.WORKING
        ]
        if notes:
            with contextlib.suppress(TidegateError):
                await self.queue.note(notes)


def _due(last: float, now: float, every: float) -> bool:
    """Whether ``every`` seconds have passed since ``last``, or the clock was set back."""
    return not 0 <= now - last < every
