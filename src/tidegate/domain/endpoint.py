"""An endpoint, the config that it runs, and its durable record."""

from dataclasses import dataclass, field
from datetime import datetime

from tidegate.domain.admission import DEFAULT_ADMISSION, Admission
from tidegate.domain.alarm import Alarm
from tidegate.domain.asynchronous import AsyncConfig
from tidegate.domain.capture import Capture
from tidegate.domain.evidence import NO_EXPLANATION, Explanation
from tidegate.domain.fleet import RoutingStrategy, Serverless
from tidegate.domain.rollout import (
    Condition,
    DeploymentConfig,
    MixedVersions,
    Phase,
    RolloutPlan,
    RolloutStage,
    Version,
)
from tidegate.domain.traffic import RouteTable


@dataclass(frozen=True)
class ProductionVariant:
    """One variant of a config. Its model is looked up when the config is deployed."""

    name: str
    model_name: str
    instance_count: int
    instance_type: str
    weight: float = 1.0
    routing: RoutingStrategy | None = None
    download_timeout: int | None = None
    startup_timeout: int | None = None
    serverless: Serverless | None = None
    """Set: ``instance_count`` is 1."""
    memory_limit: int | None = None
    """Memory limit of a replica, in bytes; None: the server's default."""
    devices: int = 0
    """Accelerators of each replica."""
    admission: Admission = DEFAULT_ADMISSION
    wire: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class EndpointConfig:
    """Immutable config of an endpoint. An update names another one."""

    name: str
    variants: tuple[ProductionVariant, ...]
    created_at: datetime
    wire: dict[str, object] = field(default_factory=dict)
    shadows: tuple[ProductionVariant, ...] = ()
    """Variants that get copies of the requests. A shadow's weight over the production variant's is the share."""
    asynchronous: AsyncConfig | None = None
    """Set: requests are queued, and responses written to storage."""
    capture: Capture | None = None

    @property
    def serverless(self) -> bool:
        return any(variant.serverless is not None for variant in self.variants)


@dataclass(frozen=True)
class Pause:
    since: datetime
    by: str


UNREADABLE = "Unreadable"
"""Shown as the status of an endpoint whose record cannot be read. Its fleets go on as they are."""


@dataclass(frozen=True)
class VersionRequest:
    """A requested version: what to run and how to roll it out."""

    version: Version
    deployment: DeploymentConfig
    asked_at: datetime
    asked_by: str = ""
    guards: tuple[Alarm, ...] = ()
    """The alarms that ``deployment`` names, as defined at the time of the request."""


@dataclass(frozen=True)
class Successor:
    """A rollout that waits until the one that it supersedes is rolled back."""

    rollout_id: str
    wanted: VersionRequest
    plan: RolloutPlan


@dataclass(frozen=True)
class CapacityUpdate:
    """A change of weights or counts in place that is not completely in force yet."""

    before: Version
    """Restored if the change is not in force by ``deadline``."""
    since: datetime
    deadline: datetime
    undoing: bool = False
    """The change failed and ``before`` is being restored."""


@dataclass(frozen=True)
class Rollout:
    """The durable record of one change of version: small, frozen, complete. Everything else is observed again.

    ``old`` is None for the first version of an endpoint. Deadlines are absolute; time spent paused does not count.
    """

    id: str
    old: Version | None
    new: Version
    deployment: DeploymentConfig
    plan: RolloutPlan
    started_at: datetime
    phase: Phase = Phase.PROVISIONING
    stage: int = 0
    """Index into ``plan.stages``; during a rollback, the stage in which it began."""
    phase_since: datetime | None = None
    phase_deadline: datetime | None = None
    """Past it the phase has failed. While baking it is set only as long as capacity is short."""
    bake_until: datetime | None = None
    expires_at: datetime | None = None
    pause: Pause | None = None
    promote: bool = False
    """The remaining bakes are skipped, by request. Capacity and alarms still count."""
    promoted_stage: int | None = None
    """The one stage whose bake is skipped, by request. Those after it bake as planned."""
    conditions: tuple[Condition, ...] = ()
    ended_at: datetime | None = None
    cause: str | None = None
    """A ``domain.rollout.Cause`` once the rollback has begun."""
    reason: str | None = None
    back: tuple[RolloutStage, ...] = ()
    """Stages of the rollback, fixed when it begins."""
    back_stage: int = 0
    """Index into ``back``; past its end the old version has all traffic and the new fleets are being removed."""
    successor: Successor | None = None
    guards: tuple[Alarm, ...] = ()
    """The plan's alarms as defined when the rollout began. They are evaluated to its end, even if the alarms are
    changed or deleted. Empty in records of earlier versions of tidegate: then the present definitions are
    evaluated."""
    answers_before: tuple[int, int] | None = None
    """Requests that the new version had answered and failed by the first count of this bake."""
    unrouted_since: datetime | None = None
    """While baking: since when its share has not been observed in force."""
    asked_by: str = ""
    """Who asked for it; empty if that is not known."""
    failures: tuple[str, ...] = ()
    """The last messages of the new version's failed requests when the rollback began, the newest first."""
    explanation: Explanation = NO_EXPLANATION
    """What a person is shown of its rollback besides the reason."""
    undo: bool = False
    """It goes back to an earlier version."""
    losses: int = 0
    """How often the new version lost every ready instance while it took traffic."""
    schema: int = 1

    @property
    def skips_bake(self) -> bool:
        """Whether the bake of the present stage is skipped, by request."""
        return self.promote or self.promoted_stage == self.stage

    @property
    def holds_back(self) -> bool:
        """Whether the new version has passed, and the old one keeps its share for a while."""
        return self.phase is Phase.BAKING and self.plan.stages[self.stage].holdback


@dataclass(frozen=True)
class ClockMark:
    """Offset in seconds between the wall clock (since the epoch) and the monotonic clock (since the boot with id
    ``boot``)."""

    boot: str
    ahead: float


@dataclass(frozen=True)
class Endpoint:
    """The complete durable state of one endpoint: the record that ``rollout.step`` takes and returns.

    ``serving`` is the version that serves when no rollout is in progress; its variants hold the weights and counts as
    last set. ``fence`` rises with every change of desired traffic or capacity.
    """

    name: str
    created_at: datetime
    modified_at: datetime
    generation: int = 0
    """The highest generation assigned so far."""
    serving: Version | None = None
    rollout: Rollout | None = None
    last: Rollout | None = None
    """The last rollout that ended, with its reason."""
    deployment: DeploymentConfig | None = None
    """The last DeploymentConfig, for updates that retain it."""
    fence: int = 0
    traffic: RouteTable | None = None
    """The desired route table, with the fence of its decision; None: there never was one."""
    scaling: CapacityUpdate | None = None
    failed: bool = False
    """The creation failed; the endpoint can only be deleted, or created again in its place."""
    rollback_failed: bool = False
    mixed: MixedVersions | None = None
    """Set with ``rollback_failed``: the version that serves beside ``serving`` until the next update."""
    failure_reason: str | None = None
    deleting: bool = False
    rejected: tuple[str, ...] = ()
    """Digests of versions that alarms rolled back; they need an override to be rolled out again."""
    target: str = "local"
    """The target that it runs on, from its creation to its end (``domain/targets.py``)."""
    clock: ClockMark | None = None
    """Clock offset when the deadlines in progress were set; None: not known yet."""
    schema: int = 1

    @property
    def asynchronous(self) -> AsyncConfig | None:
        """How requests are queued, of the version that serves or that is to; None: they are not."""
        version = self.serving or (self.rollout.new if self.rollout else None)
        return None if version is None else version.asynchronous
