"""Evidence about a new version in comparison with the old one: what is compared, what is found, what is kept."""

from dataclasses import dataclass, field
from enum import StrEnum

from tidegate.domain.finding import Finding
from tidegate.domain.replay import ReplayConfig

__all__ = [
    "Comparison",
    "ComparisonResult",
    "Counts",
    "EvidenceAction",
    "EvidenceBlock",
    "EvidenceConfig",
    "EvidenceRecord",
    "Finding",
    "NoDataAction",
    "StoredEvidence",
    "Verdict",
]


class Comparison(StrEnum):
    """What of the two versions is compared."""

    ERRORS = "errors"
    LATENCY = "latency"
    PREDICTIONS = "predictions"


class EvidenceAction(StrEnum):
    """What a difference above its tolerance does."""

    ROLLBACK = "rollback"
    GATE = "gate"
    """The stage holds until a person promotes or aborts the rollout."""
    REPORT = "report"


class NoDataAction(StrEnum):
    """What happens to a stage that has too little evidence at its deadline."""

    ROLLBACK = "rollback"
    GATE = "gate"
    ADVANCE = "advance"


@dataclass(frozen=True)
class EvidenceConfig:
    """How the versions of a rollout are compared. Tolerances are differences that do no harm, as fractions."""

    compare: tuple[Comparison, ...] = (Comparison.ERRORS, Comparison.LATENCY)
    errors: float = 0.0005
    """Part of the requests that may fail in addition to those that fail on the old version."""
    latency: float = 0.3
    """Part by which a quantile of the latency may exceed the old version's."""
    predictions: float = 0.1
    """Part of the predictions that may move across any level."""
    false_rollback_rate: float = 0.01
    """Upper bound of the probability that a rollout of an equal version fails, over all comparisons and looks."""
    action: EvidenceAction = EvidenceAction.ROLLBACK
    minimum: int = 100
    """Requests of each version that every comparison needs in each stage to pass."""
    deadline: int = 3600
    """Seconds after the end of a bake until which evidence may arrive."""
    on_no_data: NoDataAction = NoDataAction.ROLLBACK
    replay: ReplayConfig | None = None
    """Labelled rows that both versions answer before any traffic is shifted."""


Counts = tuple[int, int, int, int]
"""Requests and hits of the old version, requests and hits of the new version."""


@dataclass(frozen=True)
class EvidenceBlock:
    """Counts of one span of time (``at`` to ``at + seconds``, epoch seconds) in one stage, by test."""

    at: int
    seconds: int
    stage: int
    counts: dict[str, Counts]


@dataclass(frozen=True)
class ComparisonResult:
    """Result of one comparison of one variant, which may consist of several tests. ``evidence`` is the logarithm
    of the largest e-value so far over the logarithm at which the comparison fails: 1 or more is a failure.
    ``test`` is the test that has most evidence, and ``counts`` are its sums over the rollout."""

    comparison: Comparison
    variant: str
    finding: Finding
    evidence: float
    test: str
    counts: Counts = (0, 0, 0, 0)
    stage_requests: tuple[int, int] = (0, 0)
    """Requests of the old and of the new version in the present stage."""
    stage_blocks: int = 0
    """Blocks of the present stage in which both versions had requests."""


@dataclass(frozen=True)
class Verdict:
    """Result of all comparisons of a rollout, as of one stage."""

    finding: Finding
    stage: int
    reason: str
    results: tuple[ComparisonResult, ...] = ()


@dataclass(frozen=True)
class EvidenceRecord:
    """Everything that the verdict on a rollout follows from, so that anyone can recompute it."""

    endpoint: str
    rollout: str
    old_config: str
    new_config: str
    config: EvidenceConfig
    variants: tuple[str, ...]
    verdict: Verdict
    through: int
    """Epoch second up to which requests were counted (exclusive)."""
    blocks: dict[str, EvidenceBlock] = field(default_factory=dict)
    """By their begin, as text."""
    thresholds: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By test: the last thresholds for the old and the new version (microseconds, or the unit of a prediction)."""
    late: int = 0
    """Reports that came after their block was closed; they count as nothing."""
    unusable: tuple[int, int] = (0, 0)
    """Sampled answers of the old and of the new version without a finite number."""


@dataclass(frozen=True)
class StoredEvidence:
    """A record as the store keeps it. Its blocks are JSON texts, so that what a block adds to the journal is found
    without a look into all others."""

    record: EvidenceRecord
    blocks: dict[str, str] = field(default_factory=dict)
