"""A fleet's task definition and service, as members of ECS's calls. Pure.

Fargate mounts no files, so the worker's start file is a variable that the container writes to a file first. The image
is the same as on Kubernetes; with ``raw_errors`` a model's own status reaches the load balancer, which counts it.
"""

import json
from collections.abc import Mapping

import msgspec

from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.registry import ContainerDefinition, Upstream
from tidegate.serving.contract import images
from tidegate.serving.contract.beside import (
    FRONT_PORT,
    container_arguments,
    container_environment,
    put_beside,
)
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.images import ImageTable, containers_beside
from tidegate.settings import Settings
from tidegate.targets.aws.ownership import tag_list
from tidegate.targets.containers import check_without_router, granted_environment
from tidegate.targets.ecs.options import CONTAINER, PORT, EcsOptions, service_name

_GIB = 1024
SIZES: dict[int, range] = {
    256: range(512, 2 * _GIB + 1, 512),
    512: range(1 * _GIB, 4 * _GIB + 1, _GIB),
    1024: range(2 * _GIB, 8 * _GIB + 1, _GIB),
    2048: range(4 * _GIB, 16 * _GIB + 1, _GIB),
    4096: range(8 * _GIB, 30 * _GIB + 1, _GIB),
    8192: range(16 * _GIB, 60 * _GIB + 1, 4 * _GIB),
    16384: range(32 * _GIB, 120 * _GIB + 1, 8 * _GIB),
}
"""CPU units -> MiB of memory. 256 units have 512, 1024 and 2048 MiB only."""
_SMALLEST = (512, 1024, 2048)


def fit(cpu: int, memory: int) -> tuple[int, int]:
    """The smallest size with at least so much of both. Raises TargetRefused."""
    for units, sizes in SIZES.items():
        memories = _SMALLEST if units == 256 else sizes
        enough = [size for size in memories if size >= memory]
        if units >= cpu and enough:
            return units, enough[0]
    raise TargetRefused(
        f"no size of Fargate has {cpu} CPU units and {memory} MiB: at most 16384 units and {120 * _GIB} MiB"
    )


START = "TIDEGATE_START"
TAG_NAMES = ("key", "value")
"""What ECS calls the parts of a tag."""
MOST_BYTES = 64 * 1024
"""Of a task definition (ECS's quota)."""
_COMMAND = f'printf %s "${START}" > /tmp/start.json && exec serve /tmp/start.json'
_DATA, _DATA_PARENT = "model-data", "/opt/ml"
"""A volume of the task, and where it is mounted: model data lie in ``model`` below it."""
_FETCH_COMMAND = f'printf %s "${START}" > /tmp/start.json && exec serve --fetch 1 {_DATA_PARENT} /tmp/start.json'
_MEBIBYTE = 1024 * 1024
_EARLIER = 5
"""Seconds before the load balancer gives a request up, by which a task has answered it."""


def check_fleet(fleet: FleetSpec) -> None:
    """Check that a service can be this fleet. Raises TargetRefused if it cannot."""
    variant = fleet.variant
    if variant.serverless is not None:
        raise TargetRefused("ECS keeps its tasks running: a serverless variant needs another target")
    if variant.shadow or fleet.mirror is not None:
        raise TargetRefused("a load balancer copies no requests: a shadow variant needs another target")
    if variant.asynchronous is not None:
        raise TargetRefused("an asynchronous endpoint needs the platform's queue: take another target")
    check_without_router(variant)
    for container in variant.model.containers:
        if container.data_url is not None and not container.data_url.startswith("s3://"):
            raise TargetRefused(
                f"{container.data_url}: tasks read their model data from s3:// only; upload it first"
            )


def task_definition(
    options: EcsOptions, fleet: FleetSpec, table: ImageTable, tags: Mapping[str, str], settings: Settings
) -> dict[str, object]:
    """Members of RegisterTaskDefinition. Raises Invalid or TargetRefused."""
    limit = fleet.variant.memory_limit
    cpu, memory = fit(options.cpu, -(-limit // _MEBIBYTE) if limit else options.memory)
    content = start_file(options, fleet, table, settings)
    image = next(iter(containers_beside(fleet.variant.model.containers, table)), None)
    port = serving_port(fleet, table)
    container: dict[str, object] = {
        "name": CONTAINER,
        "image": options.image,
        "essential": True,
        "command": ["sh", "-c", _COMMAND],
        "environment": [
            {"name": START, "value": content},
            {"name": "TIDEGATE_WORK", "value": "/tmp/tidegate"},
        ],
        "portMappings": [{"containerPort": port, "protocol": "tcp"}],
        "stopTimeout": 90,
        "linuxParameters": {"initProcessEnabled": True},
        "logConfiguration": _log_configuration(options, fleet),
    }
    made: dict[str, object] = {
        "family": service_name(fleet.id),
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": str(cpu),
        "memory": str(memory),
        "executionRoleArn": options.execution_role,
        "containerDefinitions": [container],
        "tags": tag_list(tags, TAG_NAMES),
    }
    if image is not None:
        made |= _members_beside(container, image, _log_configuration(options, fleet))
    if options.task_role:
        made["taskRoleArn"] = options.task_role
    if (size := len(json.dumps(made))) > MOST_BYTES:
        raise TargetRefused(
            f"the task definition has {size} bytes, and ECS takes {MOST_BYTES}: shorten the environment"
        )
    return made


def _log_configuration(options: EcsOptions, fleet: FleetSpec) -> dict[str, object]:
    return {
        "logDriver": "awslogs",
        "options": {
            "awslogs-group": options.log_group,
            "awslogs-region": options.region,
            "awslogs-stream-prefix": service_name(fleet.id),
        },
    }


def _members_beside(
    front: dict[str, object], image: ContainerDefinition, logs: dict[str, object]
) -> dict[str, object]:
    """Return the members of a task in which a container of the user's stands beside its front: it, and where it has
    model data, a container that fetches them before it starts."""
    upstream = image.upstream or Upstream()
    variables = container_environment(upstream, image.environment)
    model: dict[str, object] = {
        "name": "image",
        "image": image.image,
        "essential": True,
        "environment": [{"name": name, "value": value} for name, value in variables.items()],
        "stopTimeout": 90,
        "logConfiguration": logs,
    }
    # ECS stops containers in the reverse order: the front first, whose last requests the other one answers.
    front = {**front, "dependsOn": [{"containerName": model["name"], "condition": "START"}]}
    if arguments := container_arguments(upstream):
        model["command"] = list(arguments)
    if image.data_url is None:
        return {"containerDefinitions": [front, model]}
    fetching = {
        **{name: front[name] for name in ("image", "environment", "logConfiguration")},
        "name": "fetch",
        "essential": False,
        "command": ["sh", "-c", _FETCH_COMMAND],
        "mountPoints": [{"sourceVolume": _DATA, "containerPath": _DATA_PARENT}],
    }
    model["dependsOn"] = [{"containerName": "fetch", "condition": "SUCCESS"}]
    model["mountPoints"] = [{"sourceVolume": _DATA, "containerPath": _DATA_PARENT, "readOnly": True}]
    return {"containerDefinitions": [front, model, fetching], "volumes": [{"name": _DATA}]}


def serving_port(fleet: FleetSpec, table: ImageTable) -> int:
    """Return the port of a task for predictions: another one where a container of the user's has the usual one."""
    return FRONT_PORT if containers_beside(fleet.variant.model.containers, table) else PORT


def service(
    options: EcsOptions, fleet: FleetSpec, task: str, group: str, tags: Mapping[str, str], port: int = PORT
) -> dict[str, object]:
    """Members of CreateService. ``task``: ARN of the task definition; ``group``: of the target group; ``port``: of
    the container that takes predictions (``serving_port``)."""
    return {
        "cluster": options.cluster,
        "serviceName": service_name(fleet.id),
        "taskDefinition": task,
        "desiredCount": fleet.count,
        "launchType": "FARGATE",
        "loadBalancers": [{"targetGroupArn": group, "containerName": CONTAINER, "containerPort": port}],
        "healthCheckGracePeriodSeconds": int(fleet.variant.startup_timeout + fleet.variant.download_timeout),
        "deploymentConfiguration": {
            "deploymentCircuitBreaker": {"enable": True, "rollback": False},
            "minimumHealthyPercent": 100,
            "maximumPercent": 200,
        },
        "networkConfiguration": network(options),
        "propagateTags": "SERVICE",
        "tags": tag_list(tags, TAG_NAMES),
    }


def network(options: EcsOptions) -> dict[str, object]:
    return {
        "awsvpcConfiguration": {
            "subnets": list(options.subnets),
            "securityGroups": list(options.security_groups),
            "assignPublicIp": "ENABLED" if options.public_address else "DISABLED",
        }
    }


def target_group(options: EcsOptions, name: str, tags: Mapping[str, str]) -> dict[str, object]:
    """Members of CreateTargetGroup: tasks by address, ready when their ping is."""
    return {
        "Name": name,
        "Protocol": "HTTP",
        "Port": PORT,
        "VpcId": options.vpc,
        "TargetType": "ip",
        "HealthCheckPath": "/ping",
        "HealthCheckIntervalSeconds": 5,
        "HealthCheckTimeoutSeconds": 2,
        "HealthyThresholdCount": 2,
        "UnhealthyThresholdCount": 2,
        "Matcher": {"HttpCode": "200"},
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }


def start_file(options: EcsOptions, fleet: FleetSpec, table: ImageTable, settings: Settings) -> str:
    """JSON of what the worker starts with. Raises Invalid or TargetRefused."""
    if settings.access_keys and not options.allow_unsigned:
        raise TargetRefused(
            "tasks check no signatures, and this server has access keys: let only your clients reach the load"
            " balancer, then set `allow_unsigned: true` in the settings of target 'ecs'"
        )
    model = fleet.variant.model
    if len(model.containers) != 1 or model.multi_model:
        raise TargetRefused(
            "a task serves one container with one model: pipelines and MultiModel need another target"
        )
    (container,) = model.containers
    runtime = images.resolve_container(container, table)
    if runtime.kind.descriptor.outside and runtime.kind is not RuntimeKind.CONTAINER:
        raise TargetRefused(
            f"image {container.image!r} is a {runtime.kind} of the platform's machine: take another target"
        )
    beside = {"listen": {"port": FRONT_PORT}} if runtime.kind is RuntimeKind.CONTAINER else {}
    return msgspec.json.encode(
        {
            **beside,
            "replica": "",
            "fleet": fleet.id,
            "config_name": fleet.config_name,
            "socket": "",
            "region": options.region,
            "raw_errors": True,
            "account": settings.account,
            "max_body": settings.max_body,
            "invocation_timeout": float(min(settings.invocation_timeout, options.idle_timeout - _EARLIER)),
            "stream_timeout": settings.stream_timeout,
            "download_timeout": fleet.variant.download_timeout,
            "startup_timeout": fleet.variant.startup_timeout,
            "containers": [
                {
                    "runtime": put_beside(runtime),
                    "model_dir": "",
                    "data_url": container.data_url,
                    "environment": granted_environment(container, runtime.kind, table, settings),
                }
            ],
        }
    ).decode()
