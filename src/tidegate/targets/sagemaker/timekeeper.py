"""The clock of this machine, whose pauses are real."""

import time
from dataclasses import dataclass
from datetime import datetime

from tidegate.ports.clock import Clock


@dataclass(frozen=True)
class WallTime:
    """A ``Timekeeper`` that really sleeps."""

    clock: Clock

    def now(self) -> datetime:
        return self.clock.now()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
