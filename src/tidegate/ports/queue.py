"""Accepted asynchronous requests, kept until their end.

Whoever takes an item holds it under a lease and a fence: an item whose lease ran out goes to the next who asks, with
a higher fence, and what the former holder still says of it does not land.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tidegate.domain.asynchronous import Backlog, Item, ItemMeasurements, ItemOutcome, ItemState, LeasedItem
from tidegate.ports.store import Tx


@dataclass(frozen=True)
class Note:
    """What a holder says of its item. Lands only while the fence is the item's own."""

    id: str
    fence: int
    state: ItemState
    due_at: float = 0.0
    """WAITING: not before then."""
    tries: int = 0
    losses: int = 0
    outcome: ItemOutcome | None = None
    measures: ItemMeasurements | None = None


@dataclass(frozen=True)
class Row:
    """An item as people look at it."""

    item: Item
    state: ItemState
    fence: int
    outcome: ItemOutcome | None


class Queue(Protocol):
    async def accept(self, make: Callable[[Tx], Item], body: bytes | None) -> Item:
        """Durable when this returns. Those that come together share a transaction, in which ``make`` reads what it
        needs: it may be called again, and writes nothing. Raises what ``make`` raises, or Unavailable, with nothing
        kept."""
        ...

    async def claim(self, endpoint: str, most: int, now: float, until: float) -> list[LeasedItem]:
        """Leases items of the endpoint that are due, the oldest first; also those whose lease ran out. What waited
        for too long comes with its end (``steps.taken``)."""
        ...

    async def overdue(self, most: int, now: float, until: float) -> list[LeasedItem]:
        """Leases items, of any endpoint, that nobody holds and that must not wait for an instance: past their time
        to live, or with nothing left but to be told."""
        ...

    async def take_over(self, now: float) -> int:
        """Ends the leases that were taken under this holder's name, whose former owner is dead; returns how many."""
        ...

    async def extend(self, fences: Mapping[str, int], until: float) -> set[str]:
        """Renews leases; returns the ids that are still held."""
        ...

    async def note(self, notes: Sequence[Note]) -> set[str]:
        """Returns the ids whose note landed. A finished item's body is let go."""
        ...

    async def body(self, id: str) -> bytes:
        """Of an item that came without it."""
        ...

    async def backlogs(self) -> dict[str, Backlog]:
        """Endpoints that have items which are not finished."""
        ...

    async def strangers(self, known: Collection[str]) -> dict[str, float]:
        """Endpoints beside the known ones that have items which are not finished -> when the oldest was accepted."""
        ...

    async def measured(self, most: int) -> list[ItemMeasurements]:
        """Of finished items, each of them once."""
        ...

    async def rows(self, endpoint: str, most: int) -> list[Row]:
        """The newest first."""
        ...

    async def row(self, id: str) -> Row | None: ...

    async def prune(self, before: float) -> int:
        """Forgets items that were finished before then; returns how many."""
        ...
