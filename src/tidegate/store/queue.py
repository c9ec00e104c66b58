"""The queue of asynchronous requests in the store's database.

SQLite's transactions are serial. On PostgreSQL a claim locks its rows and skips rows that others have locked, so that
several dispatchers share a queue without waiting for each other.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import msgspec
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    Update,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from tidegate.domain.asynchronous import Backlog, Item, ItemMeasurements, ItemOutcome, ItemState, LeasedItem
from tidegate.domain.errors import NotFound, TidegateError
from tidegate.host.group_commit import GroupCommit
from tidegate.ports.queue import ItemReport, QueueRow
from tidegate.ports.store import Kind, Saved, Tx
from tidegate.queueing import transitions
from tidegate.store import queue_writes
from tidegate.store.database import Database
from tidegate.store.tables import QUEUE
from tidegate.store.transaction import SqlTx

T = TypeVar("T")
Accept = tuple[Callable[[Tx], Item], bytes | None]


@dataclass(frozen=True)
class _Lease:
    """What is to be leased: by which statement, with which parameters, until when."""

    which: Select[Any]
    given: dict[str, Any]
    until: float


Turn = Sequence[ItemReport] | _Lease
"""What a dispatcher writes."""

ACCEPT_GATHER, TURN_GATHER = 0.008, 0.025
"""Seconds that requests which arrive, and what a dispatcher writes, wait for others to share their transaction."""
MEASURED_STEP = 20
"""Rows with measures that are read at a time: each has those of all requests that ended in one transaction."""
PRUNE_BATCH = 5_000
MAX_LEASED_BODY = 16 * 1024
"""Largest body, in bytes, that is returned with its lease."""
_C = QUEUE.c
_LEASE_COLUMNS = (
    *(_C.id, _C.state, _C.item, _C.fence, _C.tries, _C.losses, _C.begun_at, _C.outcome),
    case((func.length(_C.body) <= MAX_LEASED_BODY, _C.body)).label("body"),
)
_UNFINISHED = _C.state.in_((ItemState.WAITING, ItemState.WORKING))


def _select_for_lease(which: ColumnElement[bool]) -> Select[Any]:
    """Select rows to lease; parameters ``now`` and ``most``."""
    asked = select(*_LEASE_COLUMNS).where(which).order_by(_C.due_at).limit(bindparam("most"))
    return asked.with_for_update(skip_locked=True)


def _update_by_id(*names: str) -> Update:
    """Update columns of the item ``_id`` from parameters of the same names with a leading underscore."""
    return _set(*names).where(_C.id == bindparam("_id"))


def _set(*names: str) -> Update:
    return update(QUEUE).values({name: bindparam(f"_{name}", type_=_C[name].type) for name in names})


# Built once: SQLAlchemy takes longer to build these statements than the database to run them.
_NOW: BindParameter[float] = bindparam("now")
_CLAIM = _select_for_lease(
    and_(_C.endpoint == bindparam("endpoint"), _C.due_at <= _NOW, _C.state != ItemState.NOTIFYING)
)
_LATE = and_(_UNFINISHED, _C.expires_at <= _NOW, _C.due_at <= _NOW)
_OVERDUE = _select_for_lease(or_(_LATE, and_(_C.state == ItemState.NOTIFYING, _C.due_at <= _NOW)))
_OF_THESE = _C.id.in_(bindparam("ids", expanding=True))
_SET_LEASE = _set("state", "fence", "losses", "begun_at", "outcome", "due_at", "holder").where(_OF_THESE)
_TAKE_OVER = update(QUEUE).where(
    _C.state.in_((ItemState.WORKING, ItemState.NOTIFYING)), _C.holder == bindparam("_holder"), _C.due_at > _NOW
)
_EXTEND = _update_by_id("due_at")
_NOTE = _update_by_id("state", "due_at", "tries", "losses", "outcome", "finished_at")
_FINISH = _NOTE.values(body=None)
_KEEP_MEASURES = _update_by_id("measures")
_CLEAR_MEASURES = update(QUEUE).values(measures=null()).where(_OF_THESE)
_SELECT_HELD = select(_C.id, _C.fence).where(_OF_THESE, _C.state.in_((ItemState.WORKING, ItemState.NOTIFYING)))
_SELECT_HELD = _SELECT_HELD.order_by(_C.id).with_for_update()


class SqlQueue:
    """A ``ports.queue.Queue``. Raises Unavailable, with nothing written, if the database is unavailable."""

    def __init__(self, database: Database, holder: str = "") -> None:
        """``holder``: name of the dispatcher that leases; only one of a name runs at a time."""
        self._database = database
        self._holder = holder
        self._seen: dict[tuple[str, str], Saved[Any]] = {}
        self._accepts: GroupCommit[Accept, Item | TidegateError] = GroupCommit(self._accept, ACCEPT_GATHER)
        self._turns: GroupCommit[Turn, set[str] | list[LeasedItem]] = GroupCommit(self._take_turns, TURN_GATHER)

    async def accept(self, make: Callable[[Tx], Item], body: bytes | None) -> Item:
        made = await self._accepts.do((make, body))
        if isinstance(made, TidegateError):
            raise made
        return made

    async def claim(self, endpoint: str, most: int, now: float, until: float) -> list[LeasedItem]:
        given = {"endpoint": endpoint, "now": now, "most": most}
        return await self._lease(_Lease(_CLAIM, given, until))

    async def overdue(self, most: int, now: float, until: float) -> list[LeasedItem]:
        given = {"now": now, "most": most}
        return await self._lease(_Lease(_OVERDUE, given, until))

    async def take_over(self, now: float) -> int:
        change = _TAKE_OVER.values(due_at=_NOW)
        given = {"_holder": self._holder, "now": now}
        return await self._database.run(lambda c: c.execute(change, given).rowcount)

    async def extend(self, fences: Mapping[str, int], until: float) -> set[str]:
        def work(connection: Connection) -> set[str]:
            held = _lock_held(connection, fences)
            if held:
                connection.execute(_EXTEND, [{"_id": id, "_due_at": until} for id in sorted(held)])
            return held

        return await self._database.run(work) if fences else set()

    async def note(self, notes: Sequence[ItemReport]) -> set[str]:
        landed = await self._turns.do(notes)
        assert isinstance(landed, set)
        return landed

    async def body(self, id: str) -> bytes:
        asked = select(_C.body).where(_C.id == id)
        found = await self._database.run(lambda c: c.execute(asked).scalar(), read_only=True)
        if found is None:
            raise NotFound(f"request {id} has no body of its own")
        return bytes(found)

    async def backlogs(self) -> dict[str, Backlog]:
        working = func.sum(case((_C.state == ItemState.WORKING, 1), else_=0))
        asked = select(_C.endpoint, func.count(), working, func.min(_C.accepted_at))
        asked = asked.where(_UNFINISHED).group_by(_C.endpoint)
        rows = await self._database.run(lambda c: c.execute(asked).all(), read_only=True)
        return {name: Backlog(count - busy, int(busy), oldest) for name, count, busy, oldest in rows}

    async def strangers(self, known: Collection[str]) -> dict[str, float]:
        asked = select(_C.endpoint, func.min(_C.accepted_at)).where(_UNFINISHED, _C.endpoint.not_in(list(known)))
        rows = await self._database.run(lambda c: c.execute(asked.group_by(_C.endpoint)).all(), read_only=True)
        return {name: oldest for name, oldest in rows}

    async def measured(self, most: int) -> list[ItemMeasurements]:
        def work(connection: Connection) -> list[Any]:
            found: list[Any] = []
            while len(found) < most:
                asked = select(_C.id, _C.measures).where(_C.measures.is_not(None)).limit(MEASURED_STEP)
                rows = connection.execute(asked.with_for_update(skip_locked=True)).all()
                if not rows:
                    break
                connection.execute(_CLEAR_MEASURES, {"ids": [row.id for row in rows]})
                # A version before this one wrote the measures of one request alone.
                found += chain.from_iterable(
                    row.measures if isinstance(row.measures, list) else [row.measures] for row in rows
                )
            return found

        return [msgspec.convert(each, ItemMeasurements) for each in await self._database.run(work)]

    async def rows(self, endpoint: str, most: int) -> list[QueueRow]:
        asked = select(_C.item, _C.state, _C.fence, _C.outcome).where(_C.endpoint == endpoint)
        asked = asked.order_by(_C.accepted_at.desc(), _C.id).limit(most)
        return [_row(row) for row in await self._database.run(lambda c: c.execute(asked).all(), read_only=True)]

    async def row(self, id: str) -> QueueRow | None:
        asked = select(_C.item, _C.state, _C.fence, _C.outcome).where(_C.id == id)
        row = await self._database.run(lambda c: c.execute(asked).one_or_none(), read_only=True)
        return None if row is None else _row(row)

    async def prune(self, before: float) -> int:
        old = select(_C.id).where(_C.finished_at < before).limit(PRUNE_BATCH)
        return await self._database.run(lambda c: c.execute(delete(QUEUE).where(_C.id.in_(old))).rowcount)

    async def _lease(self, wanted: _Lease) -> list[LeasedItem]:
        taken = await self._turns.do(wanted)
        assert isinstance(taken, list)
        return taken

    def _lease_in(self, connection: Connection, wanted: _Lease) -> list[LeasedItem]:
        now = wanted.given["now"]
        taken = [_leased_item(row, now) for row in connection.execute(wanted.which, wanted.given)]
        alike: dict[tuple[Any, ...], list[LeasedItem]] = {}
        for held in taken:
            alike.setdefault((held.state, held.fence, held.losses, held.begun_at, held.outcome), []).append(held)
        for same in alike.values():
            for some in _chunks([held.item.id for held in same]):
                values = {"ids": some, **_lease_values(same[0], wanted.until, self._holder)}
                connection.execute(_SET_LEASE, values)
        return taken

    async def _accept(self, given: list[Accept]) -> list[Item | TidegateError]:
        def work(connection: Connection) -> list[Item | TidegateError]:
            tx = _CachingTx(connection, self._seen)
            made = [_make_item(make, tx) for make, _ in given]
            bodies = (body for _, body in given)
            rows = [
                _new_row(item, body) for item, body in zip(made, bodies, strict=True) if isinstance(item, Item)
            ]
            if rows:
                connection.execute(insert(QUEUE), rows)
            return made

        return await self._database.run(work)

    async def _take_turns(self, given: list[Turn]) -> list[set[str] | list[LeasedItem]]:
        """The reports first: what they give back may be leased again."""
        every = {note.id: note for notes in given if not isinstance(notes, _Lease) for note in notes}

        def work(connection: Connection) -> tuple[set[str], list[list[LeasedItem]]]:
            landed = _record(connection, every)
            return landed, [self._lease_in(connection, one) for one in given if isinstance(one, _Lease)]

        landed, leased = await self._database.run(work)
        return [leased.pop(0) if isinstance(one, _Lease) else {note.id for note in one} & landed for one in given]


class _CachingTx(SqlTx):
    """Caches records by version: reads the version once per transaction, and the record only if that changed. A
    version never stands for two bodies. A record that was created again after its journal was pruned may have the
    same version, but not the same time of creation."""

    def __init__(self, connection: Connection, seen: dict[tuple[str, str], Saved[Any]]) -> None:
        super().__init__(connection)
        self._seen = seen
        self._looked: set[tuple[str, str]] = set()

    def get(self, kind: Kind[T], name: str) -> Saved[T] | None:
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


def _new_row(item: Item, body: bytes | None) -> dict[str, Any]:
    return {
        "id": item.id,
        "endpoint": item.endpoint,
        "state": ItemState.WAITING,
        "item": msgspec.to_builtins(item),
        "body": body,
        "accepted_at": item.accepted_at,
        "expires_at": item.expires_at,
        "due_at": item.accepted_at,
        "fence": 0,
        "tries": 0,
        "losses": 0,
    }


def _lease_values(held: LeasedItem, until: float, holder: str) -> dict[str, Any]:
    return {
        "_state": held.state,
        "_fence": held.fence,
        "_losses": held.losses,
        "_begun_at": held.begun_at,
        "_outcome": None if held.outcome is None else msgspec.to_builtins(held.outcome),
        "_due_at": until,
        "_holder": holder,
    }


def _leased_item(row: Any, now: float) -> LeasedItem:
    left = LeasedItem(
        item=msgspec.convert(row.item, Item),
        fence=row.fence,
        state=ItemState(row.state),
        tries=row.tries,
        losses=row.losses,
        begun_at=row.begun_at or 0.0,
        outcome=None if row.outcome is None else msgspec.convert(row.outcome, ItemOutcome),
        body=None if row.body is None else bytes(row.body),
    )
    return transitions.lease(left, now)


def _lock_held(connection: Connection, fences: Mapping[str, int]) -> set[str]:
    """Ids that are leased with these fences. Their rows stay locked."""
    held: set[str] = set()
    for some in _chunks(sorted(fences)):
        for row in connection.execute(_SELECT_HELD, {"ids": some}):
            if row.fence == fences[row.id]:
                held.add(row.id)
    return held


def _record(connection: Connection, every: Mapping[str, ItemReport]) -> set[str]:
    """Record the reports; returns the ids of those that count. The measures of all are kept by one of the items: a
    row for each would be written, read and written again."""
    if not every:
        return set()
    held = _lock_held(connection, {note.id: note.fence for note in every.values()})
    landing = [every[id] for id in sorted(held)]
    measures = [msgspec.to_builtins(note.measures) for note in landing if note.measures is not None]
    keeper = next((note.id for note in landing if note.measures is not None), None)
    for change, constant, ends in ((_FINISH, ", body = NULL", True), (_NOTE, "", False)):
        if values := [_note_values(note) for note in landing if (note.state is ItemState.DONE) is ends]:
            queue_writes.update_items(connection, change, constant, values)
    if keeper is not None:
        connection.execute(_KEEP_MEASURES, {"_id": keeper, "_measures": measures})
    return held


def _chunks(ids: list[str], size: int = 500) -> Iterable[list[str]]:
    return (ids[at : at + size] for at in range(0, len(ids), size))


def _note_values(note: ItemReport) -> dict[str, Any]:
    done = note.state is ItemState.DONE
    return {
        "_id": note.id,
        "_state": note.state,
        "_due_at": None if done else note.due_at,
        "_tries": note.tries,
        "_losses": note.losses,
        "_outcome": None if note.outcome is None else msgspec.to_builtins(note.outcome),
        "_finished_at": note.outcome.at if done and note.outcome else None,
    }


def _row(row: Any) -> QueueRow:
    outcome = None if row.outcome is None else msgspec.convert(row.outcome, ItemOutcome)
    return QueueRow(msgspec.convert(row.item, Item), ItemState(row.state), row.fence, outcome)
