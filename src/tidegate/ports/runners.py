"""What runs transform jobs on a target: one process per job, which outlives whoever started it."""

from dataclasses import dataclass
from typing import Protocol

from tidegate.model.fleet import FleetId, FleetSpec
from tidegate.model.observe import FleetSeen
from tidegate.model.transform import Progress, TransformJob


@dataclass(frozen=True)
class RunnerSeen:
    """``reason``: of a job that has ended, empty when it is complete; None: it has not."""

    alive: bool
    progress: Progress
    reason: str | None


class Runners(Protocol):
    async def start(self, job: TransformJob, fleet: FleetSpec) -> None:
        """Nothing where it runs already. Raises Transient."""
        ...

    async def look(self, name: str) -> RunnerSeen: ...

    def stop(self, name: str) -> None:
        """Asks it to go, then makes it."""
        ...

    async def discard(self, name: str) -> None:
        """Removes what a job that has ended leaves of its work."""
        ...


class Fleets(Protocol):
    """The part of a target that jobs need."""

    async def ensure_fleet(self, fleet: FleetSpec, fence: int) -> None: ...

    async def delete_fleet(self, fleet: FleetId, fence: int) -> None: ...

    def seen(self, fleet: FleetId) -> FleetSeen | None: ...
