"""Words of a rollout: what the user asked for, the plan it compiles to, the durable record of how it stands."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tidegate.model.fleet import VariantSpec


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


class Routing(StrEnum):
    ALL_AT_ONCE = "ALL_AT_ONCE"
    CANARY = "CANARY"
    LINEAR = "LINEAR"


@dataclass(frozen=True)
class BlueGreen:
    """A whole new fleet beside the old; traffic moves by ``routing``. Waits are seconds."""

    routing: Routing = Routing.ALL_AT_ONCE
    wait: int = 0
    size: CapacitySize | None = None
    """Canary size or linear step."""
    termination_wait: int = 0
    """The final bake, with all traffic on the new fleet and the old one still whole."""


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


@dataclass(frozen=True)
class Version:
    """Everything one config runs: one side of a rollout."""

    generation: int
    config_name: str
    variants: tuple[VariantSpec, ...]

    @property
    def weights(self) -> dict[str, float]:
        return {v.name: v.weight for v in self.variants}

    @property
    def total_instances(self) -> int:
        return sum(v.instance_count for v in self.variants)


@dataclass(frozen=True)
class Stage:
    """One step of a plan: the new side's share (basis points), its bake (seconds), and how many instances each
    side runs while it holds (variant name -> count)."""

    share: int
    bake: int
    new_counts: dict[str, int]
    old_counts: dict[str, int]


@dataclass(frozen=True)
class RolloutPlan:
    """Compiled once from a DeploymentConfig and the two versions, then stored with the record."""

    stages: tuple[Stage, ...]
    termination_wait: int
    rollback_stages: tuple[Stage, ...] = ()
    """Rolling with a rollback batch size: the way back, from wherever it stands. Empty: back all at once."""
    execution_timeout: int | None = None
    provisioning_timeout: int = 900
    alarms: tuple[str, ...] = ()
    require_evidence: bool = False
    rolling: bool = False


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
