"""History of an endpoint: every version that served or was tried, and how it ended."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tidegate.domain.evidence import NO_EXPLANATION, Explanation
from tidegate.domain.rollout import Condition, DeploymentConfig, Version


class VersionOutcome(StrEnum):
    """Outcome of a version."""

    ROLLING_OUT = "RollingOut"
    SERVING = "Serving"
    REPLACED = "Replaced"
    UNDONE = "Undone"
    """It served, and somebody went back to an earlier version."""
    ROLLED_BACK = "RolledBack"
    ROLLBACK_FAILED = "RollbackFailed"
    """Its rollback failed: it serves beside another version until the next update."""
    FAILED = "Failed"
    """The creation failed, the endpoint was deleted in mid-rollout, or the version never began."""

    @property
    def live(self) -> bool:
        """Whether fleets of the version may run."""
        return self in (VersionOutcome.ROLLING_OUT, VersionOutcome.SERVING, VersionOutcome.ROLLBACK_FAILED)


@dataclass(frozen=True)
class HistoryEntry:
    """One version and its rollout. ``number`` counts the versions of an endpoint from 1 and is never reused."""

    number: int
    rollout: str
    """Id of the rollout."""
    version: Version
    """As it was when its rollout began; later changes of weights and counts are not part of it."""
    deployment: DeploymentConfig
    asked_by: str
    began_at: datetime
    digest: str
    """Digest of what decides its answers (``rollout.digest``)."""
    served_at: datetime | None = None
    """When it began to serve alone; None: it never did."""
    ended_at: datetime | None = None
    outcome: VersionOutcome = VersionOutcome.ROLLING_OUT
    reason: str = ""
    """Why it ended."""
    artifacts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Variant -> digest of each container's model data, "" for a container without; empty until they are known."""
    failures: tuple[str, ...] = ()
    """The last messages of its failed requests when it was rolled back, the newest first."""
    undo: bool = False
    """Its rollout went back to an earlier version."""
    approval: Condition | None = None
    """Who approved it, and when."""
    never_began: bool = False
    """It was accepted to follow another rollout, and given up before it began."""
    explanation: Explanation = NO_EXPLANATION
    """What a person is shown of its rollback besides the reason."""


@dataclass(frozen=True)
class History:
    """Oldest entry first."""

    entries: tuple[HistoryEntry, ...] = ()

    @property
    def begun(self) -> tuple[HistoryEntry, ...]:
        """The entries of versions of which instances may have run."""
        return tuple(entry for entry in self.entries if not entry.never_began)
