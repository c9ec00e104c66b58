"""An asyncio event loop without I/O, with virtual time and a seeded choice among ready tasks.

Two kinds of work share the time line. Work of the simulated process (callbacks, tasks, timers) stops while the
process is frozen and is gone when it is killed. Events of the world around it (``at``) continue regardless.

Legal reorderings: asyncio promises that callbacks of ``call_soon`` and of one future run in the order of their
registration, so plain callbacks stay first in, first out. It promises nothing about which of several ready *tasks*
runs first, which depends on when their sockets and threads happened to answer. Task wake-ups are therefore delayed
against each other at random, and a task never has more than one pending.
"""

import asyncio
from asyncio.events import Handle, TimerHandle
from collections import deque
from collections.abc import Callable
from contextvars import Context
from heapq import heappop, heappush
from math import inf
from random import Random
from typing import Any, TypeVarTuple

from tidegate.simulation.world import Timeline

Ts = TypeVarTuple("Ts")

MAX_STEPS = 20_000
"""Maximum steps at one instant; more mean that the loops spin without waiting."""


class Livelock(AssertionError):
    """The loops keep running although no time passes."""


class VirtualLoop(Timeline, asyncio.BaseEventLoop):
    """``now`` is the virtual monotonic time in seconds; it jumps to the next timer when nothing is ready. Events
    (``at``) happen whatever becomes of the process."""

    def __init__(self, chance: Random) -> None:
        asyncio.BaseEventLoop.__init__(self)
        Timeline.__init__(self)
        self.finished = False
        self.errors: list[str] = []
        """Unhandled exceptions of callbacks and tasks."""
        self._draw = chance.random
        self._callbacks: deque[Handle] = deque()
        self._wakeups: list[tuple[Context, Callable[..., object], tuple[Any, ...]]] = []
        self._unused = Handle(print, (), self, Context())
        self._timers: list[tuple[float, int, TimerHandle]] = []
        self._count = 0
        self._frozen_until = 0.0
        self._killed = False
        self._idle_steps = 0
        self._countdown = 0
        self._counted: Callable[[], None] | None = None

    # What asyncio asks of a loop

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> Handle:
        if context is not None and isinstance(getattr(callback, "__self__", None), asyncio.Task):
            self._wakeups.append((context, callback, args))
            return self._unused  # tasks never cancel their own wake-ups
        handle = Handle(callback, args, self, context)
        self._callbacks.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimerHandle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimerHandle:
        handle = TimerHandle(when, callback, args, self, context)
        self._count += 1
        heappush(self._timers, (when, self._count, handle))
        return handle

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        """Cancelled timers are skipped when they are due."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        message = str(context.get("message"))
        if self._killed and "never retrieved" in message:
            return  # the retriever is gone
        self.errors.append(f"{message}: {context.get('exception')!r}")

    # The world around the process

    def freeze(self, seconds: float) -> None:
        """Let time pass without running the process, like SIGSTOP and SIGCONT."""
        self._frozen_until = max(self._frozen_until, self.now + seconds)

    @property
    def frozen(self) -> bool:
        return self.now < self._frozen_until

    def after_steps(self, steps: int, event: Callable[[], None]) -> None:
        """Run ``event`` after so many more task wake-ups, at whatever await that is."""
        self._countdown, self._counted = steps + 1, event

    def kill(self) -> None:
        """Kill the process: none of its callbacks, timers and tasks continues."""
        self._killed = True
        for task in asyncio.all_tasks(self):
            _abandon(task)
        self._callbacks.clear()
        self._wakeups.clear()
        self._timers.clear()
        self._frozen_until = 0.0
        self._counted = None

    def run(self, until: float) -> None:
        """Run until ``finished`` is set, nothing is left to do, or the time is ``until``."""
        previous = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            while not self.finished and (self._step() or self._advance(until)):
                pass
        finally:
            asyncio._set_running_loop(previous)

    def _step(self) -> bool:
        """Run one ready handle; False if there is none."""
        if self.now < self._frozen_until:
            return False
        if self._callbacks:
            handle = self._callbacks.popleft()
            if not handle._cancelled:
                handle._run()
        elif wakeups := self._wakeups:
            if len(wakeups) > 1:
                chosen = int(self._draw() * len(wakeups))
                wakeups[chosen], wakeups[-1] = wakeups[-1], wakeups[chosen]
            context, callback, args = wakeups.pop()
            context.run(callback, *args)
        else:
            return False
        self._idle_steps += 1
        if self._counted is not None:
            self._count_down(self._counted)
        if self._idle_steps > MAX_STEPS:
            raise Livelock(f"{MAX_STEPS} steps at {self.now:.3f} s without any time passing")
        return True

    def _count_down(self, event: Callable[[], None]) -> None:
        self._countdown -= 1
        if self._countdown <= 0:
            self._counted = None
            event()

    def _advance(self, until: float) -> bool:
        """Advance to the next event or timer; False if there is none up to ``until``."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heappop(timers)
        frozen = self.now < self._frozen_until
        due = timers[0][0] if timers else inf
        if frozen:
            due = self._frozen_until
        event_due = inf if self.due is None else self.due
        at = min(due, event_due)
        if at > until:
            return False
        if at > self.now:
            self.now = at
            self._idle_steps = 0
        if event_due <= due:
            self.next_event()
        elif not frozen:
            while timers and timers[0][0] <= self.now:
                self._callbacks.append(heappop(timers)[2])
        return True


def _abandon(task: "asyncio.Task[Any]") -> None:
    """Abandon a task as if its process were gone. Whatever its coroutine does while it is closed happens before
    anything else runs, and the edges ignore a dead process."""
    if task.done():
        return
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # as asyncio's own gather does
    coroutine = task.get_coro()
    try:
        if coroutine is not None:
            coroutine.close()
    except RuntimeError:
        pass  # it awaited something in a finally clause
