"""What a fleet and the settings say of a worker of an endpoint, on any target."""

from collections.abc import Iterable

from tidegate.domain.arns import resource_arn
from tidegate.domain.fleet import FleetSpec
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.settings import Settings
from tidegate.targets.containers import serving_mode

LONGEST_QUEUED = 3_600
"""Seconds that a model may take for an asynchronous request; each request has a limit of its own below it."""


def start_spec(fleet: FleetSpec, settings: Settings, containers: Iterable[ContainerSpec]) -> ReplicaSpec:
    """Without replica and socket, which a target adds with whatever else is its own."""
    variant, group = fleet.variant, f"/aws/sagemaker/Endpoints/{fleet.id.endpoint}"
    return ReplicaSpec(
        replica="",
        fleet=fleet.id,
        config_name=fleet.config_name,
        containers=tuple(containers),
        serving=serving_mode(variant.model),
        socket="",
        account=settings.account,
        region=settings.region,
        log_group=group,
        log_stream_arn=log_stream_arn(settings, group),
        max_body=settings.max_body,
        invocation_timeout=float(settings.invocation_timeout),
        stream_timeout=settings.stream_timeout,
        drain_timeout=settings.drain_timeout,
        download_timeout=variant.download_timeout,
        startup_timeout=variant.startup_timeout,
        memory_limit=settings.memory_limit if variant.memory_limit is None else variant.memory_limit,
        s3_endpoint=settings.s3_endpoint,
        clock_skew=settings.clock_skew,
    )


def log_stream_arn(settings: Settings, group: str) -> str:
    return resource_arn("logs", settings.region, settings.account, f"log-group:{group}")
