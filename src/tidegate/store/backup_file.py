"""Backup files: compressed lines of JSON, independent of the kind of database.

The first line is the header: format, version, origin, time, and the columns and row count of each table. Each row is
a line with its table and values. The last line has the SHA-256 of everything before it, so a truncated or modified
file is not restored. ``gzip -dc FILE`` displays it."""

import gzip
import hashlib
import os
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec
from sqlalchemy import Column, Double, LargeBinary, Table

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Invalid
from tidegate.store.tables import Utc

FORMAT = "tidegate-backup"
VERSION = 1
MAX_LINE = 4 * 1024**3
"""Bytes of a line; a longer one is not from a backup."""


class TableHeader(msgspec.Struct):
    columns: list[str]
    rows: int


class Header(msgspec.Struct):
    format: str
    version: int
    tidegate: str
    schema: str
    made_at: datetime
    tables: dict[str, TableHeader]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())


class _End(msgspec.Struct):
    rows: int
    sha256: str


BackupRow = tuple[str, list[Any]]
"""A table and the values of its columns, as JSON data."""


@dataclass
class _Writer:
    """Created by ``open_writer``."""

    _file: gzip.GzipFile
    _hash: Any
    rows: int = 0

    def header(self, header: Header) -> None:
        self._line(header)

    def row(self, table: str, values: list[Any]) -> None:
        self._line((table, values))
        self.rows += 1

    def end(self) -> str:
        digest: str = self._hash.hexdigest()
        self._line(_End(self.rows, digest))
        return digest

    def _line(self, content: object) -> None:
        line = msgspec.json.encode(content) + b"\n"
        self._hash.update(line)
        self._file.write(line)


@contextmanager
def open_writer(path: Path) -> Iterator[_Writer]:
    """Write a backup file, which replaces an existing one only if the block succeeds, and is then durable. Its mode
    is 0600, since environments of models may contain secrets. Raises Invalid if it cannot be written."""
    new = path.with_name(path.name + ".part")
    try:
        with open(new, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                yield _Writer(packed, hashlib.sha256())
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise Invalid(f"The backup {path} cannot be written: {error.strerror or error}") from None
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def verify(path: Path, progress: Callable[[int], None]) -> Header:
    """Read the whole file. Raises Invalid if it is damaged. ``progress`` is called with the number of rows."""
    digest, rows, end = hashlib.sha256(), 0, None
    with _open_lines(path) as lines:
        first = next(lines)
        try:
            header = _header(path, first)
        except Invalid:
            for _ in lines:  # a damaged file is called damaged: gzip's checksum follows the last line
                pass
            raise
        digest.update(first)
        for line in lines:
            if end is not None:
                raise _damaged(path, "it has lines after its end")
            if line.startswith(b"["):
                digest.update(line)
                rows += 1
                progress(rows)
            else:
                end = msgspec.json.decode(line, type=prepare_type(_End))
    if end is None:
        raise _damaged(path, "its end is missing")
    if (end.rows, end.sha256) != (rows, digest.hexdigest()) or rows != header.rows:
        raise _damaged(path, "its checksum does not match")
    return header


def read_rows(path: Path) -> Iterator[BackupRow]:
    """Rows of a verified file."""
    with _open_lines(path) as lines:
        next(lines)
        for line in lines:
            if line.startswith(b"["):
                yield msgspec.json.decode(line, type=prepare_type(BackupRow))


def to_json(column: Column[Any], value: Any) -> Any:
    if value is None:
        return None
    if isinstance(column.type, Utc):
        return value.isoformat()
    if isinstance(column.type, LargeBinary):
        return b64encode(value).decode()
    if isinstance(column.type, Double) and value - value != 0:  # not finite, which JSON has no number for
        return str(value)
    return value


def from_json(table: Table, names: list[str], values: list[Any]) -> dict[str, Any]:
    """A row for the present table. Columns that no longer exist are skipped."""
    pairs = zip(names, values, strict=True)
    return {name: _from_json(table.c[name], value) for name, value in pairs if name in table.c}


def _from_json(column: Column[Any], value: Any) -> Any:
    if value is None:
        return None
    if isinstance(column.type, Utc):
        return datetime.fromisoformat(value)
    if isinstance(column.type, LargeBinary):
        return b64decode(value)
    return float(value) if isinstance(column.type, Double) else value


@contextmanager
def _open_lines(path: Path) -> Iterator[Iterator[bytes]]:
    """Open the file and yield its lines. Raises Invalid if it is damaged or cannot be read."""
    try:
        with gzip.open(path, "rb") as file:
            yield _lines(path, cast(BinaryIO, file))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, str(error)) from None
    except OSError as error:
        raise Invalid(f"The backup {path} cannot be read: {error.strerror or error}") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise _damaged(path, str(error)) from None


def _lines(path: Path, file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE):
        yield line
    if file.tell() == 0:
        raise _damaged(path, "it is empty")


def _header(path: Path, line: bytes) -> Header:
    try:
        header = msgspec.json.decode(line, type=prepare_type(Header))
    except msgspec.MsgspecError:
        raise Invalid(
            f"{path} is not a backup of tidegate: give a file that 'tidegate server backup' made"
        ) from None
    if header.format != FORMAT or header.version > VERSION:
        raise Invalid(
            f"The backup {path} was made by a newer tidegate ({header.tidegate}): restore it with that version"
        )
    return header


def _damaged(path: Path, what: str) -> Invalid:
    return Invalid(f"The backup {path} is damaged and nothing was restored: {what}; use another one")
