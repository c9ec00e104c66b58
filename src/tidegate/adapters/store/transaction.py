"""One transaction on the records and their journal."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from tidegate.adapters.store import bodies, paging
from tidegate.adapters.store.tables import JOURNAL, RECORDS
from tidegate.model.errors import Invalid
from tidegate.model.observe import Event
from tidegate.ports.store import Filter, JournalLine, Kind, Page, Saved, Stale

T = TypeVar("T")


class SqlTx:
    """A ``ports.store.Tx``. Versions of a name go on rising when its record is deleted and made again, so a
    version never names two different writes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, kind: Kind[T], name: str) -> Saved[T] | None:
        row = self._connection.execute(select(RECORDS).where(_key(kind, name))).one_or_none()
        return None if row is None else _saved(kind, row)

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
        if now.tzinfo is None:
            raise Invalid(f"The time {now} of the {kind.name} {name!r} has no zone")
        plain = bodies.encode(kind, name, body)
        present = self._version(kind, name)
        _check(kind, name, present, expect)
        values = {"body": plain, "modified_at": now}
        if present:
            version = present + 1
            self._connection.execute(update(RECORDS).where(_key(kind, name)).values(version=version, **values))
        else:
            version = self._last_version(kind, name) + 1
            new = {"kind": kind.name, "name": name, "version": version, "created_at": now, **values}
            self._connection.execute(insert(RECORDS).values(new))
        self._note(kind, name, version, plain, now, events)
        return version

    def delete(
        self, kind: Kind[T], name: str, *, expect: int | None, now: datetime, events: Sequence[Event] = ()
    ) -> bool:
        present = self._version(kind, name)
        _check(kind, name, present, expect)
        if not present:
            return False
        self._connection.execute(delete(RECORDS).where(_key(kind, name)))
        self._note(kind, name, present + 1, None, now, events)
        return True

    def find(
        self, kind: Kind[T], where: Filter | None = None, limit: int | None = None, after: str | None = None
    ) -> Page[T]:
        where = where or Filter()
        query = (
            select(RECORDS).where(RECORDS.c.kind == kind.name, *paging.kept(where)).order_by(*paging.order(where))
        )
        if after is not None:
            query = query.where(paging.beyond(kind.name, where, after))
        if limit is not None:
            query = query.limit(limit + 1)
        rows = self._connection.execute(query).all()
        shown = rows if limit is None else rows[:limit]
        more = paging.token(kind.name, where, shown[-1]) if shown and len(rows) > len(shown) else None
        return Page([_saved(kind, row) for row in shown], more)

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
    ) -> list[JournalLine]:
        """``since`` and ``until`` are inclusive."""
        c = JOURNAL.c
        query = select(JOURNAL).order_by(c.seq.desc() if newest_first else c.seq.asc()).limit(limit)
        if kind is not None:
            query = query.where(c.kind == kind)
        if name is not None:
            query = query.where(c.name == name)
        if since is not None:
            query = query.where(c.at >= since)
        if until is not None:
            query = query.where(c.at <= until)
        if after:
            query = query.where(c.seq < after if newest_first else c.seq > after)
        return [_line(row) for row in self._connection.execute(query)]

    def _version(self, kind: Kind[T], name: str) -> int:
        """The record's version; 0 where there is none."""
        return self._connection.execute(select(RECORDS.c.version).where(_key(kind, name))).scalar() or 0

    def _last_version(self, kind: Kind[T], name: str) -> int:
        c = JOURNAL.c
        mine = select(c.version).where(c.kind == kind.name, c.name == name)
        return self._connection.execute(mine.order_by(c.seq.desc()).limit(1)).scalar() or 0

    def _note(
        self, kind: Kind[T], name: str, version: int, plain: object, now: datetime, events: Sequence[Event]
    ) -> None:
        line = {"at": now, "kind": kind.name, "name": name, "version": version, "body": plain}
        self._connection.execute(insert(JOURNAL).values(**line, events=[asdict(e) for e in events]))


def _key(kind: Kind[T], name: str) -> ColumnElement[bool]:
    if "\0" in name or any("\ud800" <= letter <= "\udfff" for letter in name):
        raise Invalid(f"{name!r} cannot be a name: it holds a character that is none")
    return and_(RECORDS.c.kind == kind.name, RECORDS.c.name == name)


def _check(kind: Kind[T], name: str, present: int, expect: int | None) -> None:
    if expect is not None and expect != present:
        raise Stale(f"The {kind.name} {name!r} is at version {present}, not {expect}")


def _saved(kind: Kind[T], row: Any) -> Saved[T]:
    body = bodies.decode(kind, row.name, row.body)
    return Saved(row.name, body, row.version, row.created_at, row.modified_at)


def _line(row: Any) -> JournalLine:
    events = tuple(Event(**event) for event in row.events)
    return JournalLine(row.seq, row.at, row.kind, row.name, row.version, row.body, events)
