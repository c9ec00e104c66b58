"""What runs recommendation jobs: one process per job, which outlives whoever started it."""

from dataclasses import dataclass
from typing import Protocol

from tidegate.domain.recommendation import ConfigurationTrial, RecommendationJob, RecommendedInstance


@dataclass(frozen=True)
class RecommenderSeen:
    """``reason``: of a job that has ended, empty when it is complete; None: it has not. ``said``: the last line that
    the process wrote."""

    alive: bool
    steps: tuple[ConfigurationTrial, ...] = ()
    reason: str | None = None
    found: tuple[RecommendedInstance, ...] = ()
    said: str = ""


class Recommenders(Protocol):
    def kept(self) -> tuple[str, ...]:
        """Jobs of which something is left: a process, or files of its work."""
        ...

    async def start(self, job: RecommendationJob) -> None:
        """Nothing where it runs already. Raises Transient."""
        ...

    async def look(self, name: str) -> RecommenderSeen: ...

    def stop(self, name: str) -> None:
        """Ask it to end, then kill it."""
        ...

    async def discard(self, name: str) -> None:
        """End what a process that has gone left running, and remove its files."""
        ...

    async def end(self, drain: bool) -> None:
        """With the controller: end every job's process, which begins anew at the next start; without ``drain`` leave
        them running for the next controller."""
        ...
