"""The right to act on a store: one controller has it at a time.

``fence`` is higher with every holder. The store's transactions compare it, so that what a former holder still writes
does not land, however late it learns of its loss.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class LeaseCandidate:
    """A process that wants the lease."""

    id: str
    """Of this process alone."""
    place: str
    """One process at a time is there, which has made sure of it: a former holder of the same place is dead."""
    shown: str
    """For people: where it runs."""


class Lease(Protocol):
    lost: asyncio.Event
    """Set once another has taken the lease: its former holder ends what it does."""

    @property
    def fence(self) -> int: ...

    @property
    def held(self) -> bool:
        """Whether nobody else can have it now. False also while the store cannot be reached for so long that another
        might have taken it: then ``lost`` is not set, and the lease is held again if none did."""
        ...

    async def release(self) -> None:
        """Let another controller have it at once. Does not raise."""
        ...
