"""Changes of model packages as events."""

from tidegate.features.packages.records import PACKAGE, Package
from tidegate.service.state_events import Detail, EventShape, to_milliseconds


def _package(package: Package) -> Detail:
    return {
        "ModelPackageName": package.group or package.name,
        "ModelPackageGroupName": package.group,
        "ModelPackageVersion": package.version,
        "ModelPackageStatus": "Completed",
        "ModelApprovalStatus": package.approval,
        "ApprovalDescription": package.approval_note,
        "CreationTime": to_milliseconds(package.created_at),
        "LastModifiedTime": to_milliseconds(package.modified_at),
    }


SHAPES = (
    EventShape(
        PACKAGE,
        "Model Package",
        "ModelPackage",
        lambda p: f"model-package/{p.resource}",
        lambda p: p.approval or "",
        _package,
    ),
)
