"""Processes that run transform jobs on a target: one per job, which outlives the process that started it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tidegate.domain.fleet import FleetSpec
from tidegate.domain.transform import TransformJob, TransformProgress


@dataclass(frozen=True)
class RunnerState:
    """State of a job's runner. ``reason`` is that of a job that has ended, and empty if the job is complete; None
    means that it has not ended."""

    alive: bool
    progress: TransformProgress
    reason: str | None


Describe = Callable[[Path], bytes]
"""Makes what a runner is started with, of the folder of its fleet's replicas."""


class Runners(Protocol):
    async def start(self, job: TransformJob, fleet: FleetSpec, describe: Describe) -> None:
        """Start the job. No-op if it is already running. Raises Transient."""
        ...

    async def look(self, job: TransformJob) -> RunnerState:
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
        """Return the progress of a job's runner until now; None if there is no runner."""
        ...

    async def end(self, drain: bool) -> None:
        """Stop every runner, whose job goes on at the next start; without ``drain`` leave them running for the next
        controller. This runs when the controller ends."""
        ...
