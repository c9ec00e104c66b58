"""CreateModel for each model of a deployment."""

from collections.abc import Mapping

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.registry import MULTI_MODEL, ContainerDefinition, Model, Protocol, Upstream
from tidegate.targets.sagemaker import limits, model_data
from tidegate.targets.sagemaker.calls import Findings, LocalData, Params, SagemakerCall, Upload
from tidegate.targets.sagemaker.images import resolve_image
from tidegate.targets.sagemaker.limits import content_name
from tidegate.targets.sagemaker.options import SagemakerOptions


def compile_models(
    wish: DesiredDeployment,
    local: Mapping[str, LocalData],
    options: SagemakerOptions,
    types: Mapping[str, str],
    found: Findings,
) -> tuple[dict[str, SagemakerCall], tuple[Upload, ...]]:
    """Name of a model in the spec -> its call, whose ``ModelName`` is the name at AWS. ``types``: instance type by
    name in the spec."""
    calls: dict[str, SagemakerCall] = {}
    uploads: dict[str, Upload] = {}
    for model in wish.models:
        params, needed = _params(wish.endpoint, model, local, options, types.get(model.name, ""), found)
        name = content_name(wish.endpoint, params)
        calls[model.name] = SagemakerCall(
            "sagemaker",
            "CreateModel",
            {"ModelName": name, **params},
            "the image with its model data; the name has the content's digest",
        )
        uploads |= {each.key: each for each in needed}
    return calls, tuple(uploads.values())


def _params(
    endpoint: str,
    model: Model,
    local: Mapping[str, LocalData],
    options: SagemakerOptions,
    instance_type: str,
    found: Findings,
) -> tuple[Params, list[Upload]]:
    containers, uploads = [], []
    for container in model.containers:
        members, upload = _container(endpoint, container, local, options, instance_type, found)
        containers.append(members)
        uploads += [] if upload is None else [upload]
    if len(containers) > limits.CONTAINERS:
        found.refuse(
            f"model {model.name}: {len(containers)} containers, SageMaker has at most {limits.CONTAINERS}"
        )
    params: Params = {"ExecutionRoleArn": options.role_arn}
    if model.single:
        params["PrimaryContainer"] = containers[0]
    else:
        params["Containers"] = containers
        params["InferenceExecutionConfig"] = {"Mode": model.execution_mode}
    if options.subnets:
        params["VpcConfig"] = {
            "Subnets": list(options.subnets),
            "SecurityGroupIds": list(options.security_groups),
        }
        found.note(
            "in a VPC: the subnets need a route to S3 (a gateway endpoint) and to ECR, and twice the addresses while"
            " a blue/green update runs"
        )
    return params, uploads


def _container(
    endpoint: str,
    container: ContainerDefinition,
    local: Mapping[str, LocalData],
    options: SagemakerOptions,
    instance_type: str,
    found: Findings,
) -> tuple[Params, Upload | None]:
    data, upload = model_data.place(endpoint, container, local, options, found)
    if container.upstream is not None:
        _check_contract(container.image, container.upstream, found)
    members: Params = {"Image": resolve_image(container.image, instance_type, options, found), **data}
    _check_environment(container, found)
    if container.environment:
        members["Environment"] = dict(container.environment)
    if container.hostname:
        members["ContainerHostname"] = container.hostname
    if container.mode == MULTI_MODEL:
        members["Mode"] = MULTI_MODEL
        members["MultiModelConfig"] = {"ModelCacheSetting": "Enabled" if container.cache else "Disabled"}
    return members, upload


def _check_contract(image: str, upstream: Upstream, found: Findings) -> None:
    """Refuse what SageMaker does not ask of containers: it starts them with ``serve``, and calls ``/ping`` and
    ``/invocations`` on port 8080."""
    if upstream.url:
        found.refuse("a model with url is a service that runs already: SageMaker runs containers, and fronts none")
        return
    for key, usual in (("port", 8080), ("health", "/ping"), ("predict", "/invocations"), ("arguments", ())):
        given = getattr(upstream, key)
        if given and given != usual:
            found.refuse(
                f"container {image}: {key} is {given!r}, and SageMaker starts a container with 'serve' and calls"
                " /ping and /invocations on port 8080: change the image, or take another target"
            )
    if upstream.headers or upstream.protocol is not Protocol.SAGEMAKER:
        found.refuse(
            f"container {image}: headers and protocol are tidegate's front's, which SageMaker does not have"
        )


def _check_environment(container: ContainerDefinition, found: Findings) -> None:
    if len(container.environment) > limits.ENVIRONMENT_VARIABLES:
        found.refuse(
            f"image {container.image}: {len(container.environment)} environment variables, SageMaker has at most"
            f" {limits.ENVIRONMENT_VARIABLES}"
        )
    for name, value in container.environment.items():
        if max(len(name), len(value)) > limits.ENVIRONMENT_TEXT:
            found.refuse(f"environment variable {name[:40]}: longer than {limits.ENVIRONMENT_TEXT} characters")
