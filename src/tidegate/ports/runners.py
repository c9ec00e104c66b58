"""What runs transform jobs on a target: one process per job, which outlives whoever started it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from tidegate.domain.fleet import FleetSpec
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
        """A result from before the job was resumed is ignored."""
        ...

    def stop(self, name: str) -> None:
        """Ask it to end, then kill it."""
        ...

    async def discard(self, name: str) -> None:
        """Remove the work of a job that is complete."""
        ...

    async def keep(self, name: str) -> None:
        """Keep for a while what a failed or stopped job has done; abort its uploads."""
        ...

    async def prune(self, active: Collection[str]) -> None:
        """Remove kept work that is old or takes too much space, but nothing of these jobs."""
        ...

    def progress(self, name: str) -> TransformProgress | None:
        """What the runner of a job has done by now; None where there is none."""
        ...

    async def end(self, drain: bool) -> None:
        """With the controller: stop every runner, whose job goes on at the next start; without ``drain`` leave them
        running for the next controller."""
        ...
