"""The processes of Model Monitor's executions and processing jobs, and their loops."""

import asyncio
from dataclasses import dataclass, field

from tidegate.compose.background import Services
from tidegate.compose.environments import child_environment
from tidegate.domain.drift import DriftOutcome, DriftTask
from tidegate.features.drift.process import ANALYST, ProcessAnalyst, find_access
from tidegate.features.monitor.loop import MonitoringSchedules
from tidegate.features.monitor.processing_loop import ProcessingJobs
from tidegate.features.monitor.processing_records import BaselineOutcome, BaselineTask, StorageAccess
from tidegate.features.monitor.schedule_records import ExecutionOutcome, LabelledTask
from tidegate.settings import Settings

MAX_JOBS = 2
MONITOR = "tidegate.features.monitor"


@dataclass
class MonitorProcesses:
    """``analyst`` runs the processes; jobs have turns of their own, so that many of them hold up no schedule."""

    analyst: ProcessAnalyst
    _jobs: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_JOBS))

    async def analyse(self, task: DriftTask) -> DriftOutcome:
        """Raises Transient."""
        return await self.analyst.analyse(task)

    async def measure(self, task: LabelledTask) -> ExecutionOutcome:
        """Raises Transient."""
        what = "quality" if task.bias is None else "bias"
        return await self.analyst.run(
            (MONITOR, what), task, ExecutionOutcome, self.analyst.turns, self.analyst.longest
        )

    async def baseline(self, task: BaselineTask, longest: float) -> BaselineOutcome:
        """Raises Transient."""
        return await self.analyst.run((MONITOR, "baseline"), task, BaselineOutcome, self._jobs, longest)


def _make_processes(services: Services) -> MonitorProcesses:
    analyst = services.share(ANALYST, lambda: ProcessAnalyst(child_environment(services.settings.state)))
    return services.share(MONITOR, lambda: MonitorProcesses(analyst))


def _find_output_roots(settings: Settings) -> tuple[str, ...]:
    folders = settings.output_roots or (settings.state / "outputs",)
    return tuple(str(root.expanduser().absolute()) for root in folders)


def make_schedules(services: Services) -> MonitoringSchedules:
    """The loop of monitoring schedules."""
    access, roots = find_access(services.settings), _find_output_roots(services.settings)
    processes = _make_processes(services)
    return MonitoringSchedules(services.store, services.metrics, services.clock, processes, access, roots)


def make_jobs(services: Services) -> ProcessingJobs:
    """The loop of processing jobs."""
    access, roots = find_access(services.settings), _find_output_roots(services.settings)
    storage = StorageAccess(access.s3_endpoint, access.region, access.file_roots, roots)
    return ProcessingJobs(services.store, services.clock, _make_processes(services), storage)
