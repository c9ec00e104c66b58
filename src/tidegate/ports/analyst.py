"""What analyses captures and data sets. Each takes seconds, off the event loop, and raises TidegateError where there
is no outcome."""

from typing import Protocol

from tidegate.domain.drift import DriftOutcome, DriftTask
from tidegate.domain.monitoring_schedule import ExecutionOutcome, LabelledTask
from tidegate.domain.processing_job import BaselineOutcome, BaselineTask


class DriftAnalyst(Protocol):
    """Compares captured requests with a baseline."""

    async def analyse(self, task: DriftTask) -> DriftOutcome: ...


class MonitorAnalyst(DriftAnalyst, Protocol):
    """Also compares predictions with labels, and makes baselines."""

    async def measure(self, task: LabelledTask) -> ExecutionOutcome: ...

    async def baseline(self, task: BaselineTask, longest: float) -> BaselineOutcome:
        """``longest``: seconds that it may take."""
        ...
