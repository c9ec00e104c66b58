"""The options of this target in the settings file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import StartupError


@dataclass(frozen=True)
class Toleration:
    key: str
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""


@dataclass(frozen=True)
class Volume:
    """A volume with data that every worker gets, read-only: a claim, or a folder of the node."""

    name: str
    path: str
    claim: str = ""
    host_path: str = ""
    writable: bool = False
    """Whether outputs of transform jobs may be written to it; workers still only read."""


@dataclass(frozen=True)
class Resources:
    """Resources that one replica of an instance type requests, and the nodes where it may run."""

    cpu: str = "500m"
    memory: str = "1Gi"
    """Also its limit. A measured memory of the variant takes precedence."""
    cpu_limit: str = ""
    """Empty: none, so that idle processors can be used."""
    ephemeral_storage: str = ""
    """Request and limit of what it writes on its node, unpacked model data included. Empty: the cluster's default."""
    gpus: int = 0
    neurons: int = 0
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()


@dataclass(frozen=True)
class AutoscalingOptions:
    """Lets the cluster choose the number of replicas, instead of tidegate."""

    kind: Literal["hpa", "keda"]
    least: int
    most: int
    cpu_percent: int = 70
    prometheus: str = ""
    """KEDA: address of the Prometheus that has tidegate's metrics."""
    requests_per_replica: int = 10
    """KEDA: concurrent requests for which one replica is enough."""


@dataclass(frozen=True)
class GatewayOptions:
    replicas: int = 2
    service_type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    cpu: str = "250m"
    memory: str = "256Mi"
    hosts: tuple[str, ...] = ()
    """Further names by which clients call the gateway, where requests are not signed."""


@dataclass(frozen=True)
class HttpRoute:
    """A Gateway of the cluster (Gateway API) that takes the place of tidegate's own gateways."""

    gateway: str
    namespace: str = ""
    hostnames: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobOptions:
    """``database_secret``: Secret with the URL of the controller's PostgreSQL under ``database_key``, for a role that
    may select, insert and update on the table ``shards`` alone. ``cpu`` and ``memory``: of a pod's runner, beside its
    worker."""

    database_secret: str
    database_key: str = "database-url"
    cpu: str = "250m"
    memory: str = "512Mi"


@dataclass(frozen=True)
class KubernetesOptions:
    """``image``: of worker and gateway. ``installation`` is in the labels of all that belongs to this tidegate."""

    image: str
    installation: str = "tidegate"
    namespace: str = ""
    """Empty: that of the kubeconfig's context, or of the controller's pod."""
    kubeconfig: str = ""
    """Empty: KUBECONFIG, the user's file, or the service account of the pod, whichever there is."""
    context: str = ""
    image_pull_policy: Literal["", "Always", "IfNotPresent", "Never"] = ""
    image_pull_secrets: tuple[str, ...] = ()
    run_as: int = 10_001
    """User and group id of the processes."""
    model_user: int = 0
    """User id of containers of the user's images. 0: that of each image, which may be root."""
    instance_types: Mapping[str, Resources] = field(default_factory=dict)
    """Instance type of a variant -> what its replicas request; the entry ``default`` is for all others."""
    volumes: tuple[Volume, ...] = ()
    model_store: str = ""
    """``s3://BUCKET/PREFIX`` for model data of the controller's machine. Empty: such data are refused."""
    service_account: str = ""
    """ServiceAccount of the workers and of jobs' pods, whose annotations give them a cloud's rights to model data.
    They get no token for the cluster itself. Empty: the namespace's default one."""
    priority_class: str = ""
    """Of workers and gateways. Empty: the cluster's default."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Further labels of pods of workers, jobs and gateways, such as those by which costs are divided."""
    environment_secret: str = ""
    """Secret whose entries become environment variables of the workers, such as AWS credentials for S3."""
    spot: bool = False
    """Whether workers may run on nodes that the cloud can take away at any time."""
    gateway: GatewayOptions = field(default_factory=GatewayOptions)
    http_route: HttpRoute | None = None
    autoscaling: Mapping[str, AutoscalingOptions] = field(default_factory=dict)
    """Endpoint name -> its scaling by the cluster."""
    jobs: JobOptions | None = None
    """None: the target runs no transform jobs."""
    endpoint_resources: bool = False
    """Whether endpoints are declared by objects of the kind Endpoint, too, whose definition the cluster has."""
    allow_unsigned: bool = False
    """Whether the gateways take requests without a signature when the server has no access keys."""
    controller_cidr: str = ""
    """Addresses of a controller outside the cluster, for the network policies."""
    network_policies: bool = True
    scheduling_patience: float = 120.0
    """Seconds that a pod may wait for a node, or for a quota, before its fleet counts as failed."""
    pull_patience: float = 30.0
    """Seconds for which an image that cannot be pulled is tried."""

    def resources(self, instance_type: str) -> Resources:
        return self.instance_types.get(instance_type) or self.instance_types.get("default") or Resources()


RESERVED = ("app.kubernetes.io/managed-by", "app.kubernetes.io/component")
"""Labels by which tidegate knows what is its own."""


def read_options(given: Mapping[str, object]) -> KubernetesOptions:
    """Read the options of the target. Raises StartupError for an unknown or wrong option."""
    unknown = sorted(given.keys() - KubernetesOptions.__dataclass_fields__.keys())
    if unknown:
        known = ", ".join(KubernetesOptions.__dataclass_fields__)
        raise StartupError(f"kubernetes: unknown option {unknown[0]!r}; there are: {known}")
    try:
        options = msgspec.convert(dict(given), prepare_type(KubernetesOptions), strict=True)
    except msgspec.ValidationError as error:
        raise StartupError(f"kubernetes: {error}") from None
    if options.gateway.replicas < 1:
        raise StartupError("kubernetes: gateway.replicas must be at least 1 (2 survive the loss of a node)")
    for endpoint, scaling in options.autoscaling.items():
        if not 1 <= scaling.least <= scaling.most:
            raise StartupError(
                f"kubernetes: autoscaling of {endpoint} needs 1 <= least <= most, not {scaling.least} and "
                f"{scaling.most}; with no pods at all only a serverless variant answers"
            )
    if reserved := [name for name in options.labels if name in RESERVED or name.startswith("tidegate.io/")]:
        raise StartupError(f"kubernetes: label {reserved[0]} is tidegate's own: choose another name in labels")
    if options.model_store and not options.model_store.startswith("s3://"):
        raise StartupError(f"kubernetes: model_store {options.model_store!r} is not s3://BUCKET/PREFIX")
    return options
