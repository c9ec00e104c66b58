"""Model packages: versions of a model in a group, with an approval status, as in SageMaker's model registry."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from tidegate.ports.store import Kind

DATA_DIGEST = "data_digest"
"""The customer metadata property of a package that has the digest of the training data."""
Definition = dict[str, object]
"""A ModelPackageContainerDefinition of SageMaker's API."""


class PackageApproval(StrEnum):
    APPROVED = "Approved"
    REJECTED = "Rejected"
    PENDING = "PendingManualApproval"


@dataclass(frozen=True)
class PackageGroup:
    """The versions of one model. ``last`` is the highest version number assigned; none is reused."""

    name: str
    created_at: datetime
    description: str | None = None
    by: str = ""
    last: int = 0


@dataclass(frozen=True)
class Package:
    """A version in a group, or, without ``group``, an unversioned package, which needs no approval.

    ``containers`` and ``wire`` hold members of SageMaker's API unchanged; a package without containers cannot be
    deployed yet. ``specifications``: name of each additional inference specification -> its containers."""

    name: str
    created_at: datetime
    modified_at: datetime
    containers: tuple[Definition, ...]
    group: str | None = None
    version: int | None = None
    approval: PackageApproval | None = None
    approval_note: str | None = None
    by: str = ""
    modified_by: str = ""
    token: str | None = None
    """Client token of the call that created it."""
    specifications: dict[str, tuple[Definition, ...]] = field(default_factory=dict)
    wire: dict[str, object] = field(default_factory=dict)

    @property
    def resource(self) -> str:
        """Resource part of its ARN."""
        return self.name if self.group is None else f"{self.group}/{self.version}"

    @property
    def deployable(self) -> bool:
        return self.group is None or self.approval is PackageApproval.APPROVED


# --- the records that packages keeps ---


PACKAGE_GROUP = Kind("package-group", PackageGroup)
PACKAGE = Kind("package", Package)
KINDS: tuple[Kind[Any], ...] = (
    PACKAGE_GROUP,
    PACKAGE,
)
TAGGABLE: dict[str, Kind[Any]] = {"model-package-group": PACKAGE_GROUP, "model-package": PACKAGE}
"""By the type of the resource in its ARN."""
