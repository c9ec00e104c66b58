"""Monitoring schedules: finds the executions that are due, has them analysed, keeps what they came to.

An execution is written down when it has ended. One that the end of the process breaks off is still due, and its
report is written again.
"""

import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from tidegate.compose.background import NamedTasks, Worker
from tidegate.domain.drift import DriftReportPlace, DriftTask
from tidegate.domain.errors import TidegateError
from tidegate.domain.metric import BIAS, DATA_QUALITY, MODEL_QUALITY, MetricId, Sample
from tidegate.features.drift.loop import CaptureAccess, DriftAnalyst, is_dimension, make_sample
from tidegate.features.monitor.processing_records import BaselineOutcome, BaselineTask, StorageAccess
from tidegate.features.monitor.schedule_records import (
    ExecutionOutcome,
    ExecutionStatus,
    FacetMetric,
    LabelledTask,
    MonitoringSchedule,
    MonitoringType,
)
from tidegate.features.monitor.schedules import DueExecution, drift_execution, find_due_executions, keep_execution
from tidegate.monitoring.finite import LARGEST
from tidegate.ports.clock import Clock
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Store

log = logging.getLogger(__name__)
_NAMESPACES = {
    MonitoringType.DATA_QUALITY: DATA_QUALITY,
    MonitoringType.MODEL_QUALITY: MODEL_QUALITY,
    MonitoringType.MODEL_BIAS: BIAS,
}


LONGEST_NAME = 255
"""Characters of a metric's name."""


class MonitorAnalyst(DriftAnalyst, Protocol):
    """A service that also compares predictions with labels, and makes baselines."""

    async def measure(self, task: LabelledTask) -> ExecutionOutcome:
        """Measure the quality or the bias of predictions. Raises TidegateError if there is no outcome."""
        ...

    async def baseline(self, task: BaselineTask, longest: float) -> BaselineOutcome:
        """Make a baseline. ``longest``: seconds that it may take. Raises TidegateError if there is no outcome."""
        ...


@dataclass
class MonitoringSchedules(Worker):
    """``roots``: folders in which reports that are files may be."""

    store: Store
    metrics: Metrics
    clock: Clock
    analyst: MonitorAnalyst
    access: CaptureAccess
    roots: tuple[str, ...] = ()
    _running: NamedTasks = field(default_factory=NamedTasks)

    async def turn(self) -> None:
        """Begin the executions that are due. A schedule whose last execution is under way waits for its end."""
        now, settle = self.clock.now(), timedelta(seconds=self.access.span)
        try:
            due = await self.store.run(lambda tx: find_due_executions(tx, settle, now))
        except TidegateError as error:
            log.warning("monitoring schedules were not looked at: %s", error)
            return
        self._running.forget_ended()
        for one in due:
            name = one.schedule.name
            if name not in self._running:
                self._running.begin(name, self._execute(one), f"execution of {name}")

    async def finish(self) -> None:
        """Wait for the executions under way."""
        await self._running.finish()

    async def stop(self) -> None:
        await self._running.stop()

    async def _execute(self, due: DueExecution) -> None:
        name, began_at = due.schedule.name, self.clock.now()
        outcome = await self._analyse(due)
        now = self.clock.now()
        try:
            await self.store.run(lambda tx: keep_execution(tx, due, outcome, began_at, now))
            await self.metrics.put(_execution_samples(due.schedule, outcome, int(now.timestamp())))
        except TidegateError as error:
            log.warning("an execution of monitoring schedule %s could not be kept: %s", name, error)
        except Exception:
            log.exception("an execution of monitoring schedule %s could not be kept", name)

    async def _analyse(self, due: DueExecution) -> ExecutionOutcome:
        """One that fails is an outcome, too: the schedule goes on with the next."""
        if due.problem:
            return _fail(due.problem)
        try:
            labelled = self._labelled_task(due)
            if labelled is not None:
                return await self.analyst.measure(labelled)
            return drift_execution(await self.analyst.analyse(self._drift_task(due)))
        except TidegateError as error:
            return _fail(str(error))
        except Exception as error:
            log.exception("an execution of monitoring schedule %s broke down", due.schedule.name)
            return _fail(f"the analysis broke down: {type(error).__name__}")

    def _drift_task(self, due: DueExecution) -> DriftTask:
        access, job = self.access, due.schedule.job
        return DriftTask(
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

    def _labelled_task(self, due: DueExecution) -> LabelledTask | None:
        """None for an execution without labels."""
        access, job = self.access, due.schedule.job
        if job.labels is None or job.quality is None:
            return None
        storage = StorageAccess(access.s3_endpoint, access.region, access.file_roots, self.roots)
        return LabelledTask(
            job.labels,
            job.quality,
            due.addresses,
            due.window.start,
            due.window.end,
            self.clock.now(),
            access.span,
            due.output,
            job.constraints,
            job.kms_key,
            storage,
            job.bias,
        )


def _fail(reason: str) -> ExecutionOutcome:
    return ExecutionOutcome(ExecutionStatus.FAILED, reason=reason)


def _execution_samples(schedule: MonitoringSchedule, outcome: ExecutionOutcome, second: int) -> list[Sample]:
    """SageMaker's metrics, unless the job definition turns them off. A failed execution has none."""
    if outcome.status is ExecutionStatus.FAILED or not schedule.job.publishes:
        return []
    named = {"Endpoint": schedule.job.endpoint, "MonitoringSchedule": schedule.name}
    namespace = _NAMESPACES[schedule.job.type]
    plain = [FacetMetric(name, value, {}) for name, value in outcome.metrics.items()]
    return [
        make_sample(MetricId.of(namespace, one.name, named | one.dimensions), one.value, second)
        for one in (*plain, *outcome.faceted)
        if is_dimension(one.name)
        and len(one.name) <= LONGEST_NAME
        and abs(one.value) <= LARGEST
        and all(map(is_dimension, one.dimensions.values()))
    ]
