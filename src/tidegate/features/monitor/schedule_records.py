"""Monitoring schedules by SageMaker's API: what is analysed, when, and what each execution came to."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tidegate.features.monitor.model_quality import QualityTerms
from tidegate.features.monitor.processing_records import StorageAccess

ONCE = "NOW"
"""The schedule expression of a schedule that is executed once after each start."""


class MonitoringType(StrEnum):
    """SageMaker's words for what is monitored."""

    DATA_QUALITY = "DataQuality"
    MODEL_QUALITY = "ModelQuality"
    MODEL_BIAS = "ModelBias"


@dataclass(frozen=True)
class LabelSource:
    """``address``: of the folder of ground truth; ``start_offset`` and ``end_offset``: ISO 8601 durations by which
    the analysed time is earlier, so that labels have time to come; empty: not at all."""

    address: str
    start_offset: str = ""
    end_offset: str = ""


@dataclass(frozen=True)
class BiasSource:
    """``config``: address of an analysis_config.json; ``features``: the place of the features in a request, empty: it
    is all of it."""

    config: str
    features: str = ""


@dataclass(frozen=True)
class MonitoringJob:
    """A job definition. ``statistics`` and ``constraints``: addresses of the baseline's files, either may be empty;
    ``output``: address of the folder of reports; ``kms_key``: with which S3 encrypts them. ``labels`` and
    ``quality``: what predictions are compared with, and how."""

    name: str
    endpoint: str
    statistics: str
    constraints: str
    output: str
    kms_key: str
    created_at: datetime
    wire: dict[str, object] = field(default_factory=dict)
    """Members of the operation that created it, which Describe echoes."""
    publishes: bool = True
    """What was measured is published as metrics."""
    type: MonitoringType = MonitoringType.DATA_QUALITY
    labels: LabelSource | None = None
    quality: QualityTerms | None = None
    bias: BiasSource | None = None


@dataclass(frozen=True)
class MonitoringSchedule:
    """``expression``: ``cron(...)`` or ``NOW``. ``start_offset`` and ``end_offset``: where the analysed time begins
    and ends, from the scheduled time on, as ISO 8601 durations; empty: since the scheduled time before, and until
    this one."""

    name: str
    job: MonitoringJob
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
    job: MonitoringJob
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
    remark: str = ""
    """What else is to be said of one that did not fail."""


@dataclass(frozen=True)
class LabelledTask:
    """An execution that compares predictions with labels. ``addresses``: folders of captured files; ``start`` and
    ``end``: between which predictions were made; ``until``: when labels must have come; ``span``: seconds that a
    captured file may be open; ``output``: address of the folder of the report; ``constraints``: address of the
    baseline's; empty: there is none."""

    labels: LabelSource
    quality: QualityTerms
    addresses: tuple[str, ...]
    start: datetime
    end: datetime
    until: datetime
    span: int
    output: str
    constraints: str
    kms_key: str
    access: StorageAccess
    bias: BiasSource | None = None


@dataclass(frozen=True)
class FacetMetric:
    """``dimensions``: besides those of the endpoint and of the schedule."""

    name: str
    value: float
    dimensions: dict[str, str]


@dataclass(frozen=True)
class ExecutionOutcome:
    """The outcome of an execution. ``metrics``: name -> value, of those that are published; ``remark``: any further
    information; ``faceted``: metrics that groups have."""

    status: ExecutionStatus
    violations: int = 0
    reason: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    remark: str = ""
    faceted: tuple[FacetMetric, ...] = ()
