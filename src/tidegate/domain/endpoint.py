"""The named, addressable thing, the config it runs, and the one durable record of its life."""

from dataclasses import dataclass, field
from datetime import datetime

from tidegate.domain.admission import DEFAULT_ADMISSION, Admission
from tidegate.domain.alarm import Alarm
from tidegate.domain.asynchronous import AsyncConfig
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
    """One variant as the config names it; the model is looked up when the config is deployed."""

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
    """Bytes that a replica may hold; None: what the server says."""
    admission: Admission = DEFAULT_ADMISSION
    wire: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class EndpointConfig:
    """Immutable; an update of an endpoint names another one."""

    name: str
    variants: tuple[ProductionVariant, ...]
    created_at: datetime
    wire: dict[str, object] = field(default_factory=dict)
    shadows: tuple[ProductionVariant, ...] = ()
    """Variants that get copies of the requests; a weight over that of a production variant is the share."""
    asynchronous: AsyncConfig | None = None
    """Requests are taken into a queue, and answers put into a storage."""

    @property
    def serverless(self) -> bool:
        return any(variant.serverless is not None for variant in self.variants)


@dataclass(frozen=True)
class Pause:
    since: datetime
    by: str


@dataclass(frozen=True)
class VersionRequest:
    """A version that someone asked for: what to run and how to get there."""

    version: Version
    deployment: DeploymentConfig
    asked_at: datetime
    asked_by: str = ""
    guards: tuple[Alarm, ...] = ()
    """The alarms that ``deployment`` names, as they are defined now."""


@dataclass(frozen=True)
class Successor:
    """A rollout that waits until the one before it is back on the old version."""

    rollout_id: str
    wanted: VersionRequest
    plan: RolloutPlan


@dataclass(frozen=True)
class CapacityUpdate:
    """A change of weights or counts in place that is not all in force yet."""

    before: Version
    """What to go back to when the change cannot be had by ``deadline``."""
    since: datetime
    deadline: datetime
    undoing: bool = False
    """The change failed and ``before`` is being restored."""


@dataclass(frozen=True)
class Rollout:
    """The durable record of one change of version: small, frozen, complete. All else is observed again.

    ``old`` is None for the first version of an endpoint. Deadlines are absolute. Times spent paused do not count
    against any of them.
    """

    id: str
    old: Version | None
    new: Version
    deployment: DeploymentConfig
    plan: RolloutPlan
    started_at: datetime
    phase: Phase = Phase.PROVISIONING
    stage: int = 0
    """Index into ``plan.stages``; once turned back, the stage from which it turned."""
    phase_since: datetime | None = None
    phase_deadline: datetime | None = None
    """Past it the phase has failed. While baking it is set only as long as capacity is short."""
    bake_until: datetime | None = None
    expires_at: datetime | None = None
    pause: Pause | None = None
    promote: bool = False
    """A person asked to skip the remaining bakes; capacity and alarms are still required."""
    conditions: tuple[Condition, ...] = ()
    ended_at: datetime | None = None
    cause: str | None = None
    """A ``model.rollout.Cause`` once the rollout has turned back."""
    reason: str | None = None
    back: tuple[RolloutStage, ...] = ()
    """The way back, fixed when it turns."""
    back_stage: int = 0
    """Index into ``back``; past its end all traffic is back and the new fleets are being removed."""
    successor: Successor | None = None
    guards: tuple[Alarm, ...] = ()
    """The alarms of the plan as they were defined when the rollout began. They are judged to its end, whatever
    becomes of the alarms. Empty in records of earlier programs: then the alarms as defined now are judged."""
    answers_before: tuple[int, int] | None = None
    """Requests that the new version had answered, and failed, by the first count of this bake."""
    unrouted_since: datetime | None = None
    """While baking: since when its share is not seen in force."""
    schema: int = 1


@dataclass(frozen=True)
class ClockMark:
    """How many seconds the wall clock (since the epoch) is ahead of one that never steps (since the start of the
    machine that ``boot`` names)."""

    boot: str
    ahead: float


@dataclass(frozen=True)
class Endpoint:
    """One endpoint's whole durable state: the record that ``rollout.step`` takes and returns.

    ``serving`` is the version whose fleets carry the endpoint when no rollout is under way; its variants hold
    the weights and counts as last set. ``fence`` rises with every change of the wanted traffic or capacity.
    """

    name: str
    created_at: datetime
    modified_at: datetime
    generation: int = 0
    """The highest generation given out so far."""
    serving: Version | None = None
    rollout: Rollout | None = None
    last: Rollout | None = None
    """The rollout that ended last, with its reason."""
    deployment: DeploymentConfig | None = None
    """The last DeploymentConfig given, for updates that retain it."""
    fence: int = 0
    traffic: RouteTable | None = None
    """The table that is wanted now, with the fence it got when it was decided; None: none was ever wanted."""
    scaling: CapacityUpdate | None = None
    failed: bool = False
    """The first creation failed; only deleting helps."""
    rollback_failed: bool = False
    mixed: MixedVersions | None = None
    """Set together with ``rollback_failed``: what serves beside ``serving`` until the next update."""
    failure_reason: str | None = None
    deleting: bool = False
    rejected: tuple[str, ...] = ()
    """Digests of versions that evidence turned down; not rolled out again without an override."""
    clock: ClockMark | None = None
    """By which clock the deadlines of what is under way were set; None: not known yet."""
    schema: int = 1
