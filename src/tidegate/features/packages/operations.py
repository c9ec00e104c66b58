"""SageMaker's operations on model packages and their groups."""

import re
from dataclasses import replace
from typing import Any

from tidegate.domain.access import Access
from tidegate.domain.arns import record_name
from tidegate.domain.errors import Invalid
from tidegate.features.packages import service as use
from tidegate.features.packages.records import Definition, Package, PackageApproval, PackageGroup
from tidegate.ports.store import StoredRecord
from tidegate.wire.listing import parse_listing, take_page
from tidegate.wire.member_notes import S3_SOURCE, OperationNotes, below_parents, note
from tidegate.wire.operation import Operations, Params, TxCall, TxOperation, refuse_unsupported
from tidegate.wire.sagemaker_tags import parse_tags

_ARN = re.compile(r"arn:aws[a-z-]*:sagemaker:([^:]*):([^:]*):(model-package|model-package-group)/(.+)")
REFUSED = ("SourceAlgorithmSpecification", "ValidationSpecification")
SPECIFICATION = "InferenceSpecification"
ADDITIONAL = "AdditionalInferenceSpecifications"
KEPT_MEMBERS = (
    "ModelPackageDescription",
    "ModelPackageRegistrationType",
    "CertifyForMarketplace",
    "MetadataProperties",
    "ModelMetrics",
    "Domain",
    "Task",
    "SamplePayloadUrl",
    "CustomerMetadataProperties",
    "DriftCheckBaselines",
    "SkipModelValidation",
    "SourceUri",
    "SecurityConfig",
    "ModelCard",
    "ModelLifeCycle",
    "ManagedStorageType",
    SPECIFICATION,
    ADDITIONAL,
)
"""Unused members, stored so that Describe can echo them."""
BOTH_NAMES = (
    "Both ModelPackageName and ModelPackageGroupName are provided in the input. Cannot determine which one to use."
)
NO_NAME = "Missing ARN. Give ModelPackageName or ModelPackageGroupName."
NO_GROUP = "Model Package Group does not exist."
"""AWS's message. Clients compare it, create the group and try again."""
CHANGEABLE_MEMBERS = ("ModelPackageRegistrationType", "SourceUri", "ModelCard", "ModelLifeCycle", SPECIFICATION)
"""Members that UpdateModelPackage replaces."""


DEFAULT_ORDER = "Ascending"
"""Default order of listings, unlike those of models and endpoints."""


def create_group(call: TxCall, params: Params) -> Params:
    refuse_unsupported(params, ("ManagedConfiguration",))
    name: str = params["ModelPackageGroupName"]
    group = PackageGroup(name, call.now, params.get("ModelPackageGroupDescription"), call.caller)
    use.create_group(call.tx, group, parse_tags(params), call.now)
    return {"ModelPackageGroupArn": _group_arn(call, name)}


def describe_group(call: TxCall, params: Params) -> Params:
    group = use.get_group(call.tx, _parse_group_name(call, params)).body
    return {**_render_group(call, group), "CreatedBy": _render_user(group.by)}


def _render_group(call: TxCall, group: PackageGroup) -> Params:
    return {
        "ModelPackageGroupName": group.name,
        "ModelPackageGroupArn": _group_arn(call, group.name),
        "ModelPackageGroupDescription": group.description,
        "CreationTime": group.created_at,
        "ModelPackageGroupStatus": "Completed",
    }


def list_groups(call: TxCall, params: Params) -> Params:
    refuse_unsupported(params, ("CrossAccountFilterOption",))
    wanted = parse_listing(params, DEFAULT_ORDER)
    page = use.list_groups(call.tx, wanted.where, wanted.limit, wanted.after)
    return {
        "ModelPackageGroupSummaryList": [_render_group(call, saved.body) for saved in page.items],
        "NextToken": page.next,
    }


def delete_group(call: TxCall, params: Params) -> None:
    use.delete_group(call.tx, _parse_group_name(call, params), call.now)


def create_package(call: TxCall, params: Params) -> Params:
    refuse_unsupported(params, REFUSED)
    name, group = params.get("ModelPackageName"), params.get("ModelPackageGroupName")
    if name is not None and group is not None:
        raise Invalid(BOTH_NAMES)
    if name is None and group is None:
        raise Invalid(NO_NAME)
    group = None if group is None else _strip_arn(call, group, "model-package-group")
    if group is not None and not use.has_group(call.tx, group):
        raise Invalid(NO_GROUP)
    approval = params.get("ModelApprovalStatus")
    package = Package(
        name or "",
        call.now,
        call.now,
        tuple(params.get(SPECIFICATION, {}).get("Containers", ())),
        group=group,
        approval=None if approval is None else PackageApproval(approval),
        by=call.caller,
        token=params.get("ClientToken"),
        specifications=_parse_additional(params.get(ADDITIONAL, [])),
        wire={member: params[member] for member in KEPT_MEMBERS if member in params},
    )
    made = use.register(call.tx, package, parse_tags(params), call.now)
    return {"ModelPackageArn": arn(call, made)}


def _parse_additional(additional: list[Params]) -> dict[str, tuple[Definition, ...]]:
    found = {each["Name"]: tuple(each["Containers"]) for each in additional}
    if len(found) < len(additional):
        raise Invalid(f"{ADDITIONAL}: give each Name once")
    return found


def describe_package(call: TxCall, params: Params) -> Params:
    package = use.get(call.tx, _find_record_name(call, params["ModelPackageName"])).body
    return {
        **_render_summary(call, package),
        "ModelPackageName": package.group or package.name,
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        "CreatedBy": _render_user(package.by),
        "LastModifiedTime": package.modified_at,
        "LastModifiedBy": _render_user(package.modified_by),
        "ApprovalDescription": package.approval_note,
        "CertifyForMarketplace": False,
        **package.wire,
    }


def _render_summary(call: TxCall, package: Package) -> Params:
    return {
        "ModelPackageName": package.name if package.group is None else None,
        "ModelPackageGroupName": package.group,
        "ModelPackageVersion": package.version,
        "ModelPackageArn": arn(call, package),
        "ModelPackageDescription": package.wire.get("ModelPackageDescription"),
        "CreationTime": package.created_at,
        "ModelPackageStatus": "Completed",
        "ModelApprovalStatus": package.approval,
    }


def list_packages(call: TxCall, params: Params) -> Params:
    group = params.get("ModelPackageGroupName")
    where = parse_listing(params, DEFAULT_ORDER).where
    if group is not None:
        where = replace(where, name_prefix=f"{use.get_group(call.tx, _parse_group_name(call, params)).name}/")
    kind = params.get("ModelPackageType", "Versioned" if group is not None else "Unversioned")
    approval = params.get("ModelApprovalStatus")
    kept = None if approval is None else [PackageApproval(approval)]
    found: list[StoredRecord[Package]] = use.find(
        call.tx, where, kept, {"Both": None}.get(kind, kind == "Versioned")
    )
    shown, token = take_page(found, params)
    return {"ModelPackageSummaryList": [_render_summary(call, saved.body) for saved in shown], "NextToken": token}


def update_package(call: TxCall, params: Params) -> Params:
    saved = use.get(call.tx, _find_record_name(call, params["ModelPackageArn"]))
    package = saved.body
    wire: dict[str, Any] = {
        **package.wire,
        **{member: params[member] for member in CHANGEABLE_MEMBERS if member in params},
    }
    properties: dict[str, Any] = dict(wire.get("CustomerMetadataProperties", {}))
    properties.update(params.get("CustomerMetadataProperties", {}))
    for key in params.get("CustomerMetadataPropertiesToRemove", []):
        properties.pop(key, None)
    if properties or "CustomerMetadataProperties" in wire:
        wire["CustomerMetadataProperties"] = properties
    added = params.get("AdditionalInferenceSpecificationsToAdd", [])
    if added:
        additional = [*wire.get(ADDITIONAL, []), *added]
        package = replace(package, specifications=_parse_additional(additional))
        wire[ADDITIONAL] = additional
    if SPECIFICATION in params:
        package = replace(package, containers=tuple(params[SPECIFICATION]["Containers"]))
    approval = params.get("ModelApprovalStatus")
    after = replace(
        package,
        approval=package.approval if approval is None else PackageApproval(approval),
        approval_note=params.get("ApprovalDescription", package.approval_note),
        wire=wire,
    )
    use.update(call.tx, saved, after, call.caller, call.now)
    return {"ModelPackageArn": arn(call, package)}


def delete_package(call: TxCall, params: Params) -> None:
    use.delete(call.tx, _find_record_name(call, params["ModelPackageName"]), call.now)


def _find_record_name(call: TxCall, name: str) -> str:
    """The record's name, from a package's name or ARN."""
    return record_name(_strip_arn(call, name, "model-package"))


def find_containers(call: TxCall, given: Params) -> tuple[str, tuple[Params, ...]]:
    """The record's name and the containers of the package that a container definition names. Raises NotFound, and
    Invalid for a package that is not approved or has no such containers."""
    name = _find_record_name(call, given["ModelPackageName"])
    package = use.require_deployable(call.tx, name)
    chosen = given.get("InferenceSpecificationName")
    containers: tuple[Params, ...] = package.containers
    if chosen is not None:
        if chosen not in package.specifications:
            raise Invalid(f"model package {package.resource} has no InferenceSpecification '{chosen}'")
        containers = package.specifications[chosen]
    if not containers:
        raise Invalid(
            f"model package {package.resource} has no InferenceSpecification and therefore no containers: add one"
            " with UpdateModelPackage"
        )
    return name, containers


def _parse_group_name(call: TxCall, params: Params) -> str:
    return _strip_arn(call, params["ModelPackageGroupName"], "model-package-group")


def _strip_arn(call: TxCall, name: str, kind: str) -> str:
    """The part of an ARN of this server after the kind, or the name itself."""
    if not name.startswith("arn:"):
        return name
    match = _ARN.fullmatch(name)
    if match is None or match[3] != kind or (match[1], match[2]) != (call.ctx.region, call.ctx.account):
        raise Invalid(f'"{name}" does not belong to this server, whose ARNs begin with {call.arn(kind + "/")}')
    return match[4]


def _render_user(key: str) -> Params:
    return {"UserProfileName": key} if key else {}


def arn(call: TxCall, package: Package) -> str:
    return call.arn(f"model-package/{package.resource}")


def _group_arn(call: TxCall, name: str) -> str:
    return call.arn(f"model-package-group/{name}")


OPERATIONS: Operations = {
    "CreateModelPackageGroup": TxOperation(create_group, Access.CHANGE),
    "DescribeModelPackageGroup": TxOperation(describe_group, Access.READ),
    "ListModelPackageGroups": TxOperation(list_groups, Access.READ),
    "DeleteModelPackageGroup": TxOperation(delete_group, Access.CHANGE),
    "CreateModelPackage": TxOperation(create_package, Access.CHANGE),
    "DescribeModelPackage": TxOperation(describe_package, Access.READ),
    "ListModelPackages": TxOperation(list_packages, Access.READ),
    "UpdateModelPackage": TxOperation(update_package, Access.CHANGE),
    "DeleteModelPackage": TxOperation(delete_package, Access.CHANGE),
}


# --- how members of these operations are treated that are not served ---


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
_KEPT_OF_PACKAGES = tuple(name for name in KEPT_MEMBERS if name not in (SPECIFICATION, ADDITIONAL))
_CHANGED_OF_PACKAGES = tuple(name for name in CHANGEABLE_MEMBERS if name != SPECIFICATION)

NOTES: OperationNotes = {
    ("sagemaker", "CreateModelPackageGroup"): note(refused=("ManagedConfiguration",)),
    ("sagemaker", "ListModelPackageGroups"): note(refused=("CrossAccountFilterOption",)),
    ("sagemaker", "CreateModelPackage"): note(ignored=_KEPT_OF_PACKAGES, refused=REFUSED)
    | below_parents((SPECIFICATION,), _SPECIFICATION)
    | below_parents((ADDITIONAL,), _ADDITIONAL),
    ("sagemaker", "DescribeModelPackage"): note(ignored=("IncludedData",)),
    ("sagemaker", "UpdateModelPackage"): note(ignored=(*_CHANGED_OF_PACKAGES, "ClientToken"))
    | below_parents((SPECIFICATION,), _SPECIFICATION)
    | below_parents((f"{ADDITIONAL}ToAdd",), _ADDITIONAL),
}
