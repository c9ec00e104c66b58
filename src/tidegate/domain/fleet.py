"""Running capacity: a fleet is one variant of one version of an endpoint; a replica is one instance of it."""

from dataclasses import dataclass, field
from enum import StrEnum

from tidegate.domain.admission import DEFAULT_ADMISSION, DEFAULT_MAX_IN_FLIGHT, Admission
from tidegate.domain.asynchronous import AsyncConfig
from tidegate.domain.registry import Model


class RoutingStrategy(StrEnum):
    """How a request picks a replica of its fleet (SageMaker's RoutingConfig; RANDOM where it is absent)."""

    RANDOM = "RANDOM"
    LEAST_OUTSTANDING_REQUESTS = "LEAST_OUTSTANDING_REQUESTS"
    BY_MODEL = "BY_MODEL"
    """Requests for one model go to the replica that holds it. Every multi-model fleet has it; nobody can ask for
    it."""
    QUEUED = "QUEUED"
    """Requests come from the queue of an asynchronous endpoint. Every fleet of one has it; nobody can ask for it."""
    ON_DEMAND = "ON_DEMAND"
    """A request waits where there is no replica, and so makes one come. Every serverless fleet has it; nobody can
    ask for it."""


ROUTINGS = (RoutingStrategy.RANDOM, RoutingStrategy.LEAST_OUTSTANDING_REQUESTS)
"""What may be asked for."""


@dataclass(frozen=True, order=True)
class FleetId:
    """``generation`` rises with every creation or update of the endpoint, so a config that is deployed twice
    runs as two fleets."""

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
    """A variant that runs only while it is asked: how much it may take, and when it goes."""

    memory: int
    """Bytes that one replica may hold."""
    max_concurrency: int
    """Invocations at one time, all replicas together."""
    provisioned: int = 0
    """Invocations at one time for which replicas are always there."""
    idle_after: float = 300.0
    """Seconds that a replica stays after it was needed last."""
    per_instance: int = 10
    """Invocations at one time in one replica."""

    @property
    def most(self) -> int:
        """Replicas when all that is allowed is asked."""
        return -(-self.max_concurrency // self.per_instance)

    @property
    def least(self) -> int:
        """Replicas when nothing is asked."""
        return -(-self.provisioned // self.per_instance)


@dataclass(frozen=True)
class VariantSpec:
    """All that is needed to run one variant, copied at deploy time: deleting the config or the model later
    changes nothing that runs."""

    name: str
    model: Model
    instance_count: int
    weight: float = 1.0
    """Relative to the other variants of the same version; share = weight / sum of weights."""
    instance_type: str = "local"
    routing: RoutingStrategy = RoutingStrategy.RANDOM
    download_timeout: float = 900.0
    """Seconds that fetching and unpacking the model data may take."""
    startup_timeout: float = 480.0
    """Seconds that a replica may take until its first good ping (SageMaker: 8 minutes unless set)."""
    memory_limit: int | None = None
    """Bytes that a replica may hold before it is replaced; 0: no limit, None: what the server says."""
    shadow: bool = False
    """It answers copies of the production variants' requests and never a client. Its weight over theirs is the
    share that is copied, at most all."""
    asynchronous: AsyncConfig | None = None
    """Requests come by way of a queue only. The same for all variants of a version, but for ``awake``."""
    serverless: Serverless | None = None
    """Set: ``instance_count`` is 1 and stands for the whole fleet, however many replicas it has just now."""
    admission: Admission = DEFAULT_ADMISSION
    """Which requests it takes. Its quotas are the same for all variants of a version."""
    wire: dict[str, object] = field(default_factory=dict)

    @property
    def effective_routing(self) -> RoutingStrategy:
        """How requests pick a replica in fact: what was asked for, but by model where one has many, and never by
        chance where each may have only so many: a request must not wait for one while another has room."""
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
class Detached:
    """For a fleet of no endpoint: the router does not know it, and whoever wanted it speaks to its replicas."""

    max_body: int
    """Bytes of a request."""
    timeout: float
    """Seconds of a request."""
    group: str
    """Its log group."""


@dataclass(frozen=True)
class FleetSpec:
    """A fleet as it is wanted on a target."""

    id: FleetId
    config_name: str
    variant: VariantSpec
    count: int
    """Replicas wanted now; during a rollout it may differ from ``variant.instance_count``."""
    mirror: Mirroring | None = None
    """None: its version has no shadow variant, or it is one itself."""
    detached: Detached | None = None


class ReplicaState(StrEnum):
    STARTING = "Starting"
    READY = "Ready"
    DRAINING = "Draining"
    GONE = "Gone"


@dataclass(frozen=True)
class Replica:
    id: str
    fleet: FleetId
    state: ReplicaState
    pid: int | None = None
    message: str = ""
