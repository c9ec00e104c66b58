"""The records that packages keeps."""

from typing import Any

from tidegate.features.packages.records import Package, PackageGroup
from tidegate.ports.store import Kind

PACKAGE_GROUP = Kind("package-group", PackageGroup)
PACKAGE = Kind("package", Package)
KINDS: tuple[Kind[Any], ...] = (
    PACKAGE_GROUP,
    PACKAGE,
)
TAGGABLE: dict[str, Kind[Any]] = {"model-package-group": PACKAGE_GROUP, "model-package": PACKAGE}
"""By the type of the resource in its ARN."""
