"""Takes items from the queue as fast as the instances can work on them.

Any number of dispatchers may share a queue, and each may be killed at any moment: what it held goes to its
successor at once, to another when its leases have run out.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tidegate.dispatcher.concurrency import Hands, Turn
from tidegate.dispatcher.processor import Work
from tidegate.dispatcher.snapshot import Page
from tidegate.domain.asynchronous import ItemState, LeasedItem
from tidegate.domain.errors import TidegateError
from tidegate.ports.queue import Note, Queue
from tidegate.queueing.transitions import LEASE

log = logging.getLogger(__name__)

TURN = 0.1
"""Seconds between looks at the queue while nothing happens."""
GATHER = 0.02
"""Seconds in which items that end together are waited for, so that one transaction takes as many new ones."""
SLOW, SLOWEST = 1.0, 5.0
"""Seconds between looks for what is overdue, and for endpoints that are gone."""
MOST_AT_ONCE = 500
"""Items of one lease."""
MOST_HELD = 2_000
MOST_OVERDUE = 500
YOUNG = 5.0
"""Seconds after it was accepted that an item's endpoint may be missing from the page."""


@dataclass(frozen=True)
class Task:
    """One item that is being carried."""

    held: LeasedItem
    turn: Turn
    task: asyncio.Task[None]


@dataclass
class Dispatcher:
    queue: Queue
    work: Work
    page: Callable[[], Page]
    """The newest page; blocks no longer than reading a small file."""
    progress: Callable[[], None]
    """Called after each turn in which the queue was reached, and while the last requests are finished."""
    _tasks: dict[str, "Task"] = field(default_factory=dict)
    _hands: dict[str, Hands] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _looked: float = 0.0
    _asked_for_gone: float = 0.0
    _extended: float = 0.0
    _trouble: str = ""

    async def run(self, stopping: asyncio.Event, grace: float) -> None:
        """Until ``stopping``; what is in hand then has ``grace`` seconds, and goes back into the queue after."""
        await self._succeed()
        while not stopping.is_set():
            try:
                busy = await self._turn()
                self.progress()
                self._trouble = ""
            except TidegateError as error:
                busy = False
                if str(error) != self._trouble:
                    log.warning("%s", error)
                self._trouble = str(error)
            if not busy:
                await self._pause(stopping)
        await self._end(grace)

    async def _succeed(self) -> None:
        """What a dead one of this place held need not wait until its leases run out."""
        try:
            if left := await self.queue.take_over(time.time()):
                log.info("%d requests were in the hands of a dispatcher that died", left)
        except TidegateError as error:
            log.warning("%s", error)

    async def _pause(self, stopping: asyncio.Event) -> None:
        """Until an item is done, or a turn's time is over."""
        self._wake.clear()
        waits = [asyncio.create_task(self._wake.wait()), asyncio.create_task(stopping.wait())]
        await asyncio.wait(waits, timeout=TURN, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.sleep(GATHER)

    async def _turn(self) -> bool:
        """Whether there may be more to take at once."""
        now, page = time.time(), self.page()
        if _due(self._extended, now, LEASE / 3):
            await self._extend(now)
        if _due(self._looked, now, SLOW):
            await self._slow(now, page)
        more = False
        for name, served in page.endpoints.items():
            room = self._at_hand(name).room(served.capacity)
            most = min(room, MOST_AT_ONCE, MOST_HELD - len(self._tasks))
            if most > 0:
                now = time.time()
                taken = await self.queue.claim(name, most, now, now + LEASE)
                for held in taken:
                    self._begin(held, True, served.variant, now)
                more = more or len(taken) == MOST_AT_ONCE
        return more

    def _at_hand(self, name: str) -> Hands:
        if name not in self._hands:
            self._hands[name] = Hands(self._wake.set)
        return self._hands[name]

    async def _slow(self, now: float, page: Page) -> None:
        for held in await self.queue.overdue(MOST_OVERDUE, now, now + LEASE):
            served = page.endpoints.get(held.item.endpoint)
            self._begin(held, True, served.variant if served else "", now)
        if _due(self._asked_for_gone, now, SLOWEST):
            await self._gone(now, page)
            self._asked_for_gone = now
        self._looked = now

    async def _gone(self, now: float, page: Page) -> None:
        """Ends what waits for endpoints that are no more."""
        for name in self._hands.keys() - page.endpoints.keys():
            self._hands[name].room(0)
            if self._hands[name].idle:
                del self._hands[name]
        for name, oldest in (await self.queue.strangers(page.endpoints)).items():
            if oldest + YOUNG < page.at:
                for held in await self.queue.claim(name, MOST_OVERDUE, now, now + LEASE):
                    self._begin(held, False, "", now)

    async def _extend(self, now: float) -> None:
        fences = {id: one.held.fence for id, one in self._tasks.items()}
        kept = await self.queue.extend(fences, now + LEASE)
        self._extended = now
        for id, fence in fences.items():
            one = self._tasks.get(id)
            if one is None or one.held.fence != fence:
                continue
            if id in kept:
                one.turn.until = now + LEASE
            else:
                one.task.cancel()

    def _begin(self, held: LeasedItem, there: bool, variant: str, now: float) -> None:
        id = held.item.id
        if id in self._tasks:  # its lease ran out while we were away: the newer one counts
            self._tasks[id].task.cancel()
        turn = Turn(self._at_hand(held.item.endpoint), now + LEASE)
        task = asyncio.create_task(self._carry(held, there, variant, turn))
        self._tasks[id] = Task(held, turn, task)
        task.add_done_callback(lambda done: self._ended(id, done))

    async def _carry(self, held: LeasedItem, there: bool, variant: str, turn: Turn) -> None:
        try:
            await self.work.carry(held, there, variant, turn)
        except Exception:
            log.exception("request %s: this try failed; its lease will run out", held.item.id)

    def _ended(self, id: str, task: asyncio.Task[None]) -> None:
        if id in self._tasks and self._tasks[id].task is task:
            del self._tasks[id]

    async def _end(self, grace: float) -> None:
        """What is not done in time goes back; somebody else begins it anew."""
        running = [one.task for one in self._tasks.values()]
        ended = time.monotonic() + grace
        while not all(task.done() for task in running) and (pause := ended - time.monotonic()) > 0:
            await asyncio.wait(running, timeout=min(pause, 1.0))
            self.progress()
        left = [one.held for one in self._tasks.values() if not one.task.done()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        now = time.time()
        notes = [
            Note(held.item.id, held.fence, ItemState.WAITING, now, held.tries, held.losses)
            for held in left
            if held.state is ItemState.WORKING
        ]
        if notes:
            with contextlib.suppress(TidegateError):
                await self.queue.note(notes)


def _due(last: float, now: float, every: float) -> bool:
    """Whether something that is done ``every`` so many seconds is to be done, also after the clock was set back."""
    return not 0 <= now - last < every
