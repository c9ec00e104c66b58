"""How busy the devices of replicas are, read beside the collector: a driver that hangs must hold up nothing."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.domain.devices import DeviceReading

STALE = 5.0
"""Seconds after which a reading is not shown any more."""


@dataclass
class DeviceMonitor:
    """``read`` asks the driver, and may take its time; ``now`` is in seconds."""

    read: Callable[[Sequence[str]], Mapping[str, DeviceReading]]
    now: Callable[[], float] = time.monotonic
    _asked: tuple[float, asyncio.Task[Mapping[str, DeviceReading]]] | None = None
    _last: tuple[float, Mapping[str, DeviceReading]] = field(default_factory=lambda: (0.0, {}))

    def latest(self, names: Sequence[str]) -> Mapping[str, DeviceReading]:
        """The last reading, and begin another. Empty when there is none, or none that is recent."""
        self._take()
        if names and self._asked is None:
            self._asked = self.now(), asyncio.create_task(asyncio.to_thread(self.read, tuple(names)))
        at, found = self._last
        return found if self.now() - at <= STALE else {}

    def _take(self) -> None:
        if self._asked is None or not self._asked[1].done():
            return
        (at, task), self._asked = self._asked, None
        if not task.cancelled() and task.exception() is None:
            self._last = at, task.result()
