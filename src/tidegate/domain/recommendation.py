"""A job that finds which instance types serve a model at the lowest cost, by loading it for real."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tidegate.domain.registry import Model


class RecommendationStatus(StrEnum):
    """SageMaker's words."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"


@dataclass(frozen=True)
class RecommendationLimits:
    """``seconds``: after so many no new load begins. ``percent`` of the answers come within ``latency`` seconds, or a
    rate counts as too high. ``rate``: requests a second that are looked for at most, None: whatever is carried.
    ``tests``: configurations that are tried at most."""

    seconds: float = 2700.0
    percent: float = 95.0
    latency: float = 0.5
    rate: float | None = None
    tests: int | None = None


@dataclass(frozen=True)
class ConfigurationTrial:
    """One configuration under load. ``rate``: the highest in requests a second that held, 0.0 where none has so far;
    ``latency``: seconds at that rate, else the shortest that was seen; None before the first load has ended."""

    environment: dict[str, str]
    instances: int
    rate: float = 0.0
    latency: float | None = None


@dataclass(frozen=True)
class RecommendedInstance:
    """One instance type. ``hourly``: dollars; ``per_minute``: invocations that one instance carries within the
    objective; ``latency`` in seconds; ``cpu`` and ``memory`` in percent of the instance."""

    instance_type: str
    hourly: float
    per_minute: int
    latency: float
    cpu: float
    memory: float
    environment: dict[str, str]


@dataclass(frozen=True)
class RecommendationJob:
    """``model`` is a copy: deleting it later changes nothing. ``types``: instance types to choose among; empty: all
    that have a known price. ``content_type``: of the samples; empty: by the name of their file."""

    name: str
    model: Model
    sample: str
    created_at: datetime
    content_type: str = ""
    limits: RecommendationLimits = field(default_factory=RecommendationLimits)
    types: tuple[str, ...] = ()
    stopping: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: RecommendationStatus | None = None
    """How it ended; None while it goes on."""
    reason: str = ""
    """Why it failed."""
    steps: tuple[ConfigurationTrial, ...] = ()
    found: tuple[RecommendedInstance, ...] = ()
    """The lowest cost of a request first."""
    wire: dict[str, object] = field(default_factory=dict)
    """Members of CreateInferenceRecommendationsJob as they were given, so that Describe echoes them."""

    @property
    def status(self) -> RecommendationStatus:
        if self.outcome is not None:
            return self.outcome
        if self.stopping:
            return RecommendationStatus.STOPPING
        return RecommendationStatus.IN_PROGRESS if self.started_at else RecommendationStatus.PENDING
