"""Processing jobs: runs those that have not ended, stops those that are to be stopped.

What is done is written down when it has ended. A job that the end of the process breaks off has not ended, and is run
again by the next one: its files appear whole, and are the same.
"""

import asyncio
import logging
from dataclasses import dataclass, field

from tidegate.compose.background import NamedTasks, Services, Worker
from tidegate.compose.environments import child_environment
from tidegate.domain.drift import DriftOutcome, DriftTask
from tidegate.domain.errors import TidegateError
from tidegate.features.drift.process import ANALYST, ProcessAnalyst, find_access
from tidegate.features.monitor import processing_service as use
from tidegate.features.monitor.loop import MonitorAnalyst, MonitoringSchedules
from tidegate.features.monitor.processing_records import (
    BaselineOutcome,
    BaselineTask,
    ProcessingJob,
    ProcessingStatus,
    StorageAccess,
)
from tidegate.features.monitor.schedule_records import ExecutionOutcome, LabelledTask
from tidegate.ports.clock import Clock
from tidegate.ports.store import Store
from tidegate.settings import Settings

log = logging.getLogger(__name__)


@dataclass
class ProcessingJobs(Worker):
    store: Store
    clock: Clock
    analyst: MonitorAnalyst
    access: StorageAccess
    _running: NamedTasks = field(default_factory=NamedTasks)

    async def turn(self) -> None:
        """Begin the jobs that wait, and break off those that are to stop."""
        try:
            found = await self.store.run(use.find_unended)
        except TidegateError as error:
            log.warning("processing jobs were not looked at: %s", error)
            return
        self._running.forget_ended()
        for job in found:
            if job.status is ProcessingStatus.STOPPING:
                await self._stop(job.name)
            elif job.name not in self._running:
                self._running.begin(job.name, self._work(job), f"processing job {job.name}")

    async def finish(self) -> None:
        """Wait for the jobs under way."""
        await self._running.finish()

    async def stop(self) -> None:
        await self._running.stop()

    async def _stop(self, name: str) -> None:
        """The process is gone before the job is said to be stopped."""
        await self._running.cancel(name)
        await self._end(name, None)

    async def _work(self, job: ProcessingJob) -> None:
        try:
            await self.store.run(lambda tx: use.begin(tx, job.name, self.clock.now()))
        except TidegateError as error:
            log.warning(
                "the begin of processing job %s could not be written, so it is tried again: %s", job.name, error
            )
            return
        try:
            outcome = await self.analyst.baseline(BaselineTask(job.work, self.access), float(job.longest))
        except TidegateError as error:
            outcome = BaselineOutcome(reason=str(error))
        except Exception as error:
            log.exception("processing job %s broke down", job.name)
            outcome = BaselineOutcome(reason=f"the analysis broke down: {type(error).__name__}")
        await self._end(job.name, outcome)

    async def _end(self, name: str, outcome: BaselineOutcome | None) -> None:
        now = self.clock.now()
        try:
            await self.store.run(lambda tx: use.end(tx, name, outcome, now))
        except TidegateError as error:
            log.warning("the end of processing job %s could not be written, so it is run again: %s", name, error)
        except Exception:
            log.exception("the end of processing job %s could not be written, so it is run again", name)


# --- the processes of Model Monitor's executions and processing jobs, and their loops ---


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
