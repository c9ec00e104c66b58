"""Start specifications of workers, as far as the fleet and the settings determine them on any target."""

from collections.abc import Iterable

from tidegate.auth.keys import serves_its_user_alone
from tidegate.domain.arns import resource_arn
from tidegate.domain.fleet import FleetSpec
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.settings import Settings
from tidegate.targets.containers import serving_mode

LONGEST_QUEUED = 3_600
"""Seconds that a model may take for an asynchronous request; each request has a limit of its own below it."""


def start_spec(fleet: FleetSpec, settings: Settings, containers: Iterable[ContainerSpec]) -> ReplicaSpec:
    """Return the start specification of a fleet's worker. Replica and socket are empty: a target adds them, with
    whatever else is its own."""
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
        cpu_limit=settings.container_cpus,
        s3_endpoint=settings.s3_endpoint,
        clock_skew=settings.clock_skew,
        service_hosts=service_hosts(settings),
        secrets=secrets_folder(settings),
    )


def service_hosts(settings: Settings) -> tuple[str, ...] | None:
    """Hosts of services that may be asked, as a worker takes them. Whoever the server asks nothing reaches those of
    its machine and network anyway."""
    return None if not settings.service_hosts and serves_its_user_alone(settings) else settings.service_hosts


def secrets_folder(settings: Settings) -> str:
    """Return the folder of secrets; empty if there is none."""
    return "" if settings.secrets is None else str(settings.secrets.expanduser().absolute())


def log_stream_arn(settings: Settings, group: str) -> str:
    return resource_arn("logs", settings.region, settings.account, f"log-group:{group}")
