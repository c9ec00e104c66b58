"""A store in memory: the port's contract without a database, for simulations and tests of its users."""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

import msgspec

from tidegate.domain.errors import Invalid
from tidegate.domain.observation import Event
from tidegate.ports.store import Filter, JournalLine, Kind, RecordPage, Stale, StoredRecord, Tx, fold_ascii

T = TypeVar("T")
R = TypeVar("R")

_ORDER: dict[str, Callable[[StoredRecord[Any]], Any]] = {
    "created": lambda saved: saved.created_at,
    "modified": lambda saved: saved.modified_at,
    "name": lambda saved: saved.name,
}


@dataclass
class MemoryTx:
    """Works on copies, which MemoryStore takes over when the work succeeds."""

    records: dict[tuple[str, str], StoredRecord[Any]] = field(default_factory=dict)
    lines: list[JournalLine] = field(default_factory=list)
    as_json: bool = True
    """Whether journal lines contain plain JSON data; otherwise the record itself, which is much faster."""

    def get(self, kind: Kind[T], name: str) -> StoredRecord[T] | None:
        return self.records.get((kind.name, name))

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
        before = self._expected(kind, name, expect)
        version = before.version + 1 if before else 1
        created = before.created_at if before else now
        self.records[kind.name, name] = StoredRecord(name, body, version, created, now)
        self._note(now, kind, name, version, msgspec.to_builtins(body) if self.as_json else body, events)
        return version

    def delete(
        self, kind: Kind[T], name: str, *, expect: int | None, now: datetime, events: Sequence[Event] = ()
    ) -> bool:
        before = self._expected(kind, name, expect)
        if before is None:
            return False
        del self.records[kind.name, name]
        self._note(now, kind, name, before.version + 1, None, events)
        return True

    def _expected(self, kind: Kind[T], name: str, expect: int | None) -> StoredRecord[T] | None:
        before = self.get(kind, name)
        if expect is not None and expect != (before.version if before else 0):
            raise Stale(f"{kind.name} {name}")
        return before

    def _note(
        self,
        now: datetime,
        kind: Kind[Any],
        name: str,
        version: int,
        body: object | None,
        events: Sequence[Event],
    ) -> None:
        seq = self.lines[-1].seq + 1 if self.lines else 1
        self.lines.append(JournalLine(seq, now, kind.name, name, version, body, tuple(events)))

    def find(
        self, kind: Kind[T], where: Filter | None = None, limit: int | None = None, after: str | None = None
    ) -> RecordPage[T]:
        where = where or Filter()
        found = [saved for (of, _), saved in self.records.items() if of == kind.name and _matches(where, saved)]
        found.sort(key=lambda saved: saved.name, reverse=where.descending)
        found.sort(key=_ORDER[where.sort_by], reverse=where.descending)
        try:
            start = int(after or "0")
        except ValueError:
            raise Invalid(f"'{after}' is not a page of this listing") from None
        end = len(found) if limit is None else start + limit
        return RecordPage(found[start:end], str(end) if end < len(found) else None)

    def versions(self, kind: Kind[T]) -> dict[str, int]:
        return {name: saved.version for (of, name), saved in self.records.items() if of == kind.name}

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
        lines = (
            line
            for line in (reversed(self.lines) if newest_first else self.lines)
            if kind in (None, line.kind)
            and name in (None, line.name)
            and (since is None or line.at >= since)
            and (until is None or line.at <= until)
            and (not after or (line.seq < after if newest_first else line.seq > after))
        )
        return list(islice(lines, limit))

    def prune_journal(self, before: datetime, most: int) -> int:
        last = {(line.kind, line.name): line.seq for line in self.lines if line.at < before}
        old = [line for line in self.lines if line.at < before and _is_superseded(line, last)][:most]
        self.lines = [line for line in self.lines if line not in old]
        return len(old)


def _is_superseded(line: JournalLine, last: dict[tuple[str, str], int]) -> bool:
    return line.body is None or line.seq < last[line.kind, line.name]


def _matches(where: Filter, saved: StoredRecord[Any]) -> bool:
    return (
        (where.name_contains is None or where.name_contains in saved.name)
        and (where.name_prefix is None or saved.name.startswith(where.name_prefix))
        and (where.name_in_any_case is None or fold_ascii(saved.name) == fold_ascii(where.name_in_any_case))
        and (where.created_after is None or saved.created_at > where.created_after)
        and (where.created_before is None or saved.created_at < where.created_before)
        and (where.modified_after is None or saved.modified_at > where.modified_after)
        and (where.modified_before is None or saved.modified_at < where.modified_before)
    )


class MemoryStore:
    """One transaction at a time; an exception leaves everything unchanged."""

    def __init__(self) -> None:
        self._tx = MemoryTx()

    async def run(self, work: Callable[[Tx], R]) -> R:
        attempt = MemoryTx(copy(self._tx.records), copy(self._tx.lines))
        result = work(attempt)
        self._tx = attempt
        return result

    async def read(self, work: Callable[[Tx], R]) -> R:
        def reading(tx: Tx) -> R:
            assert isinstance(tx, MemoryTx)
            lines = len(tx.lines)
            result = work(tx)
            assert len(tx.lines) == lines, "a transaction of Store.read does not write"
            return result

        return await self.run(reading)

    async def newest(self) -> tuple[int, datetime] | None:
        lines = self._tx.lines
        return (lines[-1].seq, lines[-1].at) if lines else None

    async def close(self) -> None:
        return None
