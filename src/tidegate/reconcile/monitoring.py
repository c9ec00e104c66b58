"""Monitoring schedules: finds the executions that are due, has them analysed, keeps what they came to.

An execution is written down when it has ended. One that the end of the process breaks off is still due, and its
report is written again.
"""

import asyncio
import logging
from dataclasses import dataclass, field, replace
from datetime import timedelta

from tidegate.domain.drift import DriftOutcome, DriftReportPlace, DriftTask, DriftVerdict
from tidegate.domain.errors import TidegateError
from tidegate.ports.analyst import DriftAnalyst
from tidegate.ports.clock import Clock
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Store
from tidegate.reconcile.drift import CaptureAccess
from tidegate.service.drift_metrics import execution_samples
from tidegate.service.monitoring_schedules import DueExecution, find_due_executions, keep_execution

log = logging.getLogger(__name__)


@dataclass
class MonitoringSchedules:
    """``roots``: folders in which reports that are files may be."""

    store: Store
    metrics: Metrics
    clock: Clock
    analyst: DriftAnalyst
    access: CaptureAccess
    roots: tuple[str, ...] = ()
    _running: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def turn(self) -> None:
        """Begin the executions that are due. A schedule whose last execution is under way waits for its end."""
        now, settle = self.clock.now(), timedelta(seconds=self.access.span)
        try:
            due = await self.store.run(lambda tx: find_due_executions(tx, settle, now))
        except TidegateError as error:
            log.warning("monitoring schedules were not looked at: %s", error)
            return
        self._running = {name: task for name, task in self._running.items() if not task.done()}
        for one in due:
            name = one.schedule.name
            if name not in self._running:
                self._running[name] = asyncio.create_task(self._execute(one), name=f"execution of {name}")

    async def finish(self) -> None:
        """Wait for the executions under way."""
        await asyncio.gather(*self._running.values())

    async def stop(self) -> None:
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _execute(self, due: DueExecution) -> None:
        name, began_at = due.schedule.name, self.clock.now()
        outcome = await self._analyse(due)
        now = self.clock.now()
        try:
            await self.store.run(lambda tx: keep_execution(tx, due, outcome, began_at, now))
            await self.metrics.put(execution_samples(due.schedule, outcome, int(now.timestamp())))
        except TidegateError as error:
            log.warning("an execution of monitoring schedule %s could not be kept: %s", name, error)
        except Exception:
            log.exception("an execution of monitoring schedule %s could not be kept", name)

    async def _analyse(self, due: DueExecution) -> DriftOutcome:
        """One that fails is an outcome, too: the schedule goes on with the next."""
        failed = DriftOutcome(due.window.start, due.window.end, DriftVerdict.UNKNOWN)
        if due.problem:
            return replace(failed, reason=due.problem)
        access, job = self.access, due.schedule.job
        task = DriftTask(
            due.terms,
            due.addresses,
            due.window.start,
            due.window.end,
            access.span,
            access.s3_endpoint,
            access.region,
            access.file_roots,
            DriftReportPlace(due.output, job.constraints, job.kms_key, self.roots),
        )
        try:
            return await self.analyst.analyse(task)
        except TidegateError as error:
            return replace(failed, reason=str(error))
        except Exception as error:
            log.exception("an execution of monitoring schedule %s broke down", due.schedule.name)
            return replace(failed, reason=f"the analysis broke down: {type(error).__name__}")
