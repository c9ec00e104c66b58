"""Accepted asynchronous requests, kept until they end.

A dispatcher holds an item under a lease and a fence. After the lease has expired, the item goes to the next
dispatcher that asks, with a higher fence, and what the former holder still reports is ignored.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from tidegate.domain.asynchronous import (
    Backlog,
    EndedTogether,
    Item,
    ItemMeasurements,
    ItemOutcome,
    ItemState,
    LeasedItem,
)
from tidegate.ports.store import Tx


class ItemReport(NamedTuple):
    """Report of a holder on its item. It is ignored unless the fence is the item's own. It is a tuple, since there
    are thousands a second, and a frozen dataclass takes ten times as long to make."""

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
class QueueRow:
    """An item as shown to people."""

    item: Item
    state: ItemState
    fence: int
    outcome: ItemOutcome | None


class Queue(Protocol):
    async def accept(self, make: Callable[[Tx], Item], body: bytes | None) -> Item:
        """The item is durable when this returns. Concurrent accepts share one transaction, in which ``make`` reads
        what it needs: it may be called again, and writes nothing. Raises what ``make`` raises, or Unavailable, with
        nothing kept."""
        ...

    async def claim(self, endpoint: str, most: int, now: float, until: float) -> list[LeasedItem]:
        """Lease items of the endpoint that are due, the oldest first, including those whose lease has expired. An
        item that waited for too long is returned as ended (``transitions.taken``)."""
        ...

    async def overdue(self, most: int, now: float, until: float) -> list[LeasedItem]:
        """Lease items of any endpoint that nobody holds and that need no instance: expired ones, and ended ones whose
        notification is due."""
        ...

    async def take_over(self, now: float) -> int:
        """Reclaim the leases that a dead process held under this holder's name; returns how many."""
        ...

    async def extend(self, fences: Mapping[str, int], until: float) -> set[str]:
        """Renew leases; returns the ids that are still held."""
        ...

    async def note(self, notes: Sequence[ItemReport]) -> set[str]:
        """Record the notes; returns the ids of those that were accepted. The body of a finished item is deleted."""
        ...

    def submit(self, note: ItemReport, done: Callable[[bool | None, BaseException | None], None]) -> None:
        """``note`` of one report, without a task: ``done`` gets whether it was accepted, or what ``note`` would
        raise."""
        ...

    async def body(self, id: str) -> bytes:
        """The body of an item that was leased without it."""
        ...

    async def backlogs(self) -> dict[str, Backlog]:
        """Endpoints that have items which are not finished."""
        ...

    async def strangers(self, known: Collection[str]) -> dict[str, float]:
        """Endpoints other than the known ones that have unfinished items -> when the oldest was accepted."""
        ...

    async def measured(self, most: int) -> list[EndedTogether]:
        """Measures of finished items, each of them once; of about ``most`` items at a time."""
        ...

    async def rows(self, endpoint: str, most: int) -> list[QueueRow]:
        """The newest first."""
        ...

    async def row(self, id: str) -> QueueRow | None: ...

    async def empty(self, endpoint: str, through: float, now: float, outcome: ItemOutcome) -> int:
        """End the endpoint's waiting items that were accepted until ``through``; returns how many. Each has this
        outcome, which a dispatcher then stores and tells as any other; those in progress go on."""
        ...

    async def prune(self, before: float) -> int:
        """Forget items that were finished before then; returns how many."""
        ...
