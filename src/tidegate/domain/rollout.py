"""Types of a rollout: deployment config, compiled plan, phases and conditions."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tidegate.domain.access import Role
from tidegate.domain.asynchronous import AsyncConfig
from tidegate.domain.evidence import EvidenceConfig
from tidegate.domain.fleet import VariantSpec
from tidegate.domain.traffic import WHOLE


class SizeType(StrEnum):
    INSTANCE_COUNT = "INSTANCE_COUNT"
    CAPACITY_PERCENT = "CAPACITY_PERCENT"


@dataclass(frozen=True)
class CapacitySize:
    type: SizeType
    value: int

    def instances(self, total: int) -> int:
        """Instances out of ``total``: at least 1, at most all. Percentages are rounded half up (33 % of 3 is 1);
        SageMaker's documents do not say."""
        if self.type is SizeType.INSTANCE_COUNT:
            return min(total, self.value)
        return min(total, max(1, (total * self.value + 50) // 100))


class TrafficRouting(StrEnum):
    ALL_AT_ONCE = "ALL_AT_ONCE"
    CANARY = "CANARY"
    LINEAR = "LINEAR"


@dataclass(frozen=True)
class BlueGreen:
    """A complete new fleet runs beside the old one; traffic moves by ``routing``. Waits are seconds."""

    routing: TrafficRouting = TrafficRouting.ALL_AT_ONCE
    wait: int = 0
    size: CapacitySize | None = None
    """Canary size or linear step."""
    termination_wait: int = 0
    """The final bake: all traffic on the new fleet, while the old one is still complete."""

    @property
    def plain(self) -> bool:
        """No guardrail: SageMaker's default update."""
        return self.routing is TrafficRouting.ALL_AT_ONCE and not self.termination_wait


@dataclass(frozen=True)
class RollingUpdate:
    """Batches of new instances replace old ones. Waits are seconds."""

    batch: CapacitySize
    wait: int = 0
    rollback_batch: CapacitySize | None = None
    """None: roll back all at once."""


@dataclass(frozen=True)
class Approval:
    """A person with at least this role lets the new version have all of the traffic."""

    role: Role
    author_may: bool = False
    """Whether it may be the one who asked for the rollout."""


@dataclass(frozen=True)
class Holdback:
    """After the last step the old version stays complete and keeps a share (basis points) for some seconds."""

    share: int
    seconds: int


@dataclass(frozen=True)
class DeploymentConfig:
    """How an update is rolled out and what rolls it back."""

    blue_green: BlueGreen | None = None
    rolling: RollingUpdate | None = None
    execution_timeout: int | None = None
    """Seconds for the whole update; past it the update rolls back. None: the waits plus start-up deadlines."""
    alarms: tuple[str, ...] = ()
    require_evidence: bool = False
    """True: an alarm in INSUFFICIENT_DATA holds the rollout in its stage; it never counts as OK."""
    wire: dict[str, object] = field(default_factory=dict)
    evidence: EvidenceConfig | None = None
    """How the two versions are compared; None: the comparison decides nothing."""
    approval: Approval | None = None
    """None: nobody has to approve."""
    holdback: Holdback | None = None
    stick: str = ""
    """Header whose value names the client, who stays on one version; empty: chance assigns each request."""


def part_of(count: int, total: int) -> int:
    """``count`` of ``total`` instances in basis points, rounded down."""
    return WHOLE if count >= total else WHOLE * count // total


@dataclass(frozen=True)
class Version:
    """Everything that one config runs: the old or the new side of a rollout."""

    generation: int
    config_name: str
    variants: tuple[VariantSpec, ...]
    wire: dict[str, object] = field(default_factory=dict)
    """Unused members of the config that DescribeEndpoint returns."""

    @property
    def production(self) -> tuple[VariantSpec, ...]:
        """Variants that get clients' requests."""
        return tuple(v for v in self.variants if not v.shadow)

    @property
    def shadow(self) -> VariantSpec | None:
        """The variant that gets copies of requests, if any."""
        return next((v for v in self.variants if v.shadow), None)

    @property
    def weights(self) -> dict[str, float]:
        """Effective weights: 0 for a variant without instances, unless its requests wait in a queue. Shadow variants
        have none."""
        return {v.name: v.weight if v.instance_count or v.asynchronous else 0.0 for v in self.production}

    @property
    def serverless(self) -> bool:
        return any(v.serverless is not None for v in self.variants)

    @property
    def asynchronous(self) -> AsyncConfig | None:
        """Set: requests are queued, and responses written to storage."""
        return next((v.asynchronous for v in self.variants if v.asynchronous is not None), None)

    @property
    def total_instances(self) -> int:
        """Instances of production variants."""
        return sum(v.instance_count for v in self.production)

    def counts(self, part: int) -> dict[str, int]:
        """Fewest instances per variant that carry this part (basis points) of the version. Parts are whole basis
        points, so a third is 3,333; one basis point of slack compensates for that."""
        return {v.name: -(-v.instance_count * max(0, part - 1) // WHOLE) for v in self.variants}


@dataclass(frozen=True)
class RolloutStage:
    """One step of a plan. ``share`` is the new version's part of the traffic; ``new_part`` and ``old_part`` are the
    parts of each version's full size that run (all in basis points; ``Version.counts`` computes the instances, so
    scaling a version does not change its plan). ``bake`` is seconds."""

    share: int
    bake: int
    new_part: int = WHOLE
    old_part: int = WHOLE
    holdback: bool = False
    """The new version has passed, and the rest of the traffic stays on the old one: no lack of evidence holds this
    stage, and a new update ends it."""


@dataclass(frozen=True)
class RolloutPlan:
    """Compiled once from a DeploymentConfig and the two versions, then stored with the record.

    The bake of the last stage is the final bake (SageMaker's termination wait). Timeouts are seconds.
    """

    stages: tuple[RolloutStage, ...]
    rollback_parts: tuple[int, ...] = (WHOLE,)
    """Rolling: parts of the old version that a rollback restores step by step. Blue/green keeps it complete."""
    execution_timeout: int | None = None
    provisioning_timeout: int = 900
    """Time until a batch of replicas must be ready."""
    shift_timeout: int = 300
    """Time until a change of traffic must be observed in force."""
    drain_timeout: int = 900
    """Time until a retired fleet must be gone. What is left then is reported, and removed later."""
    alarms: tuple[str, ...] = ()
    require_evidence: bool = False
    rolling: bool = False
    evidence: EvidenceConfig | None = None
    approval: Approval | None = None
    stick: str = ""


@dataclass(frozen=True)
class MixedVersions:
    """The version that a failed rollback left beside the serving one. Parts and share are basis points."""

    version: Version
    share: int
    part: int
    serving_part: int


class Phase(StrEnum):
    """Phase of a rollout, named as in SageMaker's VariantStatus where that has the phase."""

    PROVISIONING = "Provisioning"
    ACTIVATING_TRAFFIC = "ActivatingTraffic"
    BAKING = "Baking"
    TERMINATING = "Terminating"
    SUCCEEDED = "Succeeded"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    ROLLBACK_FAILED = "RollbackFailed"
    FAILED = "Failed"
    """A creation that failed; there is no version to roll back to."""

    @property
    def ended(self) -> bool:
        return self in (Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.ROLLBACK_FAILED, Phase.FAILED)


class Cause(StrEnum):
    """Why a rollout was rolled back."""

    ALARM = "Alarm"
    ABORTED = "Aborted"
    PROVISIONING = "ProvisioningFailed"
    TIMEOUT = "ExecutionTimeout"
    CAPACITY = "CapacityLost"
    SUPERSEDED = "Superseded"
    EVIDENCE = "Evidence"


@dataclass(frozen=True)
class Condition:
    """A recorded outcome: type, status, reason and time."""

    type: str
    status: bool
    reason: str
    message: str
    since: datetime
