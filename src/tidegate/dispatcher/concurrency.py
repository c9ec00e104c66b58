"""How many requests of one endpoint are with its instances, and how many are leased ahead for them.

Instances never get more requests at a time than their capacity. What they process in ``LEASE_AHEAD`` seconds is
leased ahead, so that they need not wait for the queue, which takes a durable write. Storing responses does not count:
the instance has done its part by then.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

LEASE_AHEAD = 0.3
"""Seconds of work that are leased ahead at the current rate."""
RATE_WINDOW = 0.1
"""Seconds over which the rate is measured."""
MAX_AHEAD = 400


class ConcurrencyLimiter:
    """``on_free`` is called when more requests could be leased."""

    def __init__(self, on_free: Callable[[], None]) -> None:
        self._on_free = on_free
        self._waiters: deque[asyncio.Future[bool]] = deque()
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

    async def acquire(self) -> bool:
        """Waits for an instance. False: there is none."""
        granted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiters.append(granted)
        self._grant()
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and granted.result():
                self.release()
            raise

    def release(self) -> None:
        """The instance is free again."""
        self._active -= 1
        self._ended += 1
        self._grant()
        self._on_free()

    def _grant(self) -> None:
        while self._waiters and (self._active < self._capacity or not self._capacity):
            granted = self._waiters.popleft()
            if not granted.done():
                granted.set_result(self._capacity > 0)
                self._active += self._capacity > 0


class ConcurrencySlot:
    """What one request holds of a limiter. ``until`` is when its lease ends."""

    def __init__(self, limiter: ConcurrencyLimiter, until: float) -> None:
        self._limiter = limiter
        self._waiting = True
        self._acquired = False
        self.until = until
        limiter.waiting += 1

    async def acquire(self) -> bool:
        """Waits for an instance. False: there is none."""
        self._acquired = await self._limiter.acquire()
        self._stop_waiting()
        return self._acquired

    def release(self) -> None:
        """The instance is done with the request, or never got it. May be called again."""
        self._stop_waiting()
        if self._acquired:
            self._acquired = False
            self._limiter.release()

    def _stop_waiting(self) -> None:
        if self._waiting:
            self._waiting = False
            self._limiter.waiting -= 1
