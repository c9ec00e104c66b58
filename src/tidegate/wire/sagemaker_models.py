"""SageMaker's operations on models."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tidegate.domain.access import Access
from tidegate.domain.errors import ArtifactError, Invalid, MissingArtifact
from tidegate.domain.registry import MULTI_MODEL, SINGLE_MODEL, ContainerDefinition, Model
from tidegate.host.features import features
from tidegate.service import models as use
from tidegate.spec.placeholders import describe_placeholder, has_impossible_bucket
from tidegate.wire.listing import parse_listing, show_page
from tidegate.wire.operation import OperationCall, Operations, Params, TxCall, TxOperation, refuse_unsupported
from tidegate.wire.sagemaker_tags import parse_tags

MAX_ENVIRONMENT = 32 * 1024
"""Maximum bytes of all environments of a model together."""

REFUSED = ("AdditionalModelDataSources",)
_OF_PACKAGES = ("AdditionalS3DataSource", "ProductId")
"""Refused members that occur only in containers of packages."""
_USED = ("Image", "ModelDataUrl", "Environment", "ContainerHostname", "Mode")
_PACKAGED = ("ModelPackageName", "InferenceSpecificationName")


def create_model(call: TxCall, params: Params) -> Params:
    model = Model(
        params["ModelName"],
        _resolve_containers(call, params),
        call.now,
        execution_mode=params.get("InferenceExecutionConfig", {}).get("Mode", "Serial"),
        single="PrimaryContainer" in params,
        execution_role=params.get("ExecutionRoleArn"),
        network_isolation=params.get("EnableNetworkIsolation", False),
        wire={name: params[name] for name in ("VpcConfig", "InferenceExecutionConfig") if name in params},
    )
    use.create_model(call.tx, model, parse_tags(params), runnable=call.ctx.runnable, now=call.now)
    return {"ModelArn": arn(call, model.name)}


async def prepare_model(call: OperationCall, params: Params) -> dict[str, str]:
    """Check the model data, and return the images that have a digest by now, by the name that they were given."""
    given = [_parse_container(each) for each in _parse_definitions(params) if "ModelPackageName" not in each]
    await _check_data(call, given)
    pinned = {container.image: await call.ctx.pin_image(container) for container in given}
    return {name: image for name, image in pinned.items() if name != image}


async def _check_data(call: OperationCall, given: Sequence[ContainerDefinition]) -> None:
    """Fail the call if model data is missing, as SageMaker does. A multi-model prefix is only checked for a bucket
    that cannot exist, since models come and go below it; model data of a package is not checked, since it was
    approved."""
    for container in given:
        if container.data_url is None:
            continue
        if has_impossible_bucket(container.data_url):
            reason = describe_placeholder(container.data_url)
            raise Invalid(f"Could not access model data at {container.data_url}: {reason}.")
        if container.mode == MULTI_MODEL:
            continue
        try:
            await call.ctx.check_data(container.data_url)
        except MissingArtifact:
            raise Invalid(f"Could not find model data at {container.data_url}.") from None
        except ArtifactError as error:
            raise Invalid(f"Could not access model data at {container.data_url}: {error}.") from None


def _resolve_containers(call: TxCall, params: Params) -> tuple[ContainerDefinition, ...]:
    return tuple(container for each in _parse_definitions(params) for container in _resolve_definition(call, each))


def _parse_definitions(params: Params) -> list[Params]:
    """The containers as given in the request."""
    if ("PrimaryContainer" in params) == bool(params.get("Containers")):
        raise Invalid("Give either PrimaryContainer or Containers")
    if "PrimaryContainer" in params and "InferenceExecutionConfig" in params:
        raise Invalid("InferenceExecutionConfig requires Containers instead of PrimaryContainer")
    given = [params["PrimaryContainer"]] if "PrimaryContainer" in params else params["Containers"]
    size = sum(len(f"{k}{v}".encode()) for each in given for k, v in each.get("Environment", {}).items())
    if size > MAX_ENVIRONMENT:
        raise Invalid(f"Environment has {size} bytes over all containers; the limit is {MAX_ENVIRONMENT}")
    return given


def _resolve_definition(call: TxCall, given: Params) -> list[ContainerDefinition]:
    """The given container, or those of the named model package."""
    if "ModelPackageName" not in given:
        refuse_unsupported(given, ("InferenceSpecificationName",))
        return [_with_pinned_image(_parse_container(given), call.found or {})]
    for name in ("Image", "ModelDataUrl", "ModelDataSource"):
        if name in given:
            raise Invalid(f"ModelPackageName and {name} exclude each other: give one of them")
    name, containers = features().require_hook("package_containers", "ModelPackageName")(call, given)
    own = {key: given[key] for key in _PACKAGED if key in given}
    found = []
    for each in containers:
        refuse_unsupported(each, _OF_PACKAGES)
        merged = {**each, "Environment": {**each.get("Environment", {}), **given.get("Environment", {})}}
        if "ContainerHostname" in given:
            merged["ContainerHostname"] = given["ContainerHostname"]
        found.append(replace(_parse_container(merged), wire=own, package=name))
    return found


def _with_pinned_image(container: ContainerDefinition, pinned: Mapping[str, str]) -> ContainerDefinition:
    """The container with the digest of its image. The name that it was given is kept for Describe."""
    name = container.image
    if name not in pinned:
        return container
    return replace(container, image=pinned[name], wire={**container.wire, "Image": name})


def _parse_container(given: Params) -> ContainerDefinition:
    refuse_unsupported(given, REFUSED)
    if "Image" not in given:
        raise Invalid("A container needs an Image")
    mode, many = given.get("Mode", SINGLE_MODEL), given.get("MultiModelConfig", {})
    if many and mode != MULTI_MODEL:
        raise Invalid(f"MultiModelConfig requires Mode {MULTI_MODEL}, not {mode}")
    return ContainerDefinition(
        given["Image"],
        _parse_data_url(given),
        given.get("Environment", {}),
        hostname=given.get("ContainerHostname"),
        mode=mode,
        cache=many.get("ModelCacheSetting") != "Disabled",
        wire={name: value for name, value in given.items() if name not in _USED},
    )


def _parse_data_url(given: Params) -> str | None:
    source = given.get("ModelDataSource", {}).get("S3DataSource")
    if source is None:
        return given.get("ModelDataUrl")
    if "ModelDataUrl" in given:
        raise Invalid("ModelDataUrl and ModelDataSource exclude each other: give one of them")
    refuse_unsupported(source, ("ManifestS3Uri", "HubAccessConfig"))
    uri: str = source["S3Uri"]
    if (source["S3DataType"] == "S3Prefix") != uri.endswith("/"):
        raise Invalid(f"S3Uri '{uri}' must end in / for S3Prefix, and must not for S3Object")
    if (source["CompressionType"] == "Gzip") != uri.endswith((".tar.gz", ".tgz")):
        raise Invalid(f"S3Uri '{uri}' must name a .tar.gz for CompressionType Gzip, and anything else for None")
    return uri


def describe_model(call: TxCall, params: Params) -> Params:
    model = use.get_model(call.tx, params["ModelName"]).body
    shown = [_render_container(container) for container in model.containers]
    return {
        "ModelName": model.name,
        "ModelArn": arn(call, model.name),
        "PrimaryContainer": shown[0] if model.single else None,
        "Containers": None if model.single else shown,
        "ExecutionRoleArn": model.execution_role,
        "EnableNetworkIsolation": model.network_isolation,
        "CreationTime": model.created_at,
        **model.wire,
    }


def _render_container(container: ContainerDefinition) -> Params:
    packaged = container.package is not None
    return {
        "Image": None if packaged else container.image,
        "Mode": container.mode,
        "ModelDataUrl": None if packaged or "ModelDataSource" in container.wire else container.data_url,
        "Environment": container.environment or None,
        "ContainerHostname": container.hostname,
        **container.wire,
    }


def list_models(call: TxCall, params: Params) -> Params:
    wanted = parse_listing(params)
    page = use.list_models(call.tx, wanted.where, wanted.limit, wanted.after)
    entries = [
        {"ModelName": saved.name, "ModelArn": arn(call, saved.name), "CreationTime": saved.created_at}
        for saved in show_page(page, wanted.where)
    ]
    return {"Models": entries, "NextToken": page.next}


def delete_model(call: TxCall, params: Params) -> None:
    use.delete_model(call.tx, params["ModelName"], call.now)


def arn(call: TxCall, name: str) -> str:
    return call.arn(f"model/{name}")


OPERATIONS: Operations = {
    "CreateModel": TxOperation(create_model, Access.CHANGE, before=prepare_model),
    "DescribeModel": TxOperation(describe_model, Access.READ),
    "ListModels": TxOperation(list_models, Access.READ),
    "DeleteModel": TxOperation(delete_model, Access.CHANGE),
}
