"""Running capacity: a fleet is one variant of one version of an endpoint; a replica is one running instance."""

from dataclasses import dataclass, field
from enum import StrEnum

from tidegate.domain.admission import DEFAULT_ADMISSION, DEFAULT_MAX_IN_FLIGHT, Admission
from tidegate.domain.asynchronous import AsyncConfig
from tidegate.domain.capture import Capture
from tidegate.domain.registry import Model


class RoutingStrategy(StrEnum):
    """How a replica is chosen for a request (SageMaker's RoutingConfig; RANDOM by default)."""

    RANDOM = "RANDOM"
    LEAST_OUTSTANDING_REQUESTS = "LEAST_OUTSTANDING_REQUESTS"
    BY_MODEL = "BY_MODEL"
    """Requests for a model go to the replica that has loaded it. Set for every multi-model fleet; not
    configurable."""
    QUEUED = "QUEUED"
    """Requests come from the queue of an asynchronous endpoint. Set for every fleet of one; not configurable."""
    ON_DEMAND = "ON_DEMAND"
    """A request that finds no replica waits and causes a cold start. Set for every serverless fleet; not
    configurable."""


ROUTINGS = (RoutingStrategy.RANDOM, RoutingStrategy.LEAST_OUTSTANDING_REQUESTS)
"""Configurable strategies."""


@dataclass(frozen=True, order=True)
class FleetId:
    """``generation`` rises with every creation or update of the endpoint, so a config that is deployed twice runs as
    two fleets."""

    endpoint: str
    generation: int
    variant: str

    def __str__(self) -> str:
        return f"{self.endpoint}/{self.generation}/{self.variant}"

    @classmethod
    def parse(cls, text: str) -> "FleetId":
        endpoint, generation, variant = text.split("/")
        return cls(endpoint, int(generation), variant)


@dataclass(frozen=True)
class Serverless:
    """Limits of a serverless variant, which runs only while it gets requests."""

    memory: int
    """Memory limit of one replica, in bytes."""
    max_concurrency: int
    """Concurrent invocations of all replicas together."""
    provisioned: int = 0
    """Concurrent invocations for which replicas are always running."""
    idle_after: float = 300.0
    """Seconds after which an unused replica is stopped."""
    per_instance: int = 10
    """Concurrent invocations per replica."""

    @property
    def most(self) -> int:
        """Replicas at the maximum concurrency."""
        return -(-self.max_concurrency // self.per_instance)

    @property
    def least(self) -> int:
        """Replicas without requests."""
        return -(-self.provisioned // self.per_instance)


@dataclass(frozen=True)
class VariantSpec:
    """Everything needed to run one variant, copied at deploy time: deleting the config or the model later has no
    effect on what runs."""

    name: str
    model: Model
    instance_count: int
    weight: float = 1.0
    """Share of the version's requests = weight / sum of weights."""
    instance_type: str = "local"
    routing: RoutingStrategy = RoutingStrategy.RANDOM
    download_timeout: float = 900.0
    """Seconds that fetching and unpacking the model data may take."""
    startup_timeout: float = 480.0
    """Seconds that a replica may take until its first good ping (SageMaker: 8 minutes unless set)."""
    memory_limit: int | None = None
    """Memory, in bytes, above which a replica is replaced; 0: no limit, None: the server's default."""
    devices: int = 0
    """Accelerators of each replica."""
    shadow: bool = False
    """The variant gets copies of the production variant's requests and never answers a client. Its weight over that
    of the production variant is the share that is copied, at most all."""
    asynchronous: AsyncConfig | None = None
    """Requests come from a queue only. Equal in all variants of a version, except for ``awake``."""
    serverless: Serverless | None = None
    """Set: ``instance_count`` is 1 and stands for the whole fleet, whatever its present number of replicas."""
    admission: Admission = DEFAULT_ADMISSION
    """Admission control. Quotas are equal in all variants of a version."""
    capture: Capture | None = None
    """Data capture. Equal in all variants of a version."""
    wire: dict[str, object] = field(default_factory=dict)

    @property
    def effective_routing(self) -> RoutingStrategy:
        """The strategy in effect. A multi-model fleet routes by model. A fleet with a concurrency limit never routes
        at random: a request must not wait for one replica while another has free capacity."""
        if self.asynchronous is not None:
            return RoutingStrategy.QUEUED
        if self.serverless is not None:
            return RoutingStrategy.ON_DEMAND
        if self.model.multi_model:
            return RoutingStrategy.BY_MODEL
        bounded = self.admission.max_in_flight < DEFAULT_MAX_IN_FLIGHT
        return RoutingStrategy.LEAST_OUTSTANDING_REQUESTS if bounded else self.routing


@dataclass(frozen=True)
class Mirroring:
    """The shadow fleet that gets copies of a fleet's requests."""

    fleet: FleetId
    share: int
    """Basis points of the requests, 0 to 10,000."""


@dataclass(frozen=True)
class Pairing:
    """Another version's fleet that answers copies of some of a fleet's requests, so that both can be compared."""

    fleet: FleetId
    slices: tuple[str, ...] = ()
    """Columns of the requests whose values go with each pair."""
    features: bool = False
    """Whether the outputs of pipeline stages go with some pairs."""
    texts: bool = False
    """Whether answers that are text go with some pairs."""


@dataclass(frozen=True)
class DetachedSettings:
    """Settings of a fleet without an endpoint. The router does not know it; its owner calls the replicas directly."""

    max_body: int
    """Largest request, in bytes."""
    timeout: float
    """Seconds per request."""
    group: str
    """Its log group."""


@dataclass(frozen=True)
class FleetSpec:
    """Desired state of a fleet on a target."""

    id: FleetId
    config_name: str
    variant: VariantSpec
    count: int
    """Desired replicas; during a rollout this may differ from ``variant.instance_count``."""
    mirror: Mirroring | None = None
    """None: the version has no shadow variant, or this fleet is the shadow."""
    detached: DetachedSettings | None = None
    paired: Pairing | None = None
    """None: no other version is compared with it on the same requests."""


class ReplicaState(StrEnum):
    STARTING = "Starting"
    READY = "Ready"
    DRAINING = "Draining"
    GONE = "Gone"
