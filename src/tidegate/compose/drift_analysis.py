"""Looks of drift schedules, executions of monitoring schedules and processing jobs, in processes of their own, so
that neither their processor time nor their memory is the controller's."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from tidegate.compose.environments import child_environment
from tidegate.domain.drift import DriftOutcome, DriftTask
from tidegate.domain.errors import Transient
from tidegate.domain.monitoring_schedule import ExecutionOutcome, LabelledTask
from tidegate.domain.processing_job import BaselineOutcome, BaselineTask, StorageAccess
from tidegate.ports.clock import Clock
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Store
from tidegate.reconcile.drift import CaptureAccess, DriftSchedules
from tidegate.reconcile.monitoring import MonitoringSchedules
from tidegate.reconcile.processing import ProcessingJobs
from tidegate.settings import Settings
from tidegate.targets.containers import file_roots

T = TypeVar("T")

TIME_LIMIT = 300.0
"""Seconds of one look or execution."""
MAX_RUNNING = 3
MAX_JOBS = 2
DRIFT = "tidegate.advisor.drift"
MONITOR = "tidegate.advisor.monitor"
LAST = 500
"""Characters of what a process that failed wrote to its standard error."""


@dataclass
class ProcessAnalyst:
    """A few analyses at a time: one whose bucket does not answer must not hold up all others."""

    environment: Mapping[str, str]
    longest: float = TIME_LIMIT
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_RUNNING))
    _jobs: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_JOBS))
    """Jobs have turns of their own: many of them hold up no schedule."""

    async def analyse(self, task: DriftTask) -> DriftOutcome:
        """Raises Transient."""
        return await self._run((DRIFT,), task, DriftOutcome, self._turn, self.longest)

    async def measure(self, task: LabelledTask) -> ExecutionOutcome:
        """Raises Transient."""
        what = "quality" if task.bias is None else "bias"
        return await self._run((MONITOR, what), task, ExecutionOutcome, self._turn, self.longest)

    async def baseline(self, task: BaselineTask, longest: float) -> BaselineOutcome:
        """Raises Transient."""
        return await self._run((MONITOR, "baseline"), task, BaselineOutcome, self._jobs, longest)

    async def _run(
        self, module: Sequence[str], task: object, kind: type[T], turn: asyncio.Semaphore, longest: float
    ) -> T:
        """``module`` and its arguments. Raises Transient."""
        async with turn:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *module),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self.environment,
                start_new_session=True,  # Ctrl-C at the server's terminal is for the server, which runs it again
            )
            try:
                async with asyncio.timeout(longest):
                    out, error = await child.communicate(msgspec.json.encode(task))
            except TimeoutError:
                raise Transient(
                    f"the analysis was not finished within {longest:g} s: capture a smaller sample, or look at less"
                ) from None
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()
        if child.returncode:
            said = error.decode(errors="replace").strip().rpartition("\n")[2][-LAST:]
            raise Transient(f"the analysis failed (status {child.returncode}): {said}")
        return msgspec.json.decode(out, type=kind)


def join_analyses(
    settings: Settings, store: Store, metrics: Metrics, clock: Clock
) -> tuple[DriftSchedules, MonitoringSchedules, ProcessingJobs]:
    """Nothing runs yet."""
    access = CaptureAccess(settings.capture_seconds, settings.s3_endpoint, settings.region, file_roots(settings))
    analyst = ProcessAnalyst(child_environment(settings.state))
    folders = settings.output_roots or (settings.state / "outputs",)
    roots = tuple(str(root.expanduser().absolute()) for root in folders)
    storage = StorageAccess(access.s3_endpoint, access.region, access.file_roots, roots)
    return (
        DriftSchedules(store, metrics, clock, analyst, access),
        MonitoringSchedules(store, metrics, clock, analyst, access, roots),
        ProcessingJobs(store, clock, analyst, storage),
    )
