"""The queue of asynchronous requests in the store's database.

SQLite's transactions are serial. On PostgreSQL a claim locks its rows and skips rows that others have locked, so that
several dispatchers share a queue without waiting for each other; whatever else locks rows does so in the order of
their ids, so that no two wait for each other.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, TypeVar, cast

import msgspec
from sqlalchemy import BindParameter, Connection, Text, bindparam, case, delete, func, null, select, text, update
from sqlalchemy import cast as cast_column

from tidegate.domain.asynchronous import Backlog, EndedTogether, Item, ItemOutcome, ItemState, LeasedItem
from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import NotFound, TidegateError
from tidegate.host.group_commit import Done, GroupCommit
from tidegate.ports.queue import ItemReport, QueueRow
from tidegate.ports.store import Kind, StoredRecord, Tx
from tidegate.queueing import transitions
from tidegate.store import queue_sql
from tidegate.store.database import Database
from tidegate.store.queue_sql import StoredItem, select_due, select_overdue
from tidegate.store.tables import QUEUE
from tidegate.store.transaction import SqlTx

T = TypeVar("T")
Accept = tuple[Callable[[Tx], Item], bytes | None]


@dataclass(frozen=True)
class _Lease:
    """Items to lease, when to lease them, and until when."""

    select: Callable[[Connection], list[StoredItem]]
    now: float
    until: float


Turn = ItemReport | list[ItemReport] | _Lease
"""What a dispatcher writes."""
Turned = bool | set[str] | list[LeasedItem]
"""Whether it was accepted, which of them were, what was leased."""

ACCEPT_GATHER, TURN_GATHER = 0.008, 0.025
"""Seconds that requests which arrive, and what a dispatcher writes, wait for others to share their transaction."""
MEASURED_STEP = 20
"""Rows with measures that are read at a time: each has those of all requests that ended in one transaction."""
PRUNE_BATCH = EMPTY_BATCH = 5_000
_C = QUEUE.c
# Built once: SQLAlchemy takes longer to build these statements than the database to run them.
_NOW: BindParameter[float] = bindparam("now")
_HELD = text(queue_sql.HELD)
_OF_THESE = _C.id.in_(bindparam("ids", expanding=True))
_MINE = select(_C.id).where(_HELD, _C.holder == bindparam("_holder"), _C.due_at > _NOW)
_TAKE_OVER = update(QUEUE).where(_C.id.in_(_MINE.order_by(_C.id).with_for_update())).values(due_at=_NOW)
_EXTEND = update(QUEUE).values(due_at=bindparam("_due_at")).where(_C.id == bindparam("_id"))
_SELECT_MEASURES = (
    select(_C.id, cast_column(_C.measures, Text).label("measures"))
    .where(_C.measures.is_not(None))
    .limit(MEASURED_STEP)
    .with_for_update(skip_locked=True)
)
_CLEAR_MEASURES = update(QUEUE).values(measures=null()).where(_OF_THESE)
_SELECT_HELD = select(_C.id, _C.fence).where(_OF_THESE, _HELD).order_by(_C.id).with_for_update()
_WAITING = (
    text("state = 'waiting'"),
    _C.endpoint == bindparam("_endpoint"),
    _C.accepted_at <= bindparam("_through"),
)
_EMPTY = (
    update(QUEUE)
    # Rows that another holds are being leased or emptied: to wait for them might be to wait for each other.
    .where(
        _C.id.in_(select(_C.id).where(*_WAITING).limit(EMPTY_BATCH).with_for_update(skip_locked=True)), *_WAITING
    )
    .values(
        # A dispatcher may have stored the output of what it had before: the next one looks first.
        state=case((_C.fence == 0, str(ItemState.NOTIFYING)), else_=str(ItemState.WORKING)),
        outcome=bindparam("_outcome", type_=_C.outcome.type),
        due_at=_NOW,
        expires_at=_NOW,
        holder=null(),
    )
)
BACKLOGS = (
    select(_C.endpoint, func.count(), func.min(_C.accepted_at))
    .where(text("state = 'waiting'"))
    .group_by(_C.endpoint),
    select(_C.endpoint, func.count(), func.min(_C.accepted_at))
    .where(_HELD, _C.state == ItemState.WORKING)
    .group_by(_C.endpoint),
)


class SqlQueue:
    """A ``ports.queue.Queue``. Raises Unavailable, with nothing written, if the database is unavailable."""

    def __init__(self, database: Database, holder: str = "") -> None:
        """Make the queue of a dispatcher that leases under the name ``holder``. Only one dispatcher of a name runs at
        a time."""
        self._database = database
        self._holder = holder
        self._seen: dict[tuple[str, str], StoredRecord[Any]] = {}
        self._accepts: GroupCommit[Accept, Item | TidegateError] = GroupCommit(self._accept, ACCEPT_GATHER)
        self._turns: GroupCommit[Turn, Turned] = GroupCommit(self._take_turns, TURN_GATHER)

    async def accept(self, make: Callable[[Tx], Item], body: bytes | None) -> Item:
        made = await self._accepts.do((make, body))
        if isinstance(made, TidegateError):
            raise made
        return made

    async def claim(self, endpoint: str, most: int, now: float, until: float) -> list[LeasedItem]:
        return await self._lease(_Lease(partial(select_due, endpoint=endpoint, now=now, most=most), now, until))

    async def overdue(self, most: int, now: float, until: float) -> list[LeasedItem]:
        return await self._lease(_Lease(partial(select_overdue, now=now, most=most), now, until))

    async def take_over(self, now: float) -> int:
        given = {"_holder": self._holder, "now": now}
        return await self._database.run(lambda c: c.execute(_TAKE_OVER, given).rowcount)

    async def extend(self, fences: Mapping[str, int], until: float) -> set[str]:
        def work(connection: Connection) -> set[str]:
            held = _lock_held(connection, fences)
            if held:
                connection.execute(_EXTEND, [{"_id": id, "_due_at": until} for id in sorted(held)])
            return held

        return await self._database.run(work) if fences else set()

    async def note(self, notes: Sequence[ItemReport]) -> set[str]:
        landed = await self._turns.do(list(notes))
        assert isinstance(landed, set)
        return landed

    def submit(self, note: ItemReport, done: Callable[[bool | None, BaseException | None], None]) -> None:
        self._turns.submit(note, cast("Done[Turned]", done))

    async def body(self, id: str) -> bytes:
        asked = select(_C.body).where(_C.id == id)
        found = await self._database.run(lambda c: c.execute(asked).scalar(), read_only=True)
        if found is None:
            raise NotFound(f"request {id} has no body of its own")
        return bytes(found)

    async def backlogs(self) -> dict[str, Backlog]:
        def work(connection: Connection) -> dict[str, Backlog]:
            waiting, working = (
                {name: (count, oldest) for name, count, oldest in connection.execute(asked)} for asked in BACKLOGS
            )
            none = (0, math.inf)
            return {
                name: Backlog(
                    waiting.get(name, none)[0],
                    working.get(name, none)[0],
                    min(waiting.get(name, none)[1], working.get(name, none)[1]),
                )
                for name in waiting.keys() | working.keys()
            }

        return await self._database.run(work, read_only=True)

    async def strangers(self, known: Collection[str]) -> dict[str, float]:
        found = (await self.backlogs()).items()
        return {name: one.oldest for name, one in found if name not in known and one.oldest is not None}

    async def measured(self, most: int) -> list[EndedTogether]:
        def work(connection: Connection) -> list[EndedTogether]:
            found: list[EndedTogether] = []
            items = 0
            while items < most:
                rows = connection.execute(_SELECT_MEASURES).all()
                if not rows:
                    break
                connection.execute(_CLEAR_MEASURES, {"ids": [row.id for row in rows]})
                groups = [group for row in rows for group in queue_sql.read_measures(row.measures)]
                items += sum(max(map(len, group.values.values()), default=0) for group in groups)
                found += groups
            return found

        return await self._database.run(work)

    async def rows(self, endpoint: str, most: int) -> list[QueueRow]:
        asked = select(_C.item, _C.state, _C.fence, _C.outcome).where(_C.endpoint == endpoint)
        asked = asked.order_by(_C.accepted_at.desc(), _C.id).limit(most)
        return [_row(row) for row in await self._database.run(lambda c: c.execute(asked).all(), read_only=True)]

    async def row(self, id: str) -> QueueRow | None:
        asked = select(_C.item, _C.state, _C.fence, _C.outcome).where(_C.id == id)
        row = await self._database.run(lambda c: c.execute(asked).one_or_none(), read_only=True)
        return None if row is None else _row(row)

    async def empty(self, endpoint: str, through: float, now: float, outcome: ItemOutcome) -> int:
        given = {"_outcome": msgspec.to_builtins(outcome), "now": now, "_endpoint": endpoint, "_through": through}
        total = 0
        while ended := await self._database.run(lambda c: c.execute(_EMPTY, given).rowcount):
            total += ended
        return total

    async def prune(self, before: float) -> int:
        old = select(_C.id).where(_C.finished_at < before).limit(PRUNE_BATCH).with_for_update(skip_locked=True)
        return await self._database.run(lambda c: c.execute(delete(QUEUE).where(_C.id.in_(old))).rowcount)

    async def _lease(self, wanted: _Lease) -> list[LeasedItem]:
        taken = await self._turns.do(wanted)
        assert isinstance(taken, list)
        return taken

    def _lease_in(self, connection: Connection, wanted: _Lease) -> list[LeasedItem]:
        found = wanted.select(connection)
        taken = [transitions.lease(stored.left, wanted.now) for stored in found]
        alike: dict[tuple[Any, ...], list[int]] = {}
        for place, held in enumerate(taken):
            alike.setdefault((held.state, held.fence, held.losses, held.begun_at, held.outcome), []).append(place)
        for places in alike.values():
            keys = [found[place].key for place in places]
            queue_sql.write_lease(connection, keys, taken[places[0]], wanted.until, self._holder)
        return taken

    async def _accept(self, given: list[Accept]) -> list[Item | TidegateError]:
        def work(connection: Connection) -> list[Item | TidegateError]:
            tx = _CachingTx(connection, self._seen)
            made = [_make_item(make, tx) for make, _ in given]
            both = zip(made, given, strict=True)
            queue_sql.insert_items(
                connection, [(item, body) for item, (_, body) in both if isinstance(item, Item)]
            )
            return made

        return await self._database.run(work)

    async def _take_turns(self, given: list[Turn]) -> list[Turned]:
        """The reports first: what they give back may be leased again."""
        leases = [one for one in given if isinstance(one, _Lease)]
        every = {note.id: note for note in chain.from_iterable(map(_notes, given))}

        def work(connection: Connection) -> tuple[set[str], list[list[LeasedItem]]]:
            return _record(connection, every), [self._lease_in(connection, one) for one in leases]

        landed, leased = await self._database.run(work)
        taken = iter(leased)
        return [next(taken) if isinstance(one, _Lease) else _has_accepted(one, landed) for one in given]


def _notes(turn: Turn) -> Sequence[ItemReport]:
    if isinstance(turn, ItemReport):
        return (turn,)
    return () if isinstance(turn, _Lease) else turn


def _has_accepted(notes: ItemReport | list[ItemReport], landed: set[str]) -> bool | set[str]:
    if isinstance(notes, ItemReport):
        return notes.id in landed
    return {note.id for note in notes} & landed


class _CachingTx(SqlTx):
    """Caches records by version: reads the version once per transaction, and the record only if that changed. A
    version never stands for two bodies. A record that was created again after its journal was pruned may have the
    same version, but not the same time of creation."""

    def __init__(self, connection: Connection, seen: dict[tuple[str, str], StoredRecord[Any]]) -> None:
        super().__init__(connection)
        self._seen = seen
        self._looked: set[tuple[str, str]] = set()

    def get(self, kind: Kind[T], name: str) -> StoredRecord[T] | None:
        key = kind.name, name
        if key not in self._looked:
            mark, seen = self.mark(kind, name), self._seen.get(key)
            if seen is None or mark != (seen.version, seen.created_at):
                self._seen.pop(key, None)
                if mark is not None and (saved := super().get(kind, name)) is not None:
                    self._seen[key] = saved
            self._looked.add(key)
        return self._seen.get(key)


def _make_item(make: Callable[[Tx], Item], tx: Tx) -> Item | TidegateError:
    try:
        return make(tx)
    except TidegateError as error:
        return error


def _lock_held(connection: Connection, fences: Mapping[str, int]) -> set[str]:
    """Ids that are leased with these fences. Their rows stay locked."""
    held: set[str] = set()
    for some in _chunks(sorted(fences)):
        for row in connection.execute(_SELECT_HELD, {"ids": some}):
            if row.fence == fences[row.id]:
                held.add(row.id)
    return held


def _record(connection: Connection, every: Mapping[str, ItemReport]) -> set[str]:
    """Record the reports; returns the ids of those that count."""
    if not every:
        return set()
    landed = queue_sql.write_reports(connection, list(every.values()))
    measured = {id: note.measures for id, note in every.items() if id in landed and note.measures is not None}
    if measured:
        queue_sql.write_measures(connection, next(iter(measured)), list(measured.values()))
    return landed


def _chunks(ids: list[str], size: int = 500) -> Iterable[list[str]]:
    return (ids[at : at + size] for at in range(0, len(ids), size))


def _row(row: Any) -> QueueRow:
    outcome = None if row.outcome is None else msgspec.convert(row.outcome, prepare_type(ItemOutcome))
    return QueueRow(msgspec.convert(row.item, prepare_type(Item)), ItemState(row.state), row.fence, outcome)
