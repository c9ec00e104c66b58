"""A wall clock that can be set, next to the loop's monotonic time, and numbers as names."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.loops.virtual_loop import VirtualLoop
from tidegate.domain.endpoint import ClockMark
from tidegate.simulation.world import START


class SimulatedClock:
    """Ports.clock.Clock on a loop's virtual time; ``offset`` is the sum of the wall clock's steps. ``boots`` counts
    machine starts, each of which restarts the monotonic time."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.offset = 0.0
        self.boots = 1

    def now(self) -> datetime:
        return START + timedelta(seconds=self._loop.now + self.offset)

    def read(self) -> tuple[datetime, ClockMark]:
        """The current time, and by how much the wall clock is ahead of the monotonic one."""
        return self.now(), ClockMark(f"boot {self.boots}", EPOCH + self.offset + 1000.0 * self.boots)

    def wall(self) -> float:
        """Seconds since the start according to the wall clock."""
        return self._loop.now + self.offset

    def step(self, seconds: float) -> None:
        self.offset += seconds


EPOCH = int(START.timestamp())
"""The wall clock at the start, in epoch seconds."""


@dataclass
class SequentialIds:
    """Ports.clock.Ids."""

    count: int = 0

    def new(self, kind: str) -> str:
        self.count += 1
        return f"{kind}-{self.count}"
