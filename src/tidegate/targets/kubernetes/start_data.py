"""What the workers of a fleet are started with: one file for all of them, kept in a Secret."""

from hashlib import sha256
from urllib.parse import unquote, urlsplit

from tidegate.domain.arns import resource_arn
from tidegate.domain.errors import Invalid, TargetRefused
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.registry import ContainerDefinition
from tidegate.serving.contract import images
from tidegate.serving.contract.images import ImageTable
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec, encode
from tidegate.settings import Settings
from tidegate.targets.containers import granted_by_table, serving_mode, with_trust
from tidegate.targets.kubernetes.options import KubernetesOptions

FOLDER = "/var/lib/tidegate"
"""Of a worker's own files, in its container."""
START_FOLDER, START_FILE, FLEET_FILE = "/etc/tidegate/start", "start.json", "fleet.json"
KEYS_FOLDER, KEYS_FILE = "/etc/tidegate/keys", "keys.json"


def start_data(fleet: FleetSpec, settings: Settings, table: ImageTable, options: KubernetesOptions) -> bytes:
    """The start file, which depends on nothing that may change while the fleet runs, such as its size and its weight.
    Raises TargetRefused for what this target cannot run."""
    check_supported(fleet, options)
    try:
        return start_file(fleet, settings, table, options)
    except Invalid as error:  # the table of images has changed since the model was accepted
        raise TargetRefused(f"{fleet.id}: {error}") from None


def digest(start: bytes) -> str:
    return sha256(start).hexdigest()[:10]


def check_supported(fleet: FleetSpec, options: KubernetesOptions) -> None:
    variant = fleet.variant
    kinds = {
        "shadow variants": variant.shadow or fleet.mirror is not None,
        "asynchronous endpoints": variant.asynchronous is not None,
        "serverless variants": variant.serverless is not None,
        "batch transform jobs": fleet.detached is not None,
    }
    for kind, wanted in kinds.items():
        if wanted:
            raise TargetRefused(f"{fleet.id}: the target kubernetes runs no {kind}; use target local for them")
    for container in variant.model.containers:
        _check_data(fleet, container, options)


def _check_data(fleet: FleetSpec, container: ContainerDefinition, options: KubernetesOptions) -> None:
    if container.artifact is not None:
        raise TargetRefused(f"{fleet.id}: kept data of an earlier version is not in the cluster: deploy it anew")
    url = urlsplit(container.data_url or "")
    if url.scheme != "file":
        return
    path = unquote(url.path)
    if not any(
        path == volume.path or path.startswith(volume.path.rstrip("/") + "/") for volume in options.volumes
    ):
        raise TargetRefused(
            f"{fleet.id}: {container.data_url} is a file of one machine, which pods cannot read: put it into S3, or "
            "on a volume (option volumes of the target kubernetes)"
        )


def start_file(fleet: FleetSpec, settings: Settings, table: ImageTable, options: KubernetesOptions) -> bytes:
    variant = fleet.variant
    group = f"/aws/sagemaker/Endpoints/{fleet.id.endpoint}"
    return encode(
        ReplicaSpec(
            replica="",
            fleet=fleet.id,
            config_name=fleet.config_name,
            containers=container_specs(fleet, settings, table),
            serving=serving_mode(variant.model),
            socket="",  # the container fills in what lies in its work folder
            account=settings.account,
            region=settings.region,
            log_group=group,
            log_stream_arn=resource_arn("logs", settings.region, settings.account, f"log-group:{group}"),
            max_body=settings.max_body,
            invocation_timeout=float(settings.invocation_timeout),
            stream_timeout=settings.stream_timeout,
            drain_timeout=settings.drain_timeout,
            download_timeout=variant.download_timeout,
            startup_timeout=variant.startup_timeout,
            memory_limit=settings.memory_limit if variant.memory_limit is None else variant.memory_limit,
            file_roots=tuple(volume.path for volume in options.volumes),
            s3_endpoint=settings.s3_endpoint,
            keys_file=f"{KEYS_FOLDER}/{KEYS_FILE}" if settings.access_keys else None,
            clock_skew=settings.clock_skew,
        )
    )


def container_specs(fleet: FleetSpec, settings: Settings, table: ImageTable) -> tuple[ContainerSpec, ...]:
    model = fleet.variant.model
    specs = []
    for name, container in zip(model.container_names, model.containers, strict=True):
        runtime = images.resolve(container.image, table)
        granted = granted_by_table(container, runtime.kind, table)
        specs.append(
            ContainerSpec(
                name=name,
                runtime=runtime,
                model_dir="",
                data_url=container.data_url,
                environment=with_trust(container.environment, runtime.kind, settings, granted),
                cache=container.cache,
            )
        )
    return tuple(specs)
