"""How members of these operations are treated that are not served."""

from tidegate.features.packages import operations
from tidegate.wire.member_notes import S3_SOURCE, OperationNotes, below_parents, note

_PACKAGED = note(
    ignored=(
        "ImageDigest",
        "ModelInput",
        "Framework",
        "FrameworkVersion",
        "NearestModelName",
        "ModelDataETag",
        "IsCheckpoint",
        "BaseModel",
        "AdditionalModelDataSources",
        "AdditionalS3DataSource",
        "ProductId",
        *(f"{S3_SOURCE}.{name}" for name in ("ModelAccessConfig", "ETag", "ManifestEtag", "ManifestS3Uri")),
        f"{S3_SOURCE}.HubAccessConfig",
    )
)
"""Members of a package's container. Some of them are refused when a model is created from it."""
_SPECIFICATION = note(
    ignored=(
        "SupportedTransformInstanceTypes",
        "SupportedRealtimeInferenceInstanceTypes",
        "SupportedContentTypes",
        "SupportedResponseMIMETypes",
    )
) | below_parents(("Containers",), _PACKAGED)
_ADDITIONAL = _SPECIFICATION | note(ignored=("Description",))
_KEPT_OF_PACKAGES = tuple(
    name for name in operations.KEPT_MEMBERS if name not in (operations.SPECIFICATION, operations.ADDITIONAL)
)
_CHANGED_OF_PACKAGES = tuple(name for name in operations.CHANGEABLE_MEMBERS if name != operations.SPECIFICATION)

NOTES: OperationNotes = {
    ("sagemaker", "CreateModelPackageGroup"): note(refused=("ManagedConfiguration",)),
    ("sagemaker", "ListModelPackageGroups"): note(refused=("CrossAccountFilterOption",)),
    ("sagemaker", "CreateModelPackage"): note(ignored=_KEPT_OF_PACKAGES, refused=operations.REFUSED)
    | below_parents((operations.SPECIFICATION,), _SPECIFICATION)
    | below_parents((operations.ADDITIONAL,), _ADDITIONAL),
    ("sagemaker", "DescribeModelPackage"): note(ignored=("IncludedData",)),
    ("sagemaker", "UpdateModelPackage"): note(ignored=(*_CHANGED_OF_PACKAGES, "ClientToken"))
    | below_parents((operations.SPECIFICATION,), _SPECIFICATION)
    | below_parents((f"{operations.ADDITIONAL}ToAdd",), _ADDITIONAL),
}
