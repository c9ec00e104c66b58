"""Work for many endpoints, each with a storage of its own: those whose storage does not answer, or fails, hold up
nobody else.

A few are worked for at a time. Who is not done within ``PATIENCE`` gives way, and then has a lane for such until it
is quick again; who failed rests there for longer and longer. Each piece of work has its own thread, since one that
waits for a storage cannot be ended: there are as many of those as endpoints, at most.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

QUICK, LATE = 2, 8
"""Endpoints that are worked for at a time, in each lane."""
PATIENCE = 3.0
"""Seconds after which an endpoint that is not done lets others have its place."""
LONG_PATIENCE = 30.0
"""The same in the lane of the late ones."""
FIRST_REST, LONGEST_REST = 10.0, 600.0
"""Seconds until one that failed is tried again, at first and at most."""


@dataclass
class _Lateness:
    failures: int = 0
    rests_until: float = 0.0


@dataclass
class Lanes:
    """``elapsed``: seconds on a clock that never steps."""

    elapsed: Callable[[], float]
    _late: dict[str, _Lateness] = field(default_factory=dict)
    _running: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _waiting: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    """Late ones that have a place, or wait for one."""
    _quick_places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(QUICK))
    _late_places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LATE))

    async def turn(self, names: Iterable[str], work: Callable[[str], Awaitable[bool]]) -> None:
        """Work for all that are not worked for yet. Returns once the quick ones are done, or have given way. ``work``
        says whether it went well, and does not raise."""
        idle = [name for name in names if name not in self._running and name not in self._waiting]
        for name in idle:
            if name in self._late and self.elapsed() >= self._late[name].rests_until:
                self._waiting[name] = task = asyncio.create_task(self._go_late(name, work))
                task.add_done_callback(lambda _, name=name: self._waiting.pop(name, None))  # type: ignore[misc]
        await asyncio.gather(*(self._go_quickly(name, work) for name in idle if name not in self._late))

    def forget(self, name: str) -> None:
        """The endpoint is gone."""
        self._late.pop(name, None)

    def stop(self) -> None:
        for task in (*self._waiting.values(), *self._running.values()):
            task.cancel()

    async def _go_quickly(self, name: str, work: Callable[[str], Awaitable[bool]]) -> None:
        async with self._quick_places:
            if not await self._begin(name, work, PATIENCE):
                self._late.setdefault(name, _Lateness())

    async def _go_late(self, name: str, work: Callable[[str], Awaitable[bool]]) -> None:
        async with self._late_places:
            await self._begin(name, work, LONG_PATIENCE)

    async def _begin(self, name: str, work: Callable[[str], Awaitable[bool]], patience: float) -> bool:
        """Whether it was done in time."""
        task = self._running[name] = asyncio.create_task(self._run(name, work), name=f"labels of {name}")
        task.add_done_callback(lambda _: self._running.pop(name, None))
        done, _ = await asyncio.wait([task], timeout=patience)
        return bool(done)

    async def _run(self, name: str, work: Callable[[str], Awaitable[bool]]) -> None:
        began = self.elapsed()
        well = await work(name)
        now = self.elapsed()
        if well and now - began <= PATIENCE:
            self._late.pop(name, None)
            return
        late = self._late.setdefault(name, _Lateness())
        late.failures = 0 if well else late.failures + 1
        late.rests_until = now if well else now + min(LONGEST_REST, FIRST_REST * 2 ** min(late.failures - 1, 10))


async def call_aside(work: Callable[[], T]) -> T:
    """Call it in a thread of its own, which neither holds up others nor keeps the process from its end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as caught:
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="labels", daemon=True).start()
    return await done
