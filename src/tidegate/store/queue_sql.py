"""The statements that each asynchronous request passes, in SQL for each database: many rows with each.

SQLite runs in this process: a statement for each row is as quick there as one for all, and rows are named by their
number, which spares the look for their id. PostgreSQL gets all rows of a statement as one JSON text: to begin a
statement takes it longer than to write a row, and one text takes the driver less than an array for each column.

Every statement of PostgreSQL that may wait for rows locks them in the order of their ids, so that no two transactions
wait for each other.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection

from tidegate.domain.asynchronous import EndedTogether, Item, ItemMeasurements, ItemOutcome, ItemState, LeasedItem
from tidegate.domain.decoding import prepare_type
from tidegate.ports.queue import ItemReport

log = logging.getLogger(__name__)

MAX_LEASED_BODY = 16 * 1024
"""Largest body, in bytes, that is returned with its lease."""
MAX_TEXT = 4 * 1024 * 1024
"""Bytes of bodies in one statement of PostgreSQL."""
HELD = "state IN ('working', 'telling')"
"""What an index of few rows is for: each query that should use it says it in these words."""
_WAITING = "state = 'waiting'"

_NEW = "id, endpoint, state, item, body, accepted_at, expires_at, due_at, fence, tries, losses"
_INSERT = f"INSERT INTO queue ({_NEW}) VALUES (?, ?, 'waiting', ?, ?, ?, ?, ?, 0, 0, 0)"
_INSERT_PG = f"""
INSERT INTO queue ({_NEW})
SELECT id, endpoint, 'waiting', item::json, decode(body, 'base64'), accepted_at, expires_at, accepted_at, 0, 0, 0
FROM json_to_recordset(%s::json) AS given(id text, endpoint text, item text, body text, accepted_at float8,
  expires_at float8)"""

_LEASED = (
    "id, state, {item}, fence, tries, losses, begun_at, {outcome}, due_at,"
    f" CASE WHEN length(body) <= {MAX_LEASED_BODY} THEN body END"
)
_SELECT = f"SELECT rowid, {_LEASED.format(item='item', outcome='outcome')} FROM queue WHERE "
_SELECT_PG = f"SELECT id, {_LEASED.format(item='item::text', outcome='outcome::text')} FROM queue WHERE "
_LOCK = " FOR UPDATE SKIP LOCKED"
DUE = (
    f"{_WAITING} AND endpoint = ? AND due_at <= ? ORDER BY due_at LIMIT ?",
    f"{HELD} AND state = 'working' AND endpoint = ? AND due_at <= ? ORDER BY due_at LIMIT ?",
)
OVERDUE = (
    f"{_WAITING} AND expires_at <= ? AND due_at <= ? ORDER BY expires_at LIMIT ?",
    f"{HELD} AND (state = 'telling' OR expires_at <= ?) AND due_at <= ? ORDER BY due_at LIMIT ?",
)
_LEASE = (
    "UPDATE queue SET state = ?, fence = ?, losses = ?, begun_at = ?, outcome = ?, due_at = ?, holder = ? WHERE "
)
_LEASE_THESE = f"{_LEASE}rowid IN (SELECT value FROM json_each(?))"
_LEASE_THESE_PG = f"{_LEASE.replace('?', '%s')}id = ANY(%s)"

_SELECT_HELD = f"""
SELECT queue.id, queue.rowid, fence FROM json_each(?) AS given CROSS JOIN queue ON queue.id = given.value
WHERE {HELD}"""
_SET = "UPDATE queue SET state = ?, due_at = ?, tries = ?, losses = ?, outcome = ?, finished_at = ?"
_NOTE, _FINISH = f"{_SET} WHERE rowid = ?", f"{_SET}, body = NULL WHERE rowid = ?"
_NOTE_PG = f"""
WITH given AS (
  SELECT * FROM json_to_recordset(%s::json) AS these(id text, fence int8, state text, due_at float8, tries int8,
    losses int8, outcome text, finished_at float8)
), held AS MATERIALIZED (
  SELECT queue.id FROM queue JOIN given ON queue.id = given.id AND queue.fence = given.fence
  WHERE queue.{HELD} ORDER BY queue.id FOR UPDATE OF queue
)
UPDATE queue SET state = given.state, due_at = given.due_at, tries = given.tries, losses = given.losses,
  outcome = given.outcome::json, finished_at = given.finished_at,
  body = CASE WHEN given.state <> 'done' THEN queue.body END
FROM held JOIN given ON given.id = held.id
WHERE queue.id = held.id AND queue.fence = given.fence AND queue.{HELD} RETURNING queue.id"""
_MEASURES = "UPDATE queue SET measures = ? WHERE id = ?"

_INSERTED = ("id", "endpoint", "item", "body", "accepted_at", "expires_at")
_REPORTED = ("state", "due_at", "tries", "losses", "outcome", "finished_at", "id", "fence")

_STATES = {str(state): state for state in ItemState}
_read_item = msgspec.json.Decoder(prepare_type(Item)).decode
_read_outcome = msgspec.json.Decoder(prepare_type(ItemOutcome)).decode


@dataclass(frozen=True)
class _StoredMeasures:
    endpoint: str
    variant: str
    at: float
    values: dict[str, float | list[float]]


_read_measures = msgspec.json.Decoder(prepare_type(list[_StoredMeasures] | _StoredMeasures)).decode


class StoredItem(NamedTuple):
    """An item as the holder before left it. ``key`` names its row to ``write_lease``."""

    key: Any
    due_at: float
    left: LeasedItem


def insert_items(connection: Connection, rows: Iterable[tuple[Item, bytes | None]]) -> None:
    given = [
        (item.id, item.endpoint, _text(item), body, item.accepted_at, item.expires_at, item.accepted_at)
        for item, body in rows
    ]
    if given and connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_INSERT, given)
    elif given:
        for some in _split(given):
            connection.exec_driver_sql(_INSERT_PG, (_records(_INSERTED, some),))


def _split(rows: Sequence[tuple[Any, ...]]) -> Iterable[Sequence[tuple[Any, ...]]]:
    """Parts of the rows whose bodies are small enough together to be held a few times over."""
    begin = size = 0
    for end, row in enumerate(rows):
        size += len(row[3] or b"")
        if size > MAX_TEXT and end > begin:
            yield rows[begin:end]
            begin, size = end, len(row[3] or b"")
    yield rows[begin:]


def select_due(connection: Connection, endpoint: str, now: float, most: int) -> list[StoredItem]:
    """Return items of the endpoint that may be leased, the oldest first. They are locked on PostgreSQL."""
    return _select(connection, DUE, (endpoint, now, most), most)


def select_overdue(connection: Connection, now: float, most: int) -> list[StoredItem]:
    """Return items of any endpoint that nobody holds and that need no instance."""
    return _select(connection, OVERDUE, (now, now, most), most)


def _select(connection: Connection, both: Sequence[str], given: tuple[Any, ...], most: int) -> list[StoredItem]:
    found: list[StoredItem] = []
    for which in both:
        if connection.dialect.name == "sqlite":
            statement = _SELECT + which
        else:
            statement = _SELECT_PG + which.replace("?", "%s") + _LOCK
        for row in connection.exec_driver_sql(statement, given).all():
            try:
                found.append(_read_stored(row))
            except (msgspec.DecodeError, RecursionError) as error:
                _tell_unreadable(row[1], str(error))
    if found:
        found.sort(key=lambda stored: stored.due_at)
    return found[:most]


@lru_cache(maxsize=1_000)
def _tell_unreadable(id: str, why: str) -> None:
    """Log once that an item is unreadable, since it is found again each time. It waits for a version that can read
    it, and delays no other."""
    log.error("the asynchronous request %s cannot be read by this tidegate: %s", id, why)


def _read_stored(row: Any) -> StoredItem:
    key, _, state, item, fence, tries, losses, begun_at, outcome, due_at, body = row
    left = LeasedItem(
        _read_item(item),
        fence,
        _STATES[state],
        tries,
        losses,
        begun_at or 0.0,
        None if outcome is None else _read_outcome(outcome),
        None if body is None else bytes(body),
    )
    return StoredItem(key, due_at, left)


def write_lease(connection: Connection, keys: list[Any], like: LeasedItem, until: float, holder: str) -> None:
    """Lease the rows with these keys, all of them as ``like``."""
    outcome = None if like.outcome is None else _text(like.outcome)
    values = (str(like.state), like.fence, like.losses, like.begun_at, outcome, until, holder)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_LEASE_THESE, (*values, _text(keys)))
    else:
        connection.exec_driver_sql(_LEASE_THESE_PG, (*values, keys))


def write_reports(connection: Connection, reports: Sequence[ItemReport]) -> set[str]:
    """Record what holders say; returns the ids of those whose fence is still the item's own. No id occurs twice."""
    if connection.dialect.name != "sqlite":
        given = _records(_REPORTED, [(*_values(one), one.id, one.fence) for one in reports])
        return set(connection.exec_driver_sql(_NOTE_PG, (given,)).scalars())
    ids = _text([one.id for one in reports])
    places = {id: (row, fence) for id, row, fence in connection.exec_driver_sql(_SELECT_HELD, (ids,))}
    landing = [one for one in reports if places.get(one.id, ("", None))[1] == one.fence]
    for statement, ends in ((_NOTE, False), (_FINISH, True)):
        rows = [(*_values(one), places[one.id][0]) for one in landing if (one.state is ItemState.DONE) is ends]
        if rows:
            connection.exec_driver_sql(statement, rows)
    return {one.id for one in landing}


def _values(report: ItemReport) -> tuple[Any, ...]:
    done, outcome = report.state is ItemState.DONE, report.outcome
    return (
        str(report.state),
        None if done else report.due_at,
        report.tries,
        report.losses,
        None if outcome is None else _text(outcome),
        outcome.at if done and outcome is not None else None,
    )


def write_measures(connection: Connection, keeper: str, measures: Iterable[ItemMeasurements]) -> None:
    """Keep them in the row of one item: a row for each would be written, read and written again."""
    statement = _MEASURES if connection.dialect.name == "sqlite" else _MEASURES.replace("?", "%s")
    connection.exec_driver_sql(statement, (_text(_group_measures(measures)), keeper))


def _group_measures(measures: Iterable[ItemMeasurements]) -> list[EndedTogether]:
    """Group measures by endpoint, variant and second, value by value, since thousands a second are encoded and read
    this way."""
    groups: dict[tuple[str, str, int], dict[str, list[float]]] = {}
    for one in measures:
        values = groups.setdefault((one.endpoint, one.variant, int(one.at)), {})
        for name, value in one.values.items():
            values.setdefault(name, []).append(value)
    return [EndedTogether(*key, values) for key, values in groups.items()]


def read_measures(text: str) -> list[EndedTogether]:
    """Read what ``write_measures`` of this version or an earlier one kept: the measures of one item, or of several.
    Text that cannot be read is dropped and logged: if it were kept, it would delay all that is measured after it."""
    try:
        stored = _read_measures(text)
    except (msgspec.DecodeError, RecursionError) as error:
        log.error("measurements of asynchronous requests cannot be read and are not counted: %s", error)
        return []
    return [
        EndedTogether(
            one.endpoint,
            one.variant,
            int(one.at),
            {name: value if isinstance(value, list) else [value] for name, value in one.values.items()},
        )
        for one in (stored if isinstance(stored, list) else [stored])
    ]


def _records(names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> str:
    """Encode rows as JSON records. A value for a column of the type ``json`` is text in them. PostgreSQL takes no NUL
    in the JSON that it makes records of, and a model's words may have one."""
    return _text([dict(zip(names, row, strict=False)) for row in rows])


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
