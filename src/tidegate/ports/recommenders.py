"""Processes that run recommendation jobs: one per job, which outlives the process that started it."""

from dataclasses import dataclass
from typing import Protocol

from tidegate.domain.recommendation import ConfigurationTrial, RecommendationJob, RecommendedInstance


@dataclass(frozen=True)
class RecommenderState:
    """State of a job's process. ``reason`` is that of a job that has ended, and empty if the job is complete; None
    means that it has not ended. ``said`` is the last line that the process wrote."""

    alive: bool
    steps: tuple[ConfigurationTrial, ...] = ()
    reason: str | None = None
    found: tuple[RecommendedInstance, ...] = ()
    said: str = ""


class Recommenders(Protocol):
    def kept(self) -> tuple[str, ...]:
        """Jobs of which something is left: a process, or files of its work."""
        ...

    async def start(self, job: RecommendationJob, file: bytes) -> None:
        """Start the job. No-op if it is already running. The process is started with ``file``. Raises Transient."""
        ...

    async def look(self, name: str) -> RecommenderState: ...

    def stop(self, name: str) -> None:
        """Ask it to end, then kill it."""
        ...

    async def discard(self, name: str) -> None:
        """End what a process that has gone left running, and remove its files."""
        ...

    async def end(self, drain: bool) -> None:
        """End every job's process, which begins anew at the next start; without ``drain`` leave them running for the
        next controller. This runs when the controller ends."""
        ...
