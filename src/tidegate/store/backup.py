"""Export a database to a backup file and restore it, between SQLite and PostgreSQL in any direction."""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, delete, func, insert, select, text

from tidegate import __version__
from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.generations import generation_floor
from tidegate.domain.observation import Event
from tidegate.ports.artifacts import ArtifactArchive, ArtifactPart
from tidegate.ports.label_archive import LabelPart, LabelSnapshot
from tidegate.ports.store import Kind
from tidegate.store import backup_file
from tidegate.store.backup_file import FORMAT, VERSION, Header, TableHeader
from tidegate.store.schema import current_revision
from tidegate.store.tables import (
    AUDIT,
    JOURNAL,
    METADATA,
    MINUTES,
    QUEUE,
    RECORDS,
    SCHEMA,
    SECONDS,
    SERIES,
    SESSIONS,
    TOKENS,
    USERS,
)
from tidegate.store.transaction import SqlTx

STATE = (RECORDS, JOURNAL, QUEUE)
ACCESS = (USERS, TOKENS, AUDIT)
"""Who may do what, and who did. Sessions are not backed up."""
MEASUREMENTS = (SERIES, SECONDS, MINUTES)
MODELS, LABELS = "models", "labels"
"""Kept model data, and late labels, among the tables of a backup file."""
BESIDE = frozenset({MODELS, LABELS})
"""Not in the database."""
CHUNK = 500
"""Rows per statement."""
BODIES = 8
"""Rows per statement of the queue, whose bodies may be large."""
SERIALS = ((JOURNAL, "seq"), (SERIES, "id"), (AUDIT, "seq"))
ENDPOINTS = Kind("endpoint", object)
"""Undecoded, so that records that this version of tidegate cannot read are restored, too."""

ProgressCallback = Callable[[int, int], None]
"""Called with rows done and rows in total."""


@dataclass(frozen=True)
class Contents:
    """Contents of a backup: ``rows`` by table."""

    rows: dict[str, int]
    sha256: str = ""


def export(
    connection: Connection,
    path: Path,
    *,
    metrics: bool,
    progress: ProgressCallback,
    models: ArtifactArchive | None = None,
    labels: LabelSnapshot | None = None,
) -> Contents:
    """Export a consistent snapshot, whatever is written meanwhile. ``models``: kept model data to include, and
    ``labels``: late labels. Raises Invalid, Conflict."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    if (schema := current_revision(connection)) != SCHEMA:
        raise Conflict(
            f"The database has schema {schema or 'none'}, this tidegate {SCHEMA}: start it once with this one, or "
            "back it up with the version that made it"
        )
    tables = (*STATE, *ACCESS, *(MEASUREMENTS if metrics else ()))
    rows = {str(t.name): connection.execute(select(func.count()).select_from(t)).scalar_one() for t in tables}
    made_at = datetime.now().astimezone()
    heads = {str(t.name): TableHeader([str(column.name) for column in t.c], rows[t.name]) for t in tables}
    beside = list(_beside(models, labels))
    for name, members, count, _ in beside:
        rows[name], heads[name] = count, TableHeader(members, count)
    with backup_file.open_writer(path) as writer:
        writer.header(Header(FORMAT, VERSION, __version__, SCHEMA, made_at, heads))
        total = sum(rows.values())
        for table in tables:
            columns = list(table.c)
            for row in _read_all(connection, table):
                values = [backup_file.to_json(c, value) for c, value in zip(columns, row, strict=True)]
                writer.row(str(table.name), values)
                progress(writer.rows, total)
        for name, _, _, parts in beside:
            for part in parts:
                writer.row(name, part)
                progress(writer.rows, total)
        if writer.rows != total:
            raise Conflict("Model data was kept or removed while it was backed up: run the backup again")
        return Contents(rows, writer.end())


def _beside(
    models: ArtifactArchive | None, labels: LabelSnapshot | None
) -> Iterator[tuple[str, list[str], int, Iterator[list[Any]]]]:
    """Name, columns, number of rows, and the rows."""
    if models is not None:
        parts = ([*part[:-1], b64encode(part.data).decode()] for part in models.read())
        yield MODELS, list(ArtifactPart._fields), models.count(), parts
    if labels is not None:
        yield LABELS, list(LabelPart._fields), labels.count(), (list(part) for part in labels.read())


def restore(
    connection: Connection, path: Path, header: Header, *, force: bool, now: datetime, progress: ProgressCallback
) -> Contents:
    """Restore in one transaction. Measurements are replaced only if the backup has some.

    Raises Conflict if the database is not empty, unless ``force``; Invalid. Generations and fences of endpoints
    continue above ``generation_floor(now)``, so that none that was assigned after the backup is assigned again."""
    if int(header.schema) > int(SCHEMA):
        raise Invalid(
            f"The backup {path} was made by a newer tidegate ({header.tidegate}): restore it with that one"
        )
    if not force and (found := _existing_rows(connection)):
        raise Conflict(f"The database is not empty ({found}): use --force to replace its contents")
    tables = {name: table for name, table in header.tables.items() if name not in BESIDE}
    unknown = tables.keys() - METADATA.tables.keys()
    if unknown:
        raise Invalid(
            f"The backup {path} has tables that this tidegate does not know: {', '.join(sorted(unknown))}"
        )
    for name in tables:
        connection.execute(delete(METADATA.tables[name]))
    connection.execute(delete(SESSIONS))  # of users as they are no longer
    done = 0
    saved = (row for row in backup_file.read_rows(path) if row[0] not in BESIDE)
    for name, rows in groupby(saved, key=lambda row: row[0]):
        table, columns = METADATA.tables[name], header.tables[name].columns
        for chunk in _chunks(rows, _batch_size(table)):
            made = [backup_file.from_json(table, columns, values) for _, values in chunk]
            connection.execute(insert(table), made)
            done += len(chunk)
            progress(done, sum(table.rows for table in tables.values()))
    if connection.dialect.name == "postgresql":
        _raise_sequences(connection)
    _raise_numbers(SqlTx(connection), now)
    return Contents({name: table.rows for name, table in header.tables.items()})


def read_models(path: Path) -> Iterator[ArtifactPart]:
    """Kept model data of a verified file."""
    for name, values in backup_file.read_rows(path):
        if name == MODELS:
            digest, inner, kind, data = values
            yield ArtifactPart(digest, inner, kind, b64decode(data))


def read_labels(path: Path) -> Iterator[LabelPart]:
    """Late labels of a verified file. Raises Invalid."""
    for name, values in backup_file.read_rows(path):
        if name == LABELS:
            try:
                yield msgspec.convert(values, prepare_type(LabelPart))
            except msgspec.ValidationError as error:
                raise Invalid(f"The labels of the backup {path} cannot be read: {error}") from None


def _read_all(connection: Connection, table: Table) -> Iterator[Any]:
    """Read rows in the order of the primary key, a few at a time: bodies of requests may be large."""
    query = select(table).order_by(*table.primary_key.columns)
    yield from connection.execute(query, execution_options={"yield_per": _batch_size(table)})


def _chunks(rows: Iterator[backup_file.BackupRow], size: int) -> Iterator[list[backup_file.BackupRow]]:
    while chunk := list(islice(rows, size)):
        yield chunk


def _batch_size(table: Table) -> int:
    return BODIES if table is QUEUE else CHUNK


def _existing_rows(connection: Connection) -> str:
    """Describe the rows that a restore would replace."""
    counts = {t.name: connection.execute(select(func.count()).select_from(t)).scalar_one() for t in STATE}
    return ", ".join(f"{count:,} in {name}" for name, count in counts.items() if count)


def _raise_sequences(connection: Connection) -> None:
    """Advance sequences past the inserted rows, and never back, so that no number is reused. SQLite does this
    itself."""
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
            event = Event("restore", f"restored from a backup; numbers continue from {floor}")
            tx.put(ENDPOINTS, saved.name, {**body, **raised}, expect=saved.version, now=now, events=[event])
