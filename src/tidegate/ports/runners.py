"""What runs transform jobs on a target: one process per job, which outlives whoever started it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import FleetStatus
from tidegate.domain.transform import TransformJob, TransformProgress


@dataclass(frozen=True)
class RunnerSeen:
    """``reason``: of a job that has ended, empty when it is complete; None: it has not."""

    alive: bool
    progress: TransformProgress
    reason: str | None


class Runners(Protocol):
    async def start(self, job: TransformJob, fleet: FleetSpec) -> None:
        """Nothing where it runs already. Raises Transient."""
        ...

    async def look(self, job: TransformJob) -> RunnerSeen:
        """A result from before the job was resumed counts for nothing."""
        ...

    def stop(self, name: str) -> None:
        """Asks it to go, then makes it."""
        ...

    async def discard(self, name: str) -> None:
        """Removes what a job that is complete leaves of its work."""
        ...

    async def keep(self, name: str) -> None:
        """What a job that failed or was stopped has done stays for a while, and uploads under way do not."""
        ...

    async def prune(self, active: Collection[str]) -> None:
        """Removes kept work that is old or takes too much space, but nothing of these jobs."""
        ...


class Fleets(Protocol):
    """The part of a target that jobs need."""

    async def ensure_fleet(self, fleet: FleetSpec, fence: int) -> None: ...

    async def delete_fleet(self, fleet: FleetId, fence: int) -> None: ...

    def seen(self, fleet: FleetId) -> FleetStatus | None: ...
