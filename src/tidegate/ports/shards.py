"""The shards of transform jobs in a database that runners of other machines share: the controller's side."""

from collections.abc import Collection
from typing import Protocol

from tidegate.domain.shards import ShardTally


class ShardBoard(Protocol):
    """Raises Unavailable."""

    async def open(self, job: str, attempt: int) -> None:
        """Offer the job's listing to runners, again for a later attempt: what an earlier one left leased is revoked.
        Nothing where this attempt is open already."""
        ...

    async def tally(self, job: str) -> ShardTally | None:
        """None: the job has no shards."""
        ...

    async def revoke(self, job: str) -> None:
        """Nothing more is leased, and what holders still report is dropped, until the job is opened again."""
        ...

    async def discard(self, job: str) -> None: ...

    async def prune(self, active: Collection[str], seconds: float) -> list[str]:
        """Remove shards of other jobs that nobody changed for so long; returns their jobs."""
        ...
