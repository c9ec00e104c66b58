"""Durable records and their journal.

A record is (kind, name) -> body, with a version that rises by one at every write. Every write appends a journal
line in the same transaction: the kind, the name, the version, the new body (None: deleted), the events that tell
why. Folding the journal gives the records, also after old lines were pruned. Outside a transaction nothing is read or
written.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from tidegate.domain.errors import UnreadableRecord
from tidegate.domain.observation import Event

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A kind of record: its name in the store and the frozen dataclass of its body."""

    name: str
    type: type[T]


@dataclass(frozen=True)
class StoredRecord(Generic[T]):
    """A record as it stands in the store."""

    name: str
    body: T
    version: int
    created_at: datetime
    modified_at: datetime


@dataclass(frozen=True)
class Unreadable:
    """A record that is there and cannot be read by this version; ``why`` is one line that names it."""

    kind: str
    name: str
    created_at: datetime
    modified_at: datetime
    why: str


@dataclass(frozen=True)
class RecordPage(Generic[T]):
    """Records that can be read are ``items``. Whoever concludes anything from a record's absence looks at
    ``unreadable``, too."""

    items: list[StoredRecord[T]]
    next: str | None
    """Opaque; pass it back to go on. None: that was all."""
    unreadable: tuple[Unreadable, ...] = ()

    def require_all(self) -> list[StoredRecord[T]]:
        """The items, for what would be wrong without one of them. Raises UnreadableRecord."""
        for one in self.unreadable:
            raise UnreadableRecord(one.why, about=(one.kind, one.name))
        return self.items


@dataclass(frozen=True)
class JournalLine:
    """``seq`` rises over the whole store; ``body`` is the record after this write as plain JSON data, where it was
    asked for."""

    seq: int
    at: datetime
    kind: str
    name: str
    version: int
    body: object | None
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Filter:
    """Filter and order of a listing. Times are exclusive bounds, as in SageMaker's lists."""

    name_contains: str | None = None
    name_prefix: str | None = None
    name_in_any_case: str | None = None
    """The whole name, without regard to the case of ASCII letters."""
    created_after: datetime | None = None
    created_before: datetime | None = None
    modified_after: datetime | None = None
    modified_before: datetime | None = None
    sort_by: str = "created"
    """``created``, ``modified`` or ``name``; ties are ordered by name."""
    descending: bool = True


def fold_ascii(name: str) -> str:
    """The name with small ASCII letters in place of capital ones."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)


class Stale(Exception):
    """Somebody else wrote the record first: the write did not land and the transaction is undone."""


class Tx(Protocol):
    """One transaction: all of it is committed, or none of it."""

    def get(self, kind: Kind[T], name: str) -> StoredRecord[T] | None:
        """Return a record; None if there is none. Raises UnreadableRecord."""
        ...

    def put(
        self,
        kind: Kind[T],
        name: str,
        body: T,
        *,
        expect: int | None,
        now: datetime,
        events: Sequence[Event] = (),
    ) -> int:
        """Write and journal. ``expect`` is the version that it replaces, 0 for a new record, None for any. Returns
        the new version; raises Stale if another one is there."""
        ...

    def delete(
        self, kind: Kind[T], name: str, *, expect: int | None, now: datetime, events: Sequence[Event] = ()
    ) -> bool:
        """Remove and journal; False if it was not there. Raises Stale like put."""
        ...

    def find(
        self, kind: Kind[T], where: Filter | None = None, limit: int | None = None, after: str | None = None
    ) -> RecordPage[T]:
        """``after`` is an earlier page's ``next``; raises Invalid for one that does not fit. A record that cannot be
        read takes its place in the page and holds up no other."""
        ...

    def versions(self, kind: Kind[T]) -> dict[str, int]:
        """The version of every record of a kind, by its name; no body is read."""
        ...

    def journal(
        self,
        *,
        kind: str | None = None,
        name: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: int = 0,
        limit: int = 100,
        newest_first: bool = False,
        bodies: bool = True,
    ) -> list[JournalLine]:
        """Lines with ``seq`` above ``after`` (below it when ``newest_first`` and ``after`` is not 0). Without
        ``bodies`` their records are not put together, which takes longer than the rest."""
        ...

    def prune_journal(self, before: datetime, most: int) -> int:
        """Remove lines that were written before then, but for those from which a record that is there follows;
        returns how many, ``most`` at a time."""
        ...


class Store(Protocol):
    async def run(self, work: Callable[[Tx], R]) -> R:
        """Run ``work`` in one transaction, off the event loop; an exception undoes all of it. ``work`` may be
        run again if the database asks for that (a serialisation failure), so it has no other effects."""
        ...

    async def read(self, work: Callable[[Tx], R]) -> R:
        """Run ``work``, which writes nothing, on the records of one moment. It waits for no writer, also not for one
        of another process that keeps the database locked."""
        ...

    async def newest(self) -> tuple[int, datetime] | None:
        """Return the number and time of the journal's newest line; None if it has none. All callers within half a
        second may share one read; nothing that this process wrote before is missing. Raises Unavailable."""
        ...

    async def close(self) -> None: ...
