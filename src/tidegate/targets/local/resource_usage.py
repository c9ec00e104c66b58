"""CPU and memory of each replica: of its process and of those that it started."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

from tidegate.host.process_stats import process_tree
from tidegate.targets.collection.sources import Usage

MOST_PROCESSES = 512
"""Processes of one replica that are read: one that starts processes without end must not hold up all others."""
FORGOTTEN_AFTER = 30
"""Calls in which a process was not asked for."""
LARGEST = 1e6
"""Percent: no replica takes ten thousand cores."""


@dataclass
class ProcessUsage:
    """Remembers each process, since CPU usage is measured from one call to the next."""

    _known: dict[int, psutil.Process] = field(default_factory=dict)
    _unasked: dict[int, int] = field(default_factory=dict)
    """Known processes -> calls in a row in which they were not asked for: a replica at rest is measured now and then,
    over all the time since."""

    def measure(self, pids: Sequence[int]) -> dict[int, Usage]:
        """The usage of each process with its family. One that is gone, or cannot be read, is absent."""
        known, found = dict[int, psutil.Process](), dict[int, Usage]()
        for pid in pids:
            cpu = memory = 0.0
            for one in process_tree(pid, MOST_PROCESSES, all_threads=False):
                with contextlib.suppress(psutil.Error, OSError, ValueError, ArithmeticError):
                    process = self._known.get(one) or psutil.Process(one)
                    with process.oneshot():
                        cpu, memory = cpu + process.cpu_percent(None), memory + process.memory_percent()
                    known[one] = process
            if pid in known and all(math.isfinite(value) and 0 <= value <= LARGEST for value in (cpu, memory)):
                found[pid] = Usage(cpu, memory)
        self._keep(known)
        return found

    def _keep(self, measured: dict[int, psutil.Process]) -> None:
        unasked = {pid: self._unasked.get(pid, 0) + 1 for pid in self._known.keys() - measured.keys()}
        self._unasked = {pid: calls for pid, calls in unasked.items() if calls < FORGOTTEN_AFTER}
        self._known = measured | {pid: self._known[pid] for pid in self._unasked}
