"""CPU and memory of each replica, of its process and of those that it started, and how busy its devices are. The
collector does not wait for reading devices: a driver that hangs must hold up nothing.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import psutil

from tidegate.domain.devices import DeviceReading
from tidegate.host.process_stats import ProcessUse, process_tree, use_of
from tidegate.targets.collection.sources import ReplicaUsage

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


MOST_PROCESSES = 512
"""Processes of one replica that are read: one that starts processes without end must not hold up all others."""
FORGOTTEN_AFTER = 30
"""Calls in which a process was not asked for."""
LARGEST = 1e6
"""Percent: no replica takes ten thousand cores."""


@dataclass
class ProcessUsage:
    """Remembers each process, since CPU usage is measured from one call to the next."""

    read: Callable[[int], ProcessUse | None] = use_of
    total: int = field(default_factory=lambda: int(psutil.virtual_memory().total))
    """Bytes of this machine."""
    clock: Callable[[], float] = time.monotonic
    _known: dict[int, tuple[ProcessUse, float]] = field(default_factory=dict)
    """With the time of the reading."""
    _unasked: dict[int, int] = field(default_factory=dict)
    """Known processes -> calls in a row in which they were not asked for: a replica at rest is measured now and then,
    over all the time since."""

    def measure(self, pids: Sequence[int]) -> dict[int, ReplicaUsage]:
        """The usage of each process with its family. One that is gone, or cannot be read, is absent."""
        known, found = dict[int, tuple[ProcessUse, float]](), dict[int, ReplicaUsage]()
        for pid in pids:
            cpu = memory = 0.0
            for one in process_tree(pid, MOST_PROCESSES, all_threads=False):
                if (use := self.read(one)) is not None:
                    now = self.clock()
                    cpu, memory = cpu + self._share(one, use, now), memory + 100.0 * use.memory / self.total
                    known[one] = use, now
            if pid in known and all(math.isfinite(value) and 0 <= value <= LARGEST for value in (cpu, memory)):
                found[pid] = ReplicaUsage(cpu, memory)
        self._keep(known)
        return found

    def _share(self, pid: int, use: ProcessUse, now: float) -> float:
        """Percent of one core since the reading before; 0 for a process that was not read before, whatever had its
        number then."""
        before, at = self._known.get(pid, (use, now))
        if before.started != use.started or now <= at:
            return 0.0
        return 100.0 * (use.used - before.used) / (now - at)

    def _keep(self, measured: dict[int, tuple[ProcessUse, float]]) -> None:
        unasked = {pid: self._unasked.get(pid, 0) + 1 for pid in self._known.keys() - measured.keys()}
        self._unasked = {pid: calls for pid, calls in unasked.items() if calls < FORGOTTEN_AFTER}
        self._known = measured | {pid: self._known[pid] for pid in self._unasked}
