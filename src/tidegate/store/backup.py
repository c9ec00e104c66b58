"""All that a database holds, into a backup file and back, from either kind of database into either."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, select, text

from tidegate import __version__
from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.generations import generation_floor
from tidegate.domain.observation import Event
from tidegate.ports.store import Kind
from tidegate.store import backup_file
from tidegate.store.backup_file import FORMAT, VERSION, Header, TableHeader
from tidegate.store.schema import current_revision
from tidegate.store.tables import JOURNAL, METADATA, MINUTES, QUEUE, RECORDS, SCHEMA, SECONDS, SERIES
from tidegate.store.transaction import SqlTx

STATE = (RECORDS, JOURNAL, QUEUE)
MEASUREMENTS = (SERIES, SECONDS, MINUTES)
CHUNK = 500
"""Rows of one statement."""
BODIES = 8
"""The same, of the queue, whose bodies may be large."""
SERIALS = ((JOURNAL, "seq"), (SERIES, "id"))
ENDPOINTS = Kind("endpoint", object)
"""As they lie there: what this program cannot read is restored, too."""

ProgressCallback = Callable[[int, int], None]
"""Rows done, rows in all."""


@dataclass(frozen=True)
class Contents:
    """``rows`` by table."""

    rows: dict[str, int]
    sha256: str = ""


def export(connection: Connection, path: Path, *, metrics: bool, progress: ProgressCallback) -> Contents:
    """In a transaction that sees one moment of the database, whoever writes meanwhile. Raises Invalid, Conflict."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    if (schema := current_revision(connection)) != SCHEMA:
        raise Conflict(
            f"The database has schema {schema or 'none'}, this tidegate {SCHEMA}: start it once with this one, or "
            "back it up with the version that made it"
        )
    tables = (*STATE, *(MEASUREMENTS if metrics else ()))
    rows = {str(t.name): connection.execute(select(func.count()).select_from(t)).scalar_one() for t in tables}
    made_at = datetime.now().astimezone()
    heads = {str(t.name): TableHeader([str(column.name) for column in t.c], rows[t.name]) for t in tables}
    with backup_file.open_writer(path) as writer:
        writer.header(Header(FORMAT, VERSION, __version__, SCHEMA, made_at, heads))
        total = sum(rows.values())
        for table in tables:
            columns = list(table.c)
            for row in _read_all(connection, table):
                values = [backup_file.to_json(c, value) for c, value in zip(columns, row, strict=True)]
                writer.row(str(table.name), values)
                progress(writer.rows, total)
        return Contents(rows, writer.end())


def restore(
    connection: Connection, path: Path, header: Header, *, force: bool, now: datetime, progress: ProgressCallback
) -> Contents:
    """In one transaction: all of it lands or nothing. Measurements are replaced only by a backup that has some.

    Raises Conflict where there is something already, unless ``force`` replaces it; Invalid. Generations and fences of
    endpoints go on above ``now``: what a life that is lost gave out is not given out again."""
    if int(header.schema) > int(SCHEMA):
        raise Invalid(
            f"The backup {path} was made by a newer tidegate ({header.tidegate}): restore it with that one"
        )
    if not force and (found := _existing_rows(connection)):
        raise Conflict(f"The database is not empty ({found}): --force replaces what is there")
    unknown = header.tables.keys() - METADATA.tables.keys()
    if unknown:
        raise Invalid(
            f"The backup {path} has tables that this tidegate does not know: {', '.join(sorted(unknown))}"
        )
    for name in header.tables:
        connection.execute(delete(METADATA.tables[name]))
    done = 0
    for name, rows in groupby(backup_file.read_rows(path), key=lambda row: row[0]):
        table, columns = METADATA.tables[name], header.tables[name].columns
        for chunk in _chunks(rows, _batch_size(table)):
            made = [backup_file.from_json(table, columns, values) for _, values in chunk]
            connection.execute(insert(table), made)
            done += len(chunk)
            progress(done, header.rows)
    if connection.dialect.name == "postgresql":
        _raise_sequences(connection)
    _raise_numbers(SqlTx(connection), now)
    return Contents({name: table.rows for name, table in header.tables.items()})


def _read_all(connection: Connection, table: Table) -> Iterator[Any]:
    """In the order of the primary key, a few at a time: bodies of requests may be large."""
    query = select(table).order_by(*table.primary_key.columns)
    yield from connection.execute(query, execution_options={"yield_per": _batch_size(table)})


def _chunks(rows: Iterator[backup_file.BackupRow], size: int) -> Iterator[list[backup_file.BackupRow]]:
    while chunk := list(islice(rows, size)):
        yield chunk


def _batch_size(table: Table) -> int:
    return BODIES if table is QUEUE else CHUNK


def _existing_rows(connection: Connection) -> str:
    """What would be lost."""
    counts = {t.name: connection.execute(select(func.count()).select_from(t)).scalar_one() for t in STATE}
    return ", ".join(f"{count:,} in {name}" for name, count in counts.items() if count)


def _raise_sequences(connection: Connection) -> None:
    """Behind what was inserted, and never back: numbers are not given out twice. SQLite does so by itself."""
    for table, column in SERIALS:
        last = connection.execute(select(func.max(table.c[column]))).scalar()
        if last is not None:
            sequence = connection.scalar(select(func.pg_get_serial_sequence(table.name, column)))
            given = connection.scalar(text(f"SELECT last_value FROM {sequence}"))
            connection.execute(select(func.setval(sequence, max(last, given or 0))))


def _raise_numbers(tx: SqlTx, now: datetime) -> None:
    floor = generation_floor(now)
    for saved in tx.find(ENDPOINTS).items:
        body = saved.body
        if isinstance(body, dict) and isinstance(body.get("generation"), int):
            raised = {name: max(int(body.get(name, 0)), floor) for name in ("generation", "fence")}
            event = Event("restore", f"restored from a backup; numbers go on from {floor}")
            tx.put(ENDPOINTS, saved.name, {**body, **raised}, expect=saved.version, now=now, events=[event])
