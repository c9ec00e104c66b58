"""What each replica takes of the machine: CPU and memory of its process and of those that it started."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

MOST_PROCESSES = 512
"""Processes of one replica that are read: one that starts processes without end must not hold up all others."""
LARGEST = 1e6
"""Percent: no replica takes ten thousand cores."""


@dataclass(frozen=True)
class Reading:
    """``cpu``: percent of one core since the last reading; ``memory``: percent of the machine's."""

    cpu: float
    memory: float


@dataclass
class Readings:
    _known: dict[int, psutil.Process] = field(default_factory=dict)

    def take(self, pids: Sequence[int]) -> dict[int, Reading]:
        """Of each process with its family. One that is gone, or cannot be read, is absent."""
        known, found = dict[int, psutil.Process](), dict[int, Reading]()
        for pid in pids:
            cpu = memory = 0.0
            for one in family(pid):
                with contextlib.suppress(psutil.Error, OSError, ValueError, ArithmeticError):
                    process = self._known.get(one) or psutil.Process(one)
                    with process.oneshot():
                        cpu, memory = cpu + process.cpu_percent(None), memory + process.memory_percent()
                    known[one] = process
            if pid in known and all(math.isfinite(value) and 0 <= value <= LARGEST for value in (cpu, memory)):
                found[pid] = Reading(cpu, memory)
        self._known = known
        return found


def family(pid: int) -> Iterator[int]:
    """A process and those that its main thread, and theirs, started and that still run, at most ``MOST_PROCESSES``:
    what Linux tells without a look at every process of the machine. Elsewhere the process alone."""
    waiting, found = [pid], 0
    while waiting and found < MOST_PROCESSES:
        one = waiting.pop()
        found += 1
        yield one
        with contextlib.suppress(OSError, ValueError):
            waiting += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
