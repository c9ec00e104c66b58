"""How many requests of one endpoint are with its instances, and how many are leased ahead for them.

Instances never get more requests at a time than their capacity. What they process in ``LEASE_AHEAD`` seconds is
leased ahead, so that they need not wait for the queue, which takes a durable write. Storing responses does not count:
the instance has done its part by then.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial

LEASE_AHEAD = 0.3
"""Seconds of work that are leased ahead at the current rate."""
RATE_WINDOW = 0.1
"""Seconds over which the rate is measured."""
MAX_AHEAD = 400


class ConcurrencyLimiter:
    """A limit on the requests of one endpoint. ``on_free`` is called when more requests could be leased."""

    def __init__(self, on_free: Callable[[], None]) -> None:
        self._on_free = on_free
        self._waiters: deque[ConcurrencySlot] = deque()
        self._capacity = 0
        self._active = 0
        self._rate = 0.0
        self._ended = 0
        self._window_start = time.monotonic()
        self.waiting = 0
        """Requests that are leased and not yet with an instance."""

    def available(self, capacity: int) -> int:
        """How many more to lease; ``capacity`` is how many may be with the instances. With none, waiting requests are
        sent back."""
        self._capacity = capacity
        self._grant()
        if not capacity:
            return 0
        now = time.monotonic()
        if now - self._window_start >= RATE_WINDOW:
            self._rate = (self._rate + self._ended / (now - self._window_start)) / 2
            self._ended, self._window_start = 0, now
        ahead = min(MAX_AHEAD, int(self._rate * LEASE_AHEAD))
        return max(0, capacity + ahead - self.waiting - self._active)

    @property
    def idle(self) -> bool:
        return not (self.waiting or self._active)

    def enter(self, slot: "ConcurrencySlot") -> None:
        """Queue a slot. ``slot.grant`` is called once there is an instance for it, or none at all."""
        self._waiters.append(slot)
        self._grant()

    def release(self) -> None:
        """The instance is free again."""
        self._active -= 1
        self._ended += 1
        self._grant()
        self._on_free()

    def _grant(self) -> None:
        # A slot may enter or release while it is granted: what is counted has to be right before.
        while self._waiters and (self._active < self._capacity or not self._capacity):
            slot = self._waiters.popleft()
            if slot.asking:
                self._active += self._capacity > 0
                slot.grant(self._capacity > 0)


class ConcurrencySlot:
    """A request's place in a limiter, waiting or granted. ``until``: when the request's lease ends."""

    __slots__ = ("_acquired", "_limiter", "_then", "_waiting", "until")

    def __init__(self, limiter: ConcurrencyLimiter, until: float) -> None:
        self._limiter = limiter
        self._waiting = True
        self._acquired = False
        self._then: Callable[[bool], None] | None = None
        self.until = until
        limiter.waiting += 1

    @property
    def asking(self) -> bool:
        """Whether it waits for an instance still."""
        return self._then is not None

    def enter(self, then: Callable[[bool], None]) -> None:
        """Wait for an instance without blocking. ``then`` is called with True when there is one, or with False when
        there is none; maybe at once, and never after ``release``."""
        self._then = then
        self._limiter.enter(self)

    async def acquire(self) -> bool:
        """Wait for an instance. Return False if there is none."""
        granted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.enter(partial(_resolve, granted))
        try:
            return await granted
        except asyncio.CancelledError:
            self.release()
            raise

    def grant(self, granted: bool) -> None:
        """The limiter's answer."""
        then, self._then = self._then, None
        self._acquired = granted
        self._stop_waiting()
        if then is not None:
            then(granted)

    def release(self) -> None:
        """The instance is done with the request, or never got it. May be called again."""
        self._then = None
        self._stop_waiting()
        if self._acquired:
            self._acquired = False
            self._limiter.release()

    def revoke(self) -> None:
        """End the lease at once because another holder has it: an output that is being written must not appear."""
        self.until = 0.0

    def _stop_waiting(self) -> None:
        if self._waiting:
            self._waiting = False
            self._limiter.waiting -= 1


def _resolve(promise: "asyncio.Future[bool]", granted: bool) -> None:
    if not promise.done():
        promise.set_result(granted)
