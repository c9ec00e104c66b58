"""Failed starts of a fleet's replicas: how long it waits before the next, and when it is reported as failing."""

from dataclasses import dataclass

START_FAILURES = 3
"""Failed starts in a row after which the fleet is reported as failing (it goes on trying, slower)."""
LONGEST_BACKOFF = 30.0
"""Seconds between tries to start what does not start."""
EARLY_BACKOFF = 2.0
"""The same for what starts well and then dies soon: it may do so by what it is asked, and is missed."""


@dataclass
class StartFailures:
    """Times are the event loop's, seconds. ``reason`` is reported; None while there is hope."""

    count: int = 0
    reason: str | None = None
    not_before: float = 0.0

    def add(
        self,
        message: str,
        now: float,
        *,
        conclusive: bool = False,
        has_served: bool = False,
        longest: float = LONGEST_BACKOFF,
    ) -> None:
        """``conclusive``: another try would fail like this one, unless the fleet ``has_served``: then what it lacks
        may be back soon, and requests miss it."""
        self.count += 1
        backoff = min(longest, 0.5 * 2 ** min(self.count - 1, 10))
        self.not_before = now + (LONGEST_BACKOFF if conclusive and not has_served else backoff)
        if conclusive or self.count >= START_FAILURES:
            self.reason = message

    def started(self) -> None:
        """A replica is ready; whether it stays so is open."""
        self.reason, self.not_before = None, 0.0

    def settled(self) -> None:
        """A replica has stayed ready."""
        self.count = 0
