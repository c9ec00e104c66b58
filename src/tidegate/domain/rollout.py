"""Words of a rollout: what the user asked for, the plan it compiles to, the durable record of how it stands."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

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
        """Instances out of ``total``: at least 1, at most all; percent is rounded half up (sources are silent;
        33 % of 3 is 1)."""
        if self.type is SizeType.INSTANCE_COUNT:
            return min(total, self.value)
        return min(total, max(1, (total * self.value + 50) // 100))


class TrafficRouting(StrEnum):
    ALL_AT_ONCE = "ALL_AT_ONCE"
    CANARY = "CANARY"
    LINEAR = "LINEAR"


@dataclass(frozen=True)
class BlueGreen:
    """A whole new fleet beside the old; traffic moves by ``routing``. Waits are seconds."""

    routing: TrafficRouting = TrafficRouting.ALL_AT_ONCE
    wait: int = 0
    size: CapacitySize | None = None
    """Canary size or linear step."""
    termination_wait: int = 0
    """The final bake, with all traffic on the new fleet and the old one still whole."""

    @property
    def plain(self) -> bool:
        """No guardrail: SageMaker's default update."""
        return self.routing is TrafficRouting.ALL_AT_ONCE and not self.termination_wait


@dataclass(frozen=True)
class Rolling:
    """Batches of new instances take the place of old ones. Waits are seconds."""

    batch: CapacitySize
    wait: int = 0
    rollback_batch: CapacitySize | None = None
    """None: roll back all at once."""


@dataclass(frozen=True)
class DeploymentConfig:
    """How an update is carried out and what makes it roll back."""

    blue_green: BlueGreen | None = None
    rolling: Rolling | None = None
    execution_timeout: int | None = None
    """Seconds for the whole update; past it the update rolls back. None: the waits plus start-up deadlines."""
    alarms: tuple[str, ...] = ()
    require_evidence: bool = False
    """True: an alarm in INSUFFICIENT_DATA holds the rollout where it stands (it never counts as good news)."""
    wire: dict[str, object] = field(default_factory=dict)


def part_of(count: int, total: int) -> int:
    """``count`` of ``total`` instances in basis points, rounded down."""
    return WHOLE if count >= total else WHOLE * count // total


@dataclass(frozen=True)
class Version:
    """Everything one config runs: one side of a rollout."""

    generation: int
    config_name: str
    variants: tuple[VariantSpec, ...]
    wire: dict[str, object] = field(default_factory=dict)
    """Members of the config that nothing here uses, and that Describe of the endpoint shows."""

    @property
    def production(self) -> tuple[VariantSpec, ...]:
        """The variants that clients' requests go to."""
        return tuple(v for v in self.variants if not v.shadow)

    @property
    def shadow(self) -> VariantSpec | None:
        """The variant that gets copies of them."""
        return next((v for v in self.variants if v.shadow), None)

    @property
    def weights(self) -> dict[str, float]:
        """Weights that can take requests: a variant without instances counts as 0, unless its requests
        wait in a queue. Shadows have none."""
        return {v.name: v.weight if v.instance_count or v.asynchronous else 0.0 for v in self.production}

    @property
    def serverless(self) -> bool:
        return any(v.serverless is not None for v in self.variants)

    @property
    def total_instances(self) -> int:
        """Those that take clients' requests."""
        return sum(v.instance_count for v in self.production)

    def counts(self, part: int) -> dict[str, int]:
        """Instances per variant when this part (basis points) of the version runs: the fewest that carry it. A
        part is a whole number of basis points, so a third is 3,333; one basis point of slack makes up for it."""
        return {v.name: -(-v.instance_count * max(0, part - 1) // WHOLE) for v in self.variants}


@dataclass(frozen=True)
class RolloutStage:
    """One step of a plan. ``share`` is the new side's part of the traffic, ``new_part`` and ``old_part`` are the
    parts of each version's full size that run while it holds (all in basis points; ``Version.counts`` gives the
    instances, so a version that is scaled keeps its plan). ``bake`` is seconds."""

    share: int
    bake: int
    new_part: int = WHOLE
    old_part: int = WHOLE


@dataclass(frozen=True)
class RolloutPlan:
    """Compiled once from a DeploymentConfig and the two versions, then stored with the record.

    The bake of the last stage is the final bake (SageMaker's termination wait). Timeouts are seconds.
    """

    stages: tuple[RolloutStage, ...]
    rollback_parts: tuple[int, ...] = (WHOLE,)
    """Rolling: parts of the old version that are brought back one after the other. Blue/green keeps it whole."""
    execution_timeout: int | None = None
    provisioning_timeout: int = 900
    """How long one batch of replicas may take until all are ready."""
    shift_timeout: int = 300
    """How long a change of traffic may take until it is seen to be in force."""
    drain_timeout: int = 900
    """How long a retired fleet may take until it is gone; what is left then is reported and cleaned up later."""
    alarms: tuple[str, ...] = ()
    require_evidence: bool = False
    rolling: bool = False


@dataclass(frozen=True)
class MixedVersions:
    """What a rollback that failed left beside the serving version. Parts and share are basis points."""

    version: Version
    share: int
    part: int
    serving_part: int


class Phase(StrEnum):
    """Where a rollout stands; names as SageMaker's VariantStatus where it has one."""

    PROVISIONING = "Provisioning"
    ACTIVATING_TRAFFIC = "ActivatingTraffic"
    BAKING = "Baking"
    TERMINATING = "Terminating"
    SUCCEEDED = "Succeeded"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    ROLLBACK_FAILED = "RollbackFailed"
    FAILED = "Failed"
    """A first creation that did not come up; there is nothing to roll back to."""

    @property
    def ended(self) -> bool:
        return self in (Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.ROLLBACK_FAILED, Phase.FAILED)


class Cause(StrEnum):
    """Why a rollout turned back."""

    ALARM = "Alarm"
    ABORTED = "Aborted"
    PROVISIONING = "ProvisioningFailed"
    TIMEOUT = "ExecutionTimeout"
    CAPACITY = "CapacityLost"
    SUPERSEDED = "Superseded"
    EVIDENCE = "Evidence"


@dataclass(frozen=True)
class Condition:
    """An outcome on record: what, true or not, since when and why."""

    type: str
    status: bool
    reason: str
    message: str
    since: datetime
