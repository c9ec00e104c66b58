"""A wall clock that can be set, beside the monotonic time of the loop."""

from datetime import datetime, timedelta

from tidegate.domain.endpoint import ClockMark
from tidegate.testing.loops.virtual_loop import VirtualLoop
from tidegate.testing.world import START


class SimulatedClock:
    """Ports.clock.Clock over a loop's virtual time; ``offset`` is what steps of the wall clock add up to. ``boots``
    counts the starts of the machine, each of which begins the monotonic time anew."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.offset = 0.0
        self.boots = 1

    def now(self) -> datetime:
        return START + timedelta(seconds=self._loop.now + self.offset)

    def read(self) -> tuple[datetime, ClockMark]:
        """The present, and how far the wall clock is ahead of the monotonic one."""
        return self.now(), ClockMark(f"boot {self.boots}", EPOCH + self.offset + 1000.0 * self.boots)

    def wall(self) -> float:
        """Seconds since the start, as the wall clock has it."""
        return self._loop.now + self.offset

    def step(self, seconds: float) -> None:
        self.offset += seconds


EPOCH = int(START.timestamp())
"""The wall clock at the start, in seconds since the epoch."""
