"""A fleet's task definition and service, as members of ECS's calls. Pure.

Fargate mounts no files, so the worker's start file is a variable that the container writes to a file first. The image
is the same as on Kubernetes; with ``raw_errors`` a model's own status reaches the load balancer, which counts it.
"""

import json
from collections.abc import Mapping

import msgspec

from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetSpec
from tidegate.serving.contract import images
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.containers import check_without_router, granted_environment
from tidegate.targets.ecs.fargate_sizes import fit
from tidegate.targets.ecs.options import CONTAINER, PORT, EcsOptions, service_name

START = "TIDEGATE_START"
MOST_BYTES = 64 * 1024
"""Of a task definition (ECS's quota)."""
_COMMAND = f'printf %s "${START}" > /tmp/start.json && exec serve /tmp/start.json'
_MEBIBYTE = 1024 * 1024
_EARLIER = 5
"""Seconds before the load balancer gives a request up, by which a task has answered it."""


def check_fleet(fleet: FleetSpec) -> None:
    """Raises TargetRefused for a fleet that a service cannot be."""
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
    container = {
        "name": CONTAINER,
        "image": options.image,
        "essential": True,
        "command": ["sh", "-c", _COMMAND],
        "environment": [
            {"name": START, "value": start_file(options, fleet, table, settings)},
            {"name": "TIDEGATE_WORK", "value": "/tmp/tidegate"},
        ],
        "portMappings": [{"containerPort": PORT, "protocol": "tcp"}],
        "stopTimeout": 90,
        "linuxParameters": {"initProcessEnabled": True},
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": options.log_group,
                "awslogs-region": options.region,
                "awslogs-stream-prefix": service_name(fleet.id),
            },
        },
    }
    made: dict[str, object] = {
        "family": service_name(fleet.id),
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": str(cpu),
        "memory": str(memory),
        "executionRoleArn": options.execution_role,
        "containerDefinitions": [container],
        "tags": tag_list(tags),
    }
    if options.task_role:
        made["taskRoleArn"] = options.task_role
    if (size := len(json.dumps(made))) > MOST_BYTES:
        raise TargetRefused(
            f"the task definition has {size} bytes, and ECS takes {MOST_BYTES}: shorten the environment"
        )
    return made


def service(
    options: EcsOptions, fleet: FleetSpec, task: str, group: str, tags: Mapping[str, str]
) -> dict[str, object]:
    """Members of CreateService. ``task``: ARN of the task definition; ``group``: of the target group."""
    return {
        "cluster": options.cluster,
        "serviceName": service_name(fleet.id),
        "taskDefinition": task,
        "desiredCount": fleet.count,
        "launchType": "FARGATE",
        "loadBalancers": [{"targetGroupArn": group, "containerName": CONTAINER, "containerPort": PORT}],
        "healthCheckGracePeriodSeconds": int(fleet.variant.startup_timeout + fleet.variant.download_timeout),
        "deploymentConfiguration": {
            "deploymentCircuitBreaker": {"enable": True, "rollback": False},
            "minimumHealthyPercent": 100,
            "maximumPercent": 200,
        },
        "networkConfiguration": network(options),
        "propagateTags": "SERVICE",
        "tags": tag_list(tags),
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
    runtime = images.resolve(container.image, table)
    if runtime.kind is RuntimeKind.PROGRAM:
        raise TargetRefused(
            f"image {container.image!r} is a program of the platform's machine: take another target"
        )
    return msgspec.json.encode(
        {
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
                    "runtime": runtime,
                    "model_dir": "",
                    "data_url": container.data_url,
                    "environment": granted_environment(container, runtime.kind, table, settings),
                }
            ],
        }
    ).decode()


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]
