"""The journal's table: lines are stored as patches, read as complete records, and pruned by age.

A line has the complete record, or a patch against the record's previous line. At least every ``WHOLE_EVERY`` versions
it is complete, so that few lines are read for one. Pruning keeps the last complete line of each record before the
given time, and all later ones, so that the rest can still be rebuilt."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, bindparam, delete, exists, func, insert, or_, select

from tidegate.domain.errors import TidegateError
from tidegate.domain.observation import Event
from tidegate.ports.store import JournalLine
from tidegate.store.patches import Patch, apply_patch, diff
from tidegate.store.tables import JOURNAL

log = logging.getLogger(__name__)

WHOLE_EVERY = 50
"""Versions between two complete lines of a record."""
_C = JOURNAL.c
_WHOLE = _C.patch.is_(None)
_INSERT = insert(JOURNAL)
_MINE = and_(_C.kind == bindparam("of_kind"), _C.name == bindparam("of_name"))
_LAST_VERSION = select(_C.version).where(_MINE).order_by(_C.seq.desc()).limit(1)


def append(
    connection: Connection,
    key: tuple[str, str],
    version: int,
    bodies: tuple[object | None, object | None],
    now: datetime,
    events: Sequence[Event],
) -> int:
    """Append a line; returns its ``seq``. ``key``: kind and name; ``bodies``: the record before and after, None if
    there is none."""
    before, after = bodies
    patch = (
        None if before is None or after is None or version % WHOLE_EVERY == 0 else _compact_patch(before, after)
    )
    line = {"at": now, "kind": key[0], "name": key[1], "version": version, "patch": patch}
    body = None if patch is not None else after
    done = connection.execute(_INSERT, {**line, "body": body, "events": [asdict(event) for event in events]})
    assert done.inserted_primary_key is not None
    return int(done.inserted_primary_key[0])


def last_version(connection: Connection, kind: str, name: str) -> int:
    return connection.execute(_LAST_VERSION, {"of_kind": kind, "of_name": name}).scalar() or 0


def lines(connection: Connection, rows: Sequence[Any], *, bodies: bool) -> list[JournalLine]:
    """Decode rows of the table."""
    found = _rebuild_bodies(connection, [row for row in rows if row.patch is not None]) if bodies else {}
    return [
        JournalLine(
            row.seq,
            row.at,
            row.kind,
            row.name,
            row.version,
            (row.body if row.patch is None else found[row.seq]) if bodies else None,
            decode_events(row.events),
        )
        for row in rows
    ]


def decode_events(found: object) -> tuple[Event, ...]:
    """Events of a line, without what is none. A line stays for years, and may be of a later version or damaged."""
    events = [event for event in found if isinstance(event, dict)] if isinstance(found, list) else []
    return tuple(
        Event(kind, message, data if isinstance(data := event.get("data"), dict) else {})
        for event in events
        if isinstance(kind := event.get("kind"), str) and isinstance(message := event.get("message"), str)
    )


def prune(connection: Connection, before: datetime, most: int) -> int:
    """Remove at most ``most`` lines that were written before then. Returns how many. Lines that were written since
    are not read, however many there are."""
    newest = select(_C.seq).where(_C.at < before).order_by(_C.at.desc(), _C.seq.desc()).limit(1)
    last = connection.execute(newest).scalar()  # not its maximum: SQLite would look for that from the end
    if last is None:
        return 0
    later = JOURNAL.alias()
    replaced = exists().where(
        and_(later.c.kind == _C.kind, later.c.name == _C.name, later.c.seq > _C.seq, later.c.seq <= last),
        and_(later.c.at < before, later.c.patch.is_(None)),
    )
    deleted = and_(_C.body.is_(None), _WHOLE)
    old = select(_C.seq).where(_C.seq <= last, _C.at < before, or_(replaced, deleted)).order_by(_C.seq).limit(most)
    return connection.execute(delete(JOURNAL).where(_C.seq.in_(old))).rowcount


def _compact_patch(before: object, after: object) -> Patch | None:
    """The patch, if it is smaller than half the record; otherwise None."""
    patch = diff(before, after)
    return patch if 2 * len(msgspec.json.encode(patch)) < len(msgspec.json.encode(after)) else None


def _rebuild_bodies(connection: Connection, patched: Sequence[Any]) -> dict[int, object]:
    """Rebuild the records after these lines: ``seq`` -> body."""
    spans: dict[tuple[str, str], list[int]] = {}
    for row in patched:
        spans.setdefault((row.kind, row.name), []).append(row.seq)
    found: dict[int, object] = {}
    for (kind, name), seqs in spans.items():
        mine = and_(_C.kind == kind, _C.name == name)
        base = select(func.max(_C.seq)).where(mine, _WHOLE, _C.seq <= min(seqs)).scalar_subquery()
        between = select(_C.seq, _C.body, _C.patch).where(mine, _C.seq >= base, _C.seq <= max(seqs))
        body: object = None
        for row in connection.execute(between.order_by(_C.seq)):
            body = row.body if row.patch is None else _apply_patch(row, body)
            found[row.seq] = body
        if missing := set(seqs) - found.keys():
            raise TidegateError(
                f"The journal of the {kind} {name!r} cannot be read: lines before {missing} are missing"
            )
    return found


def _apply_patch(row: Any, before: object) -> object:
    """None: the line is damaged, which keeps nobody from reading the others."""
    try:
        return apply_patch(row.patch, before)
    except ValueError:
        log.warning("line %d of the journal cannot be read: its patch does not fit the line before", row.seq)
        return None
