"""SQL statements on the tables of metrics. Each takes the connection of a running transaction."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import msgspec
from sqlalchemy import Connection, Select, Table, bindparam, delete, func, insert, select, tuple_, update

from tidegate.domain.decoding import prepare_type
from tidegate.domain.metric import MetricId, Sample
from tidegate.host.late_import import load_module
from tidegate.monitoring import finite
from tidegate.store.tables import MINUTES, SECONDS, SERIES

T = TypeVar("T")
CHUNK = 500
"""Values per IN clause."""
SPANS = {SECONDS: 1, MINUTES: 60}
"""Length of each table's spans, in seconds."""


class SeriesKey:
    """One metric in one unit: a row of SERIES. It is a dictionary key thousands of times a second, so its hash is
    computed once, and ``of`` returns the same object for equal keys."""

    __slots__ = ("_hash", "metric", "unit")

    def __init__(self, metric: MetricId, unit: str) -> None:
        self.metric = metric
        self.unit = unit
        self._hash = hash((metric, unit))

    @staticmethod
    @lru_cache(maxsize=65_536)
    def of(metric: MetricId, unit: str) -> "SeriesKey":
        return SeriesKey(metric, unit)

    @property
    def order(self) -> tuple[MetricId, str]:
        return self.metric, self.unit

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, SeriesKey) and self.order == other.order)


class StoredSeries(NamedTuple):
    """A series in the database; ``last_at`` is the start of the last minute with data."""

    id: int
    last_at: int


CellSamples = dict[tuple[int, SeriesKey], Sample]
"""Samples by start of span and series."""


def find_series(connection: Connection, wanted: Iterable[SeriesKey]) -> dict[SeriesKey, StoredSeries]:
    """Rows of those series that are in the database."""
    c = SERIES.c
    key = tuple_(c.namespace, c.name, c.dimensions, c.unit)
    found: dict[SeriesKey, StoredSeries] = {}
    for part in _chunks(sorted(wanted, key=lambda series: series.order)):
        query = select(SERIES).where(key.in_([tuple(_key_columns(series).values()) for series in part]))
        found |= {_series(row): StoredSeries(row.id, row.last_at) for row in connection.execute(query)}
    return found


def series_of_metric(connection: Connection, metric: MetricId) -> dict[int, SeriesKey]:
    """Series of a metric by id, oldest first."""
    c = SERIES.c
    namespace, name, dimensions, _ = _key_columns(SeriesKey(metric, "")).values()
    query = select(SERIES).where(c.namespace == namespace, c.name == name, c.dimensions == dimensions)
    return {row.id: _series(row) for row in connection.execute(query.order_by(c.id))}


def active_metrics(connection: Connection, namespace: str | None, name: str | None, since: int) -> list[MetricId]:
    """Sorted metrics with data in the minute of ``since`` or later."""
    c = SERIES.c
    query = select(SERIES).where(c.last_at >= since // 60 * 60)
    if namespace is not None:
        query = query.where(c.namespace == namespace)
    if name is not None:
        query = query.where(c.name == name)
    return sorted({_series(row).metric for row in connection.execute(query)})


def register(connection: Connection, last: Mapping[SeriesKey, int]) -> dict[SeriesKey, StoredSeries]:
    """Insert rows for new series."""
    connection.execute(insert(SERIES), [{**_key_columns(series), "last_at": at} for series, at in last.items()])
    return find_series(connection, last)


def advance(connection: Connection, rows: Sequence[StoredSeries]) -> None:
    """Update ``last_at``."""
    statement = update(SERIES).where(SERIES.c.id == bindparam("of")).values(last_at=bindparam("at"))
    connection.execute(statement, [{"of": row.id, "at": row.last_at} for row in rows])


def write(connection: Connection, table: Table, cells: CellSamples, ids: Mapping[SeriesKey, StoredSeries]) -> None:
    """Replace cells. Counts of a cell only grow, so a late, older value (from a transaction that was given up and is
    committed after all) has no effect."""
    # The engine has imported its own dialect; the other one takes long and is never used.
    dialect = load_module(f"sqlalchemy.dialects.{connection.dialect.name}")
    statement: Any = dialect.insert(table)
    values = {name: statement.excluded[name] for name in ("count", "total", "low", "high", "bins")}
    statement = statement.on_conflict_do_update(
        index_elements=["at", "series_id"], set_=values, where=statement.excluded["count"] >= table.c["count"]
    )
    connection.execute(statement, [_row(at, ids[series].id, sample) for (at, series), sample in cells.items()])


def cells(
    connection: Connection,
    table: Table,
    keys: Iterable[tuple[int, SeriesKey]],
    ids: Mapping[SeriesKey, StoredSeries],
) -> CellSamples:
    """Read the cells with these keys."""
    named = {ids[series].id: series for _, series in keys}
    places = [(at, ids[series].id) for at, series in keys]
    found: CellSamples = {}
    for part in _chunks(places):
        query = select(table).where(tuple_(table.c.at, table.c.series_id).in_(part))
        found |= _cells(connection, table, query, named)
    return found


def present_cells(
    connection: Connection,
    in_seconds: Sequence[tuple[int, SeriesKey]],
    in_minutes: Sequence[tuple[int, SeriesKey]],
) -> tuple[CellSamples, CellSamples]:
    """Read the cells with these keys from each table."""
    ids = find_series(connection, {series for _, series in (*in_seconds, *in_minutes)})
    found_seconds, found_minutes = (
        cells(connection, table, [key for key in keys if key[1] in ids], ids)
        for table, keys in ((SECONDS, in_seconds), (MINUTES, in_minutes))
    )
    return found_seconds, found_minutes


def cells_since(
    connection: Connection, second: int, minute: int
) -> tuple[CellSamples, CellSamples, dict[SeriesKey, StoredSeries]]:
    """Read all seconds and minutes from these on, and their series."""
    rows: dict[SeriesKey, StoredSeries] = {}
    found: list[CellSamples] = []
    for table, since in ((SECONDS, second), (MINUTES, minute)):
        ids = select(table.c.series_id).where(table.c.at >= since)
        some = connection.execute(select(SERIES).where(SERIES.c.id.in_(ids))).all()
        named = {row.id: _series(row) for row in some}
        found.append(_cells(connection, table, select(table).where(table.c.at >= since), named))
        rows |= {_series(row): StoredSeries(row.id, row.last_at) for row in some}
    return found[0], found[1], rows


def write_all(
    connection: Connection, seconds: CellSamples, minutes: CellSamples, rows: Mapping[SeriesKey, StoredSeries]
) -> dict[SeriesKey, StoredSeries]:
    """Replace cells in both tables. ``rows``: known rows of their series. Returns the rows of all."""
    last: dict[SeriesKey, int] = {}
    for at, series in (*seconds, *minutes):
        last[series] = max(at // 60 * 60, last.get(series, 0))
    found = dict(rows) | find_series(connection, last.keys() - rows.keys())
    if missing := {series: at for series, at in last.items() if series not in found}:
        found |= register(connection, missing)
    later = {
        series: StoredSeries(row.id, last[series]) for series, row in found.items() if last[series] > row.last_at
    }
    if later:
        advance(connection, list(later.values()))
    for table, some in ((SECONDS, seconds), (MINUTES, minutes)):
        if some:
            write(connection, table, some, found)
    return found | later


def minutes(connection: Connection, named: Mapping[int, SeriesKey], start: int, stop: int) -> CellSamples:
    """Minutes of some series from ``start`` to before ``stop``."""
    c = MINUTES.c
    query = select(MINUTES).where(c.series_id.in_(list(named)), c.at >= start, c.at < stop)
    return _cells(connection, MINUTES, query, named)


def seconds(connection: Connection, named: Mapping[int, SeriesKey], start: int, stop: int) -> CellSamples:
    """Seconds of some series from ``start`` to before ``stop``. The table is ordered by time, so each second is
    looked up by its full key; a range scan would read the seconds of all series."""
    c = SECONDS.c
    newest = connection.execute(select(func.max(c.at))).scalar()
    found: CellSamples = {}
    for part in _chunks(range(start, min(stop, (newest or 0) + 1))):
        query = select(SECONDS).where(c.at.in_(part), c.series_id.in_(list(named)))
        found |= _cells(connection, SECONDS, query, named)
    return found


def drop(connection: Connection, table: Table, before: int, slice_: int) -> int:
    """Delete the oldest cells that start before ``before``, at most ``slice_`` seconds of them. Returns the number of
    rows."""
    oldest = connection.execute(select(func.min(table.c.at))).scalar()
    if oldest is None or oldest >= before:
        return 0
    return connection.execute(delete(table).where(table.c.at < min(before, oldest + slice_))).rowcount


def drop_series(connection: Connection, before: int) -> None:
    """Delete series without data since ``before``."""
    connection.execute(delete(SERIES).where(SERIES.c.last_at < before))


def _key_columns(series: SeriesKey) -> dict[str, str]:
    metric = series.metric
    dimensions = msgspec.json.encode(metric.dimensions).decode()
    return {"namespace": metric.namespace, "name": metric.name, "dimensions": dimensions, "unit": series.unit}


def _series(row: Any) -> SeriesKey:
    dimensions = msgspec.json.decode(row.dimensions, type=prepare_type(tuple[tuple[str, str], ...]))
    return SeriesKey.of(MetricId(row.namespace, row.name, dimensions), row.unit)


def _row(at: int, series_id: int, sample: Sample) -> dict[str, object]:
    return {
        "at": at,
        "series_id": series_id,
        "count": sample.count,
        "total": sample.total,
        "low": sample.low,
        "high": sample.high,
        "bins": _pack(sample.bins),
    }


def _cells(
    connection: Connection, table: Table, query: Select[Any], named: Mapping[int, SeriesKey]
) -> CellSamples:
    found: CellSamples = {}
    for at, series_id, count, total, low, high, bins in connection.execute(query):
        series = named[series_id]
        unpacked = msgspec.msgpack.decode(bins, type=prepare_type(dict[int, float]))
        # Earlier versions stored overflowed sums unchanged.
        count, total, low, high = map(finite.saturated, (count, total, low, high))
        found[at, series] = Sample(series.metric, at, count, total, low, high, unpacked, series.unit, SPANS[table])
    return found


def _pack(bins: Mapping[int, float]) -> bytes:
    """MessagePack with whole counts as integers: about 4 bytes per bin."""
    return msgspec.msgpack.encode({k: int(v) if v == int(v) else v for k, v in bins.items()})


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
