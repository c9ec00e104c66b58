"""What compares captured requests with a baseline."""

from typing import Protocol

from tidegate.domain.drift import DriftOutcome, DriftTask


class DriftAnalyst(Protocol):
    async def analyse(self, task: DriftTask) -> DriftOutcome:
        """Takes seconds, off the event loop. Raises TidegateError where there is no outcome."""
        ...
