"""A job that finds the instance types that serve a model at the lowest cost, by load-testing it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tidegate.domain.registry import Model


class RecommendationStatus(StrEnum):
    """SageMaker's statuses."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"


@dataclass(frozen=True)
class RecommendationLimits:
    """``seconds``: no new load starts after this time. A rate counts as too high unless ``percent`` of the responses
    take at most ``latency`` seconds. ``rate``: highest rate to look for, in requests per second; None: no limit.
    ``tests``: maximum number of configurations to try."""

    seconds: float = 2700.0
    percent: float = 95.0
    latency: float = 0.5
    rate: float | None = None
    tests: int | None = None


@dataclass(frozen=True)
class ConfigurationTrial:
    """One configuration under load. ``rate``: highest sustained rate in requests per second, 0.0 if none so far.
    ``latency``: seconds at that rate, otherwise the shortest measured; None before the first load has ended."""

    environment: dict[str, str]
    instances: int
    rate: float = 0.0
    latency: float | None = None


@dataclass(frozen=True)
class RecommendedInstance:
    """One instance type. ``hourly``: dollars; ``per_minute``: invocations that one instance sustains within the
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
    """``model`` is a copy, so deleting the original has no effect. ``types``: candidate instance types; empty: all
    with a known price. ``content_type``: that of the samples; empty: by their file name."""

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
    """How it ended; None while it runs."""
    reason: str = ""
    """Why it failed."""
    steps: tuple[ConfigurationTrial, ...] = ()
    found: tuple[RecommendedInstance, ...] = ()
    """By cost per request, lowest first."""
    wire: dict[str, object] = field(default_factory=dict)
    """Members of CreateInferenceRecommendationsJob, unchanged, for Describe."""

    @property
    def status(self) -> RecommendationStatus:
        if self.outcome is not None:
            return self.outcome
        if self.stopping:
            return RecommendationStatus.STOPPING
        return RecommendationStatus.IN_PROGRESS if self.started_at else RecommendationStatus.PENDING
