"""Fleets for which a request waits because they have no server, by what HAProxy says (``cold_start_hold``)."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tidegate.domain.fleet import FleetId

FORGOTTEN = 1.0
"""Seconds after the last call for a fleet from which on nobody waits any more: HAProxy calls many times a second."""


@dataclass
class WaitingRequests:
    clock: Callable[[], float] = time.monotonic
    _calls: dict[FleetId, tuple[float, float]] = field(default_factory=dict)
    """Since when (epoch seconds) the first of them waits, and when HAProxy called last."""
    _called: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, fleet: FleetId, since: float) -> None:
        known = self.now().get(fleet, since)
        self._calls[fleet] = min(known, since), self.clock()
        self._called.set()

    def now(self) -> dict[FleetId, float]:
        """Fleet -> since when a request waits for it."""
        now = self.clock()
        self._calls = {fleet: call for fleet, call in self._calls.items() if now - call[1] < FORGOTTEN}
        return {fleet: since for fleet, (since, _) in self._calls.items()}

    async def wait(self, seconds: float) -> None:
        """Until a request waits, for so many seconds at most."""
        self._called.clear()
        if seconds > 0 and not self.now():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._called.wait()
