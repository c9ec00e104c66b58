"""One transaction on the records and their journal."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Text, and_, bindparam, cast, delete, insert, select, update

from tidegate.domain.errors import Invalid, UnreadableRecord
from tidegate.domain.observation import Event
from tidegate.ports.store import Filter, JournalLine, Kind, RecordPage, Stale, StoredRecord, Unreadable
from tidegate.store import journal, pages, record_codec
from tidegate.store.tables import JOURNAL, RECORDS

T = TypeVar("T")

_ROW = (
    *(RECORDS.c.name, RECORDS.c.version, RECORDS.c.created_at, RECORDS.c.modified_at),
    cast(RECORDS.c.body, Text).label("text"),
)
# Statements are built once: to build one takes longer than to run it.
_ONE = and_(RECORDS.c.kind == bindparam("of_kind"), RECORDS.c.name == bindparam("of_name"))
_GET = select(*_ROW).where(_ONE)
_STATE = select(RECORDS.c.version, _ROW[-1]).where(_ONE)
_VERSION = select(RECORDS.c.version).where(_ONE)
_MARK = select(RECORDS.c.version, RECORDS.c.created_at).where(_ONE)
_INSERT = insert(RECORDS)
_UPDATE = update(RECORDS).where(_ONE)
_DELETE = delete(RECORDS).where(_ONE)


class SqlTx:
    """A ``ports.store.Tx``. Versions of a name continue to rise when its record is deleted and created again, so a
    version never identifies two writes."""

    def __init__(self, connection: Connection, read_only: bool = False) -> None:
        self._connection = connection
        self._read_only = read_only
        self.wrote = False
        """Whether the journal may have other lines than before."""
        self.last_line = 0
        """Number of the newest line that this has written; 0: it has written none."""

    def get(self, kind: Kind[T], name: str) -> StoredRecord[T] | None:
        row = self._connection.execute(_GET, _key(kind, name)).one_or_none()
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
        self._begin_write()
        if now.tzinfo is None:
            raise Invalid(f"The time {now} of the {kind.name} {name!r} has no time zone")
        plain = record_codec.encode(kind, name, body)
        key = _key(kind, name)
        present = self._connection.execute(_STATE, key).one_or_none()
        _check(kind, name, present.version if present else 0, expect)
        values = {"body": plain, "modified_at": now}
        if present:
            version: int = present.version + 1
            self._connection.execute(_UPDATE, {**key, "version": version, **values})
        else:
            version = journal.last_version(self._connection, kind.name, name) + 1
            new = {"kind": kind.name, "name": name, "version": version, "created_at": now, **values}
            self._connection.execute(_INSERT, new)
        states = (record_codec.read_plain(present.text) if present else None, plain)
        self.last_line = journal.append(self._connection, (kind.name, name), version, states, now, events)
        return version

    def delete(
        self, kind: Kind[T], name: str, *, expect: int | None, now: datetime, events: Sequence[Event] = ()
    ) -> bool:
        self._begin_write()
        present = self._version(kind, name)
        _check(kind, name, present, expect)
        if not present:
            return False
        self._connection.execute(_DELETE, _key(kind, name))
        gone = (None, None)
        self.last_line = journal.append(self._connection, (kind.name, name), present + 1, gone, now, events)
        return True

    def find(
        self, kind: Kind[T], where: Filter | None = None, limit: int | None = None, after: str | None = None
    ) -> RecordPage[T]:
        where = where or Filter()
        query = (
            select(*_ROW)
            .where(RECORDS.c.kind == kind.name, *pages.filter_conditions(where))
            .order_by(*pages.order(where))
        )
        if after is not None:
            query = query.where(pages.after_token(kind.name, where, after))
        if limit is not None:
            query = query.limit(limit + 1)
        rows = self._connection.execute(query).all()
        shown = rows if limit is None else rows[:limit]
        more = pages.token(kind.name, where, shown[-1]) if shown and len(rows) > len(shown) else None
        items, unreadable = list[StoredRecord[T]](), list[Unreadable]()
        for row in shown:
            try:
                items.append(_saved(kind, row))
            except UnreadableRecord as error:
                unreadable.append(Unreadable(kind.name, row.name, row.created_at, row.modified_at, str(error)))
        return RecordPage(items, more, tuple(unreadable))

    def versions(self, kind: Kind[T]) -> dict[str, int]:
        asked = select(RECORDS.c.name, RECORDS.c.version).where(RECORDS.c.kind == kind.name)
        return {name: version for name, version in self._connection.execute(asked)}

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
        return journal.lines(self._connection, self._connection.execute(query).all(), bodies=bodies)

    def prune_journal(self, before: datetime, most: int) -> int:
        self._begin_write()
        return journal.prune(self._connection, before, most)

    def mark(self, kind: Kind[T], name: str) -> tuple[int, datetime] | None:
        """Version and creation time of a record, which together identify one body."""
        row = self._connection.execute(_MARK, _key(kind, name)).one_or_none()
        return None if row is None else (row.version, row.created_at)

    def _begin_write(self) -> None:
        assert not self._read_only, "a transaction of Store.read does not write"
        self.wrote = True

    def _version(self, kind: Kind[T], name: str) -> int:
        """Version of a record; 0 if there is none."""
        return self._connection.execute(_VERSION, _key(kind, name)).scalar() or 0


def _key(kind: Kind[T], name: str) -> dict[str, object]:
    """Parameters of ``_ONE``."""
    if "\0" in name or any("\ud800" <= letter <= "\udfff" for letter in name):
        raise Invalid(f"{name!r} is not a valid name: it contains NUL or half a surrogate pair")
    return {"of_kind": kind.name, "of_name": name}


def _check(kind: Kind[T], name: str, present: int, expect: int | None) -> None:
    if expect is not None and expect != present:
        raise Stale(f"The {kind.name} {name!r} is at version {present}, not {expect}")


def _saved(kind: Kind[T], row: Any) -> StoredRecord[T]:
    body = record_codec.decode(kind, row.name, row.text)
    return StoredRecord(row.name, body, row.version, row.created_at, row.modified_at)
