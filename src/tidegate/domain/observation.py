"""Observations and actions of an engine. An unknown value is None, and is never good news."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tidegate.domain.alarm import AlarmState
from tidegate.domain.evidence import Comparison, Verdict
from tidegate.domain.fleet import FleetId, FleetSpec, Mirroring, Pairing, Serverless
from tidegate.domain.replay import ReplayResult
from tidegate.domain.traffic import RouteTable


@dataclass(frozen=True)
class Capabilities:
    """Capabilities of a target; plans are compiled against them."""

    smallest_share: int = 1
    """Basis points of the finest split of traffic."""
    shadow: bool = True
    """A fleet's requests can be copied to a shadow fleet."""
    serverless: bool = True
    asynchronous: bool = True
    multi_model: bool = True
    devices: bool = True
    """Accelerators are counted, and assigned to replicas whose variant asks for some."""
    capture: bool = True
    """Requests and answers can be captured."""
    admission: bool = True
    """Requests pass the platform's own router, which holds clients to quotas and instances to ``max_in_flight``."""
    whole_instances: bool = False
    """Traffic can be shifted only in shares of whole new instances."""
    guards_every_fleet: bool = True
    """Guardrails (stages and alarms) work for every kind of fleet."""
    keeps_old_config: bool = True
    """An endpoint can be updated after its present config was deleted."""
    keeps_scaling: bool = True
    """A scaled variant can change its instance type, or be removed, without being deregistered first."""
    scales_in_rollouts: bool = True
    """Autoscaling works while a rollout bakes."""
    compares: frozenset[Comparison] = frozenset(Comparison)
    """What of two versions can be compared. That of traffic needs requests counted second by second, with a sample of
    the predictions; that of pairs needs copies of requests that the new version answers, too."""
    sticks: bool = True
    """Clients can be kept on one version by a header."""
    keeps_models: bool = True
    """Model data of earlier versions is kept, so that a rollout can go back to them."""
    shortest_schedule: int = 60
    """Seconds between two executions of a monitoring schedule."""
    counted_after: int = 0
    """Seconds after a request until its count is complete."""
    quotas: Mapping[str, int] = field(default_factory=dict)
    """Instance type -> maximum number of instances over all endpoints; absent types have no quota."""


TIDEGATE_CAPABILITIES = Capabilities()
SAGEMAKER_CAPABILITIES = Capabilities(
    whole_instances=True,
    guards_every_fleet=False,
    keeps_old_config=False,
    keeps_scaling=False,
    scales_in_rollouts=False,
    compares=frozenset(),
    shortest_schedule=3_600,
)
"""Capabilities of SageMaker hosting, by its developer guide."""


@dataclass(frozen=True)
class FleetStatus:
    """Observed state of a fleet. ``ready`` replicas pass their ping and can take requests."""

    id: FleetId
    desired: int
    ready: int
    starting: int = 0
    draining: int = 0
    failure: str | None = None
    """Why replicas fail to start, once the target has stopped retrying quickly (bad artifact, bad image, crash
    loop); None before."""
    in_flight: int | None = None
    """Requests that its replicas work on, as the router counted them within the last second or two. A decision
    about its size needs these three; ``Evidence.refresh`` in ``ports/target.py`` brings an earlier look up to
    date."""
    queued: int | None = None
    """Requests that wait in the proxy for a replica with free capacity."""
    queue_time: float | None = None
    """Seconds that a request arriving now would wait for a replica; None also if some wait and none was
    answered."""
    mirror: Mirroring | None = None
    """Shadow fleet that gets copies of its requests, as last requested."""
    paired: Pairing | None = None
    """Fleet of another version that answers copies of its requests, as last requested."""
    was_ready: bool = True
    """Whether a replica was ready since this controller started to watch the fleet. Otherwise none can have been
    lost."""
    answered: int | None = None
    """Requests answered with a status below 500 since this controller started to watch the fleet. None:
    unknown."""
    failed: int | None = None
    """Requests without an answer, or with a status of 500 and above, over the same time."""
    devices: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Accelerators of each replica that has some."""
    serverless: Serverless | None = None
    """Serverless limits, as last requested. A serverless fleet counts as ready however many replicas run."""
    missing: tuple[str, ...] = ()
    """Parts of it that somebody removed, such as its Secret. Requesting the fleet again restores them. Until then its
    metrics may be incomplete, so a rollout does not advance."""
    problem: str | None = None
    """What keeps replicas from starting or ending now, from the first moment on. It may pass by itself: ``failure``
    says when it did not."""


@dataclass(frozen=True)
class GuardCheck:
    """Basis of the verdicts on one endpoint: when its guards were last evaluated, and the span over which its
    requests were counted without a gap (``since`` to ``through``, exclusive). ``verdict`` is that of the
    comparison of its two versions; None: nothing was compared yet. ``read_through``: by alarm whose signal was not
    read to the end of what was counted, up to when it was read, which ``through`` does not exceed."""

    judged_at: datetime
    since: datetime
    through: datetime
    verdict: Verdict | None = None
    read_through: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class Observation:
    """Everything observed of one endpoint at one time.

    ``fleets`` has every fleet of the endpoint on the target; an absent one does not exist. None: the target could
    not be observed. ``routes`` is the table in force, with the fence of its last write; an endpoint without routes
    has an empty table with fence 0. ``alarms`` has the plan's alarms, each in the worse of two states: by the
    definition at the start of the rollout, and by the present definition; a missing name has neither. ``guard_check``
    None: nothing was collected and evaluated yet."""

    fleets: dict[FleetId, FleetStatus] | None
    routes: RouteTable | None
    alarms: dict[str, AlarmState] | None = field(default_factory=dict)
    guard_check: GuardCheck | None = None
    breaches: Mapping[str, str] = field(default_factory=dict)
    """By alarm of the plan that is in ALARM: the values that decided, against which threshold and over which
    periods."""
    deleted: tuple[str, ...] = ()
    """Alarms of the plan that no longer exist."""
    from_before: tuple[str, ...] = ()
    """Alarms that went into ALARM since the rollout began, by data of before it alone: they hold it, and do not roll
    it back."""
    redefined: tuple[str, ...] = ()
    """Alarms of the plan whose definition changed since the rollout started."""
    failures: tuple[str, ...] = ()
    """The last messages of failed requests of the rollout's new version, without personal data, the newest first."""
    replay: Mapping[str, ReplayResult] | None = None
    """By variant: what labelled rows said of the rollout's new version. None: nothing yet."""
    unobserved: str = ""
    """Why nothing compares the versions of rollouts, such as that the feature is off; empty: something does."""
    confirmed: RouteTable | None = None
    """The table that was last observed in force, for those who show it: ``routes`` if that is known now. None: none
    was observed since the controller started. Nothing is decided by it."""
    troubles: tuple[str, ...] = ()
    """Why something could not be observed, or an action failed, now; each a sentence without its full stop."""


@dataclass(frozen=True)
class EnsureFleet:
    """Run this fleet with this many replicas. Requested again until observed."""

    spec: FleetSpec


@dataclass(frozen=True)
class DeleteFleet:
    """Drain and remove the fleet. An absent fleet is success."""

    id: FleetId


@dataclass(frozen=True)
class SetTraffic:
    """Replace the route table as a whole; an empty one takes the endpoint off the router."""

    table: RouteTable


Action = EnsureFleet | DeleteFleet | SetTraffic


@dataclass(frozen=True)
class Event:
    """Why a record changed, for users: written to the journal with the record."""

    kind: str
    message: str
    data: dict[str, object] = field(default_factory=dict)
