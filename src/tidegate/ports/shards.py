"""The shards of transform jobs in a database that runners of other machines share: the controller's side."""

from collections.abc import Collection
from typing import Protocol

from tidegate.domain.shards import ShardTally


class ShardBoard(Protocol):
    """Shards of jobs, which runners lease. Methods raise Unavailable."""

    async def open(self, job: str, attempt: int) -> None:
        """Offer the job's listing to runners, again for a later attempt: what an earlier one left leased is revoked.
        Nothing where this attempt is open already."""
        ...

    async def tally(self, job: str) -> ShardTally | None:
        """Return the totals of a job's shards; None if it has none."""
        ...

    async def revoke(self, job: str) -> None:
        """Lease no more shards of the job, and drop what holders still report, until the job is opened again."""
        ...

    async def discard(self, job: str) -> None: ...

    async def prune(self, active: Collection[str], seconds: float) -> list[str]:
        """Remove shards of other jobs that nobody changed for so long; returns their jobs."""
        ...
