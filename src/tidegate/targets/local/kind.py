"""The target ``local`` in the registry."""

from tidegate.targets.kind import TargetKind
from tidegate.targets.local.artifact_archive import open_archive
from tidegate.targets.local.provider import provide_local

KIND = TargetKind(provide_local, archive=open_archive)
