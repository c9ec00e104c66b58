"""What an engine sees when it looks, and what it is told to do. Unknown is None, and is never good news."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tidegate.domain.alarm import AlarmState
from tidegate.domain.fleet import FleetId, FleetSpec, Mirroring, Serverless
from tidegate.domain.traffic import RouteTable


@dataclass(frozen=True)
class Capabilities:
    """What a target can do; plans are compiled against it."""

    smallest_share: int = 1
    """Basis points of the finest split of traffic."""
    max_versions: int = 2
    mirror: bool = False
    scale_to_zero: bool = False
    whole_instances: bool = False
    """Whether a share of the traffic is always that of whole instances of the new fleet."""
    guards_every_fleet: bool = True
    """Whether traffic is shifted step by step, and alarms are watched, whatever the fleets are made of."""
    keeps_old_config: bool = True
    """Whether an endpoint can be updated although its present config was deleted."""
    keeps_scaling: bool = True
    """Whether a variant that is scaled can get another instance type, or go, without being deregistered first."""
    scales_in_rollouts: bool = True
    """Whether load scales a fleet while a rollout bakes."""
    quotas: Mapping[str, int] = field(default_factory=dict)
    """Instance type -> how many instances of it all endpoints together may have; types that are absent have no
    quota."""


TIDEGATE_CAPABILITIES = Capabilities()
SAGEMAKER_CAPABILITIES = Capabilities(
    whole_instances=True,
    guards_every_fleet=False,
    keeps_old_config=False,
    keeps_scaling=False,
    scales_in_rollouts=False,
)
"""What SageMaker's own hosting can do, as its developer guide has it."""


@dataclass(frozen=True)
class FleetStatus:
    """A fleet as the target has it. ``ready`` replicas pass their ping and can take requests."""

    id: FleetId
    desired: int
    ready: int
    starting: int = 0
    draining: int = 0
    failure: str | None = None
    """Why its replicas do not come up, once the target has given up trying fast (bad artifact, bad image, crash
    loop); None while there is hope."""
    in_flight: int | None = None
    """Requests in the hands of its replicas, as the proxy counted them within the last second or two. These three
    are what a decision about its size needs: ``targets.local.LocalTarget.observe`` fills them in from what the
    collector reads each second (``proxy.HAProxy.passed``)."""
    queued: int | None = None
    """Requests that wait in the proxy for a replica with room."""
    queue_time: float | None = None
    """Seconds until a request that came now would have a replica; None also where some wait and none was answered."""
    mirror: Mirroring | None = None
    """What its requests are copied to, as asked for last."""
    was_ready: bool = True
    """Whether a replica of it was ready since this controller follows it. Where none was, none can have been lost."""
    answered: int | None = None
    """Requests that its model answered with a status below 500 since this controller follows it. None: unknown."""
    failed: int | None = None
    """Requests that got no answer or a status of 500 and above, over the same time."""
    serverless: Serverless | None = None
    """Its bounds, as asked for last. A serverless fleet is ready as a whole, whatever runs of it just now."""


@dataclass(frozen=True)
class Evidence:
    """What the verdicts on one endpoint rest on: when its guards were last judged, and the span of time over which
    its requests were counted without a hole (``since`` to ``through``, exclusive)."""

    judged_at: datetime
    since: datetime
    through: datetime


@dataclass(frozen=True)
class Observation:
    """One look at the world of one endpoint.

    ``fleets`` has every fleet of the endpoint that exists on the target; one that is absent does not exist.
    None: the target could not be seen. ``routes`` is the table in force, with the fence of its last write; an
    endpoint without routes shows an empty table with fence 0. ``alarms`` has the alarms that the plan names, each
    in the worse of two states: that of the definition which the rollout started with, and that of the alarm as it is
    defined now; a name that is missing has neither. ``evidence`` None: nothing was collected and judged yet.
    """

    fleets: dict[FleetId, FleetStatus] | None
    routes: RouteTable | None
    alarms: dict[str, AlarmState] | None = field(default_factory=dict)
    evidence: Evidence | None = None
    deleted: tuple[str, ...] = ()
    """Alarms of the plan that no longer exist."""
    redefined: tuple[str, ...] = ()
    """Alarms of the plan that are defined otherwise than when the rollout started."""


@dataclass(frozen=True)
class EnsureFleet:
    """Have this fleet with this many replicas. Asked again until seen."""

    spec: FleetSpec


@dataclass(frozen=True)
class DeleteFleet:
    """Drain and remove. Absent is success."""

    id: FleetId


@dataclass(frozen=True)
class SetTraffic:
    """Put this table in force, whole; an empty one takes the endpoint off the router."""

    table: RouteTable


Action = EnsureFleet | DeleteFleet | SetTraffic


@dataclass(frozen=True)
class Event:
    """Something worth telling: goes into the journal with the record that it belongs to, and out to people."""

    kind: str
    message: str
    data: dict[str, object] = field(default_factory=dict)
