"""The targets there are: one line for each, and one more for what they keep."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tidegate.ports.artifacts import ArtifactArchive
from tidegate.ports.target import Provider
from tidegate.targets.context import TargetContext
from tidegate.targets.local.artifact_archive import open_archive
from tidegate.targets.local.provider import provide_local

PROVIDERS: Mapping[str, Callable[[TargetContext], Provider]] = {
    "local": provide_local,
}
ARCHIVES: Mapping[str, Callable[[Path], ArtifactArchive]] = {
    "local": open_archive,
}
"""Kept model data by state folder, for backups: without a target that runs."""
DEFAULT = "local"
