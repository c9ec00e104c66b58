"""What the platform does at times that people have set: looks for drift, monitoring schedules, shadow tests;
and processing jobs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tidegate.compose.drift_analysis import join_analyses
from tidegate.domain.errors import TidegateError
from tidegate.domain.targets import TargetTable
from tidegate.ports.clock import Clock, Ids
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Kind, Store, Tx
from tidegate.reconcile.drift import DriftSchedules
from tidegate.reconcile.experiments import Experiments
from tidegate.reconcile.last_read import LastRead
from tidegate.reconcile.monitoring import MonitoringSchedules
from tidegate.reconcile.processing import ProcessingJobs
from tidegate.service.record_kinds import DRIFT_SCHEDULE, EXPERIMENT, MONITORING_SCHEDULE, PROCESSING
from tidegate.settings import Settings

TURN_EVERY = 1.0
"""Seconds between two looks whether something is due."""


KINDS: tuple[Kind[Any], ...] = (EXPERIMENT, DRIFT_SCHEDULE, MONITORING_SCHEDULE, PROCESSING)


def find_kinds(tx: Tx) -> frozenset[str]:
    """Those of which there are records."""
    return frozenset(kind.name for kind in KINDS if tx.versions(kind))


@dataclass(frozen=True)
class ScheduledWork:
    drift: DriftSchedules
    monitoring: MonitoringSchedules
    processing: ProcessingJobs
    experiments: Experiments
    store: Store
    _records: LastRead[frozenset[str]] = field(default_factory=lambda: LastRead(find_kinds))

    async def turn(self) -> None:
        """Most servers have no work of most kinds: then there is one read for all."""
        try:
            there = await self._records.get(self.store)
        except TidegateError:
            there = frozenset(kind.name for kind in KINDS)  # each says that it cannot look
        if EXPERIMENT.name in there:
            await self.experiments.turn()
        if DRIFT_SCHEDULE.name in there:
            await self.drift.turn()
        if MONITORING_SCHEDULE.name in there:
            await self.monitoring.turn()
        if PROCESSING.name in there:
            await self.processing.turn()

    async def stop(self) -> None:
        await self.drift.stop()
        await self.monitoring.stop()
        await self.processing.stop()


def join_scheduled_work(
    settings: Settings,
    store: Store,
    metrics: Metrics,
    clock: Clock,
    ids: Ids,
    kick: Callable[[str], None],
    targets: TargetTable,
) -> ScheduledWork:
    """Nothing runs yet. ``kick`` wakes an endpoint's engine."""
    drift, monitoring, processing = join_analyses(settings, store, metrics, clock)
    return ScheduledWork(drift, monitoring, processing, Experiments(store, clock, ids, kick, targets), store)
