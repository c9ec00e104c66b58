"""Drift schedules: finds the looks that are due, has them analysed, keeps and publishes what they found."""

import logging
from dataclasses import dataclass, field
from typing import Protocol

from tidegate.compose.background import NamedTasks, Worker
from tidegate.domain.drift import DriftOutcome, DriftTask, DriftVerdict
from tidegate.domain.errors import TidegateError
from tidegate.domain.metric import DRIFT, MetricId, Sample
from tidegate.features.drift.service import DueLook, find_due, keep_outcome
from tidegate.monitoring import sketch
from tidegate.ports.clock import Clock
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Store

# --- the metrics of a drift schedule's runs, for ordinary alarms ---


def drift_samples(endpoint: str, outcome: DriftOutcome, second: int) -> list[Sample]:
    """``Unknown`` is there after each look; the others only where there is something to say, so that silence never
    counts as no drift."""
    unknown = outcome.verdict is DriftVerdict.UNKNOWN
    values = {"Unknown": float(unknown)}
    named = {"EndpointName": endpoint}
    if not unknown:
        values["Drift"] = float(outcome.verdict is DriftVerdict.DRIFT)
        values["DriftedColumns"] = float(outcome.drifted)
        values["Violations"] = float(outcome.total)
        values["Rows"] = float(outcome.rows)
    made = [make_sample(MetricId.of(DRIFT, name, named), value, second) for name, value in values.items()]
    for column, distance in outcome.distances.items():
        if is_dimension(column):
            made.append(make_sample(MetricId.of(DRIFT, "Distance", {**named, "Column": column}), distance, second))
    return made


def is_dimension(text: str) -> bool:
    """Whether CloudWatch would take it for the value of a dimension."""
    return 0 < len(text) <= 1024 and text.isascii() and text.isprintable() and bool(text.strip())


def make_sample(metric: MetricId, value: float, second: int) -> Sample:
    return Sample(metric, second, 1.0, value, value, value, {sketch.index(value): 1.0})


log = logging.getLogger(__name__)


class DriftAnalyst(Protocol):
    """A service that compares captured requests with a baseline, off the event loop."""

    async def analyse(self, task: DriftTask) -> DriftOutcome:
        """Compare the captures of a task with its baseline. Raises TidegateError if there is no outcome."""
        ...


@dataclass(frozen=True)
class CaptureAccess:
    """How captures are read. ``span``: seconds that a captured file may be open; ``file_roots``: folders in which
    baselines may be, None: any."""

    span: int
    s3_endpoint: str = ""
    region: str = ""
    file_roots: tuple[str, ...] | None = None


@dataclass
class DriftSchedules(Worker):
    store: Store
    metrics: Metrics
    clock: Clock
    analyst: DriftAnalyst
    access: CaptureAccess
    _looks: NamedTasks = field(default_factory=NamedTasks)

    async def turn(self) -> None:
        """Begin the looks that are due. A schedule whose last look is under way waits for its end."""
        now = self.clock.now()
        try:
            due = await self.store.run(lambda tx: find_due(tx, now))
        except TidegateError as error:
            log.warning("drift schedules were not looked at: %s", error)
            return
        self._looks.forget_ended()
        for one in due:
            if one.schedule.endpoint not in self._looks:
                self._looks.begin(one.schedule.endpoint, self._look(one), f"drift of {one.schedule.endpoint}")

    async def finish(self) -> None:
        """Wait for the looks under way."""
        await self._looks.finish()

    async def stop(self) -> None:
        await self._looks.stop()

    async def _look(self, due: DueLook) -> None:
        schedule = due.schedule
        try:
            outcome = await self._analyse(due)
            now = self.clock.now()
            kept = await self.store.run(lambda tx: keep_outcome(tx, schedule, outcome, now))
            if kept:
                await self.metrics.put(drift_samples(schedule.endpoint, outcome, int(now.timestamp())))
        except TidegateError as error:
            log.warning("what was found of the drift of %s could not be kept: %s", schedule.endpoint, error)
        except Exception:
            log.exception("the drift of %s was not looked at", schedule.endpoint)

    async def _analyse(self, due: DueLook) -> DriftOutcome:
        """A look that fails is an outcome, too: unknown."""
        access = self.access
        task = DriftTask(
            due.schedule,
            due.addresses,
            due.start,
            due.end,
            access.span,
            access.s3_endpoint,
            access.region,
            access.file_roots,
        )
        try:
            return await self.analyst.analyse(task)
        except TidegateError as error:
            why = str(error)
        except Exception as error:
            log.exception("the look for drift of %s broke down", due.schedule.endpoint)
            why = f"the analysis broke down: {type(error).__name__}"
        return DriftOutcome(due.start, due.end, DriftVerdict.UNKNOWN, why)
