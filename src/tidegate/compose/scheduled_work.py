"""What the platform does at times that people have set: looks for drift, monitoring schedules, shadow tests;
and processing jobs."""

from collections.abc import Callable
from dataclasses import dataclass

from tidegate.compose.drift_analysis import join_analyses
from tidegate.domain.targets import TargetTable
from tidegate.ports.clock import Clock, Ids
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Store
from tidegate.reconcile.drift import DriftSchedules
from tidegate.reconcile.experiments import Experiments
from tidegate.reconcile.monitoring import MonitoringSchedules
from tidegate.reconcile.processing import ProcessingJobs
from tidegate.settings import Settings

TURN_EVERY = 1.0
"""Seconds between two looks whether something is due."""


@dataclass(frozen=True)
class ScheduledWork:
    drift: DriftSchedules
    monitoring: MonitoringSchedules
    processing: ProcessingJobs
    experiments: Experiments

    async def turn(self) -> None:
        await self.experiments.turn()
        await self.drift.turn()
        await self.monitoring.turn()
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
    return ScheduledWork(drift, monitoring, processing, Experiments(store, clock, ids, kick, targets))
