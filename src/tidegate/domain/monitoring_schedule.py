"""Monitoring schedules by SageMaker's API: what is analysed, when, and what each execution came to."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

ONCE = "NOW"
"""The schedule expression of a schedule that is executed once after each start."""


@dataclass(frozen=True)
class DataQualityJob:
    """A job definition. ``statistics`` and ``constraints``: addresses of the baseline's files, the second may be
    empty; ``output``: address of the folder of reports; ``kms_key``: with which S3 encrypts them."""

    name: str
    endpoint: str
    statistics: str
    constraints: str
    output: str
    kms_key: str
    created_at: datetime
    wire: dict[str, object] = field(default_factory=dict)
    """Members of CreateDataQualityJobDefinition that Describe echoes."""
    publishes: bool = True
    """Distances are published as metrics."""


@dataclass(frozen=True)
class MonitoringSchedule:
    """``expression``: ``cron(...)`` or ``NOW``. ``start_offset`` and ``end_offset``: where the analysed time begins
    and ends, from the scheduled time on, as ISO 8601 durations; empty: since the scheduled time before, and until
    this one."""

    name: str
    job: DataQualityJob
    expression: str
    created_at: datetime
    modified_at: datetime
    since: datetime
    """Scheduled times count from here on: the last time that it was created, updated or started."""
    start_offset: str = ""
    end_offset: str = ""
    stopped: bool = False
    last: datetime | None = None
    """Scheduled time of the last execution."""
    last_execution: str = ""


class ExecutionStatus(StrEnum):
    """SageMaker's words."""

    COMPLETED = "Completed"
    COMPLETED_WITH_VIOLATIONS = "CompletedWithViolations"
    FAILED = "Failed"


@dataclass(frozen=True)
class MonitoringExecution:
    """One that has ended. ``name`` is that of its processing job; the captures from ``start`` to ``end`` were
    analysed; ``output``: address of the folder of its report; ``reason``: why it failed."""

    name: str
    schedule: str
    job: DataQualityJob
    scheduled_at: datetime
    start: datetime
    end: datetime
    began_at: datetime
    ended_at: datetime
    status: ExecutionStatus
    output: str
    inputs: tuple[str, ...] = ()
    """Addresses of the folders of captured files."""
    violations: int = 0
    reason: str = ""
