"""A batch transform job: a model, input objects, and an output location."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tidegate.domain.fleet import FleetId
from tidegate.domain.registry import Model

FLEET_PREFIX = "transform."
"""Of the names of jobs' fleets: names of endpoints cannot contain a dot."""
FLEET_VARIANT = "job"


class SplitType(StrEnum):
    """How an object is split into records."""

    NONE = "None"
    LINE = "Line"
    RECORD_IO = "RecordIO"
    TF_RECORD = "TFRecord"


class BadRows(StrEnum):
    """Treatment of a record that the model rejects."""

    FAIL = "fail"
    """The object fails, and so does the job."""
    ERRORS = "errors"
    """Write it to the object's error file with its line number, and continue."""


class JobStatus(StrEnum):
    """SageMaker's statuses."""

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPING = "Stopping"
    STOPPED = "Stopped"


@dataclass(frozen=True)
class TransformInput:
    """Input of a transform job. ``uri`` is an object or a prefix; with ``manifest``, an object that lists inputs."""

    uri: str
    manifest: bool = False
    content_type: str = ""
    gzip: bool = False
    split: SplitType = SplitType.NONE


@dataclass(frozen=True)
class InputObject:
    """An object as it was when the job began. ``tag`` changes when the object does."""

    uri: str
    name: str
    """Of its output, under the output's prefix, without the suffix."""
    size: int
    tag: str


@dataclass(frozen=True)
class TransformOutput:
    """Output of a transform job, with the prefix ``uri``. ``by_line`` ends each response with a line break."""

    uri: str
    accept: str = ""
    by_line: bool = False


@dataclass(frozen=True)
class DataProcessing:
    """JSONPath filters before and after the model. ``join``: append each response to its record."""

    input_filter: str = "$"
    output_filter: str = "$"
    join: bool = False

    @property
    def plain(self) -> bool:
        """Whether records and responses are passed unchanged."""
        return self == DataProcessing()


@dataclass(frozen=True)
class RequestLimits:
    """Limits of requests to the model. None: the container's own setting, otherwise the platform's default."""

    single: bool | None = None
    """One record per request."""
    megabytes: int | None = None
    """Largest request (MiB)."""
    concurrency: int | None = None
    """Concurrent requests per instance."""
    timeout: float = 600.0
    """Seconds per request."""
    retries: int = 3
    deadline: float | None = None
    """Seconds that the job may take from its start or resumption. None: no limit, but at most an hour of continuous
    storage or disk errors."""


@dataclass(frozen=True)
class TransformProgress:
    """Progress of a job. ``bytes_*`` count the input as stored."""

    objects: int = 0
    objects_done: int = 0
    objects_failed: int = 0
    records: int = 0
    bad_records: int = 0
    bytes_total: int = 0
    bytes_done: int = 0
    waiting: str = ""
    """What the job waits for, such as space on the disk."""


@dataclass(frozen=True)
class TransformJob:
    """``model`` is a copy, so deleting the original has no effect."""

    name: str
    model: Model
    source: TransformInput
    sink: TransformOutput
    created_at: datetime
    processing: DataProcessing = field(default_factory=DataProcessing)
    pace: RequestLimits = field(default_factory=RequestLimits)
    on_bad_rows: BadRows = BadRows.FAIL
    instances: int = 1
    instance_type: str = "local"
    environment: dict[str, str] = field(default_factory=dict)
    stopping: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: JobStatus | None = None
    """How it ended; None while it runs."""
    reason: str = ""
    """Why it failed."""
    progress: TransformProgress = field(default_factory=TransformProgress)
    """Progress at the last end of the job."""
    resumed: int = 0
    """How often it was resumed after it failed or was stopped."""
    resumed_at: datetime | None = None
    wire: dict[str, object] = field(default_factory=dict)
    """Unused members of CreateTransformJob, kept for Describe."""

    @property
    def status(self) -> JobStatus:
        if self.outcome is not None:
            return self.outcome
        return JobStatus.STOPPING if self.stopping else JobStatus.IN_PROGRESS


def eta(progress: TransformProgress, seconds: float, before: int = 0) -> float | None:
    """Return the estimated seconds until the end, at the rate of the last ``seconds``; None if it is unknown.
    ``before`` is the number of bytes that were done when these seconds began."""
    done = progress.bytes_done - before
    if done <= 0 or seconds <= 0:
        return None
    return seconds * max(0, progress.bytes_total - progress.bytes_done) / done


def job_fleet(name: str) -> FleetId:
    """The fleet of the job with this name."""
    return FleetId(f"{FLEET_PREFIX}{name}", 1, FLEET_VARIANT)
