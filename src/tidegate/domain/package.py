"""Model packages: versions of models with somebody's approval, in groups, as SageMaker's model registry has them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

Definition = dict[str, object]
"""A ModelPackageContainerDefinition of SageMaker's API."""


class Approval(StrEnum):
    APPROVED = "Approved"
    REJECTED = "Rejected"
    PENDING = "PendingManualApproval"


@dataclass(frozen=True)
class PackageGroup:
    """The versions of one model. ``last``: the highest number that was given out; none is given twice."""

    name: str
    created_at: datetime
    description: str | None = None
    by: str = ""
    last: int = 0


@dataclass(frozen=True)
class Package:
    """A version of a group, or, without ``group``, a package of its own, which needs nobody's approval.

    ``containers`` and the members of ``wire`` are as SageMaker's API gives them; without containers it cannot be
    deployed yet. ``specifications``: the containers
    of each additional inference specification, by its name."""

    name: str
    created_at: datetime
    modified_at: datetime
    containers: tuple[Definition, ...]
    group: str | None = None
    version: int | None = None
    approval: Approval | None = None
    approval_note: str | None = None
    by: str = ""
    modified_by: str = ""
    token: str | None = None
    """The client's own mark of the call that made it."""
    specifications: dict[str, tuple[Definition, ...]] = field(default_factory=dict)
    wire: dict[str, object] = field(default_factory=dict)

    @property
    def resource(self) -> str:
        """What its ARN ends in."""
        return self.name if self.group is None else f"{self.group}/{self.version}"

    @property
    def deployable(self) -> bool:
        return self.group is None or self.approval is Approval.APPROVED


def record_name(resource: str) -> str:
    """The name of the record behind the end of an ARN: versions sort by their numbers."""
    group, slash, version = resource.partition("/")
    return f"{group}/{int(version):09d}" if slash and version.isascii() and version.isdigit() else resource


def resource_name(record: str) -> str:
    """The end of an ARN, of the name of a record."""
    group, slash, version = record.partition("/")
    return f"{group}/{int(version)}" if slash and version.isascii() and version.isdigit() else record
