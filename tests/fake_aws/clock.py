"""Virtual time of a fake account."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TICK = 10
"""Seconds between the moments at which the account looks at its alarms and deployments."""


@dataclass
class FakeClock:
    """Stands still until somebody sleeps."""

    present: datetime = START
    ticks: list[Callable[[datetime], None]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.present

    def monotonic(self) -> float:
        return (self.present - START).total_seconds()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        end = self.present + timedelta(seconds=seconds)
        while self.present < end:
            self.present = min(end, self.present + timedelta(seconds=TICK))
            for tick in self.ticks:
                tick(self.present)
