"""Processing jobs: those that make a baseline of a data set, which the platform does itself."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tidegate.features.monitor.model_quality import QualityTerms


class ProcessingStatus(StrEnum):
    """SageMaker's words."""

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPING = "Stopping"
    STOPPED = "Stopped"


@dataclass(frozen=True)
class DatasetFormat:
    """``csv``: otherwise it is JSON. ``header``: the first line of a CSV file names the columns; ``lines``: each line
    is an object of JSON, otherwise the file is a list of them."""

    csv: bool = True
    header: bool = True
    lines: bool = True


@dataclass(frozen=True)
class BaselineJob:
    """``source``: address of a file or a folder, or the prefix of keys; ``output``: address of the folder of
    statistics.json and constraints.json; ``quality``: what is compared with labels; None: a baseline of columns.
    ``drift_method``: SageMaker's word for how categories are compared, which the constraints repeat."""

    source: str
    format: DatasetFormat
    output: str
    kms_key: str = ""
    quality: QualityTerms | None = None
    drift_method: str = ""


@dataclass(frozen=True)
class ProcessingJob:
    """``longest``: seconds that it may take; ``reason``: why it failed; ``rows``: that the baseline was made of."""

    name: str
    work: BaselineJob
    created_at: datetime
    longest: int
    wire: dict[str, object] = field(default_factory=dict)
    """Members of CreateProcessingJob that Describe echoes."""
    status: ProcessingStatus = ProcessingStatus.IN_PROGRESS
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""
    rows: int = 0

    @property
    def ended(self) -> bool:
        return self.ended_at is not None


@dataclass(frozen=True)
class StorageAccess:
    """How what users name is read and written. ``file_roots``: folders in which inputs that are files may be, None:
    any; ``output_roots``: outputs."""

    s3_endpoint: str = ""
    region: str = ""
    file_roots: tuple[str, ...] | None = None
    output_roots: tuple[str, ...] = ()

    @property
    def s3(self) -> tuple[str, str]:
        return self.s3_endpoint, self.region


@dataclass(frozen=True)
class BaselineTask:
    work: BaselineJob
    access: StorageAccess


@dataclass(frozen=True)
class BaselineOutcome:
    """``reason``: why there is none; empty: both files are written."""

    rows: int = 0
    reason: str = ""
