"""A batch transform job: a model, objects to send through it, and where the answers go."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tidegate.domain.registry import Model


class SplitType(StrEnum):
    """How an object is cut into records."""

    NONE = "None"
    LINE = "Line"
    RECORD_IO = "RecordIO"
    TF_RECORD = "TFRecord"


class BadRows(StrEnum):
    """What becomes of a record that the model turns down."""

    FAIL = "fail"
    """Its object fails, and the job with it."""
    ERRORS = "errors"
    """It goes to the object's error file with its line number; the others go on."""


class JobStatus(StrEnum):
    """SageMaker's words."""

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPING = "Stopping"
    STOPPED = "Stopped"


@dataclass(frozen=True)
class TransformInput:
    """``uri``: an object, or a prefix of many; with ``manifest`` the object that lists them."""

    uri: str
    manifest: bool = False
    content_type: str = ""
    gzip: bool = False
    split: SplitType = SplitType.NONE


@dataclass(frozen=True)
class TransformOutput:
    """``uri``: the prefix that outputs lie under. ``by_line``: each answer ends with the end of a line."""

    uri: str
    accept: str = ""
    by_line: bool = False


@dataclass(frozen=True)
class DataProcessing:
    """JSONPath before the model and after it; ``join``: each answer is put behind its record."""

    input_filter: str = "$"
    output_filter: str = "$"
    join: bool = False

    @property
    def plain(self) -> bool:
        """Nothing is looked into."""
        return self == DataProcessing()


@dataclass(frozen=True)
class RequestLimits:
    """None: what the container itself asks for, else the platform's own."""

    single: bool | None = None
    """One record per request."""
    megabytes: int | None = None
    """Of one request, at most (MiB)."""
    concurrency: int | None = None
    """Requests at one time to each instance."""
    timeout: float = 600.0
    """Seconds for one request."""
    retries: int = 3
    deadline: float | None = None
    """Seconds that the job may take from its start, or from where it was resumed. None: as long as it goes on, and an
    hour of trouble with the storage or the disk at one time."""


@dataclass(frozen=True)
class TransformProgress:
    """What a job has done. ``bytes_*`` are of the input as it is stored."""

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
    """``model`` is a copy: deleting it later changes nothing."""

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
    """How it ended; None while it goes on."""
    reason: str = ""
    """Why it failed."""
    progress: TransformProgress = field(default_factory=TransformProgress)
    """As it was when the job ended last."""
    resumed: int = 0
    """How often it was taken up again after it had failed or was stopped."""
    resumed_at: datetime | None = None
    wire: dict[str, object] = field(default_factory=dict)
    """Members of CreateTransformJob that nothing here uses, kept so that Describe echoes them."""

    @property
    def status(self) -> JobStatus:
        if self.outcome is not None:
            return self.outcome
        return JobStatus.STOPPING if self.stopping else JobStatus.IN_PROGRESS


def eta(progress: TransformProgress, seconds: float, before: int = 0) -> float | None:
    """Seconds until the end at the pace of the ``seconds`` so far; None where nothing tells. ``before``: bytes that
    were done when they began."""
    done = progress.bytes_done - before
    if done <= 0 or seconds <= 0:
        return None
    return seconds * max(0, progress.bytes_total - progress.bytes_done) / done
