"""When a worker does what it does about once a second: deadlines, measurements, looks at its files.

A busy worker does it in the middle of each second, so that no second is skipped. One at rest does it when a ping
wakes it anyway, and wakes up by itself only if none comes: what a worker at rest costs is its wake-ups.
"""

import asyncio
from collections.abc import Callable

EARLIEST = 0.9
"""Seconds after the last time from which a ping is taken for the next one."""
LATEST = 1.25
"""Seconds after which a worker at rest wakes up by itself."""


class Sweeps:
    """``work`` is the work, and says whether the worker is at rest; ``now`` is the time in epoch microseconds."""

    def __init__(self, work: Callable[[], bool], now: Callable[[], int]) -> None:
        self._work = work
        self._now = now
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rests = False
        self._last = 0.0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer = loop.call_later(1.0, self._run)

    def nudge(self) -> None:
        """The worker is awake."""
        if self._rests and self._loop is not None and self._loop.time() - self._last >= EARLIEST:
            self._rests = False
            self._loop.call_soon(self._run)  # the connection that woke it is answered first

    def _run(self) -> None:
        assert self._loop is not None
        assert self._timer is not None
        self._timer.cancel()
        self._last = self._loop.time()
        # Armed first: work that fails must not be the last.
        self._timer = self._loop.call_later(1.5 - self._now() % 1_000_000 / 1e6, self._run)
        self._rests = False
        if self._work():
            self._timer.cancel()
            self._timer, self._rests = self._loop.call_later(LATEST, self._run), True
