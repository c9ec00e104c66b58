"""The journal's highest committed number, kept outside the database, by which a loss of changes is noticed.

A database can lose changes and be sound: SQLite's write-ahead log is deleted while no controller runs, the file is
exchanged for an older copy, or PostgreSQL is restored to an earlier time. The next controller would take what serves
by the lost records for something that nobody wants, and stop it. The mark is written after each commit and not
synced: after the machine fails it may be behind, which reports nothing, and never ahead.
"""

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from sqlalchemy import Connection, func, inspect, select, text

from tidegate.domain.errors import StartupError
from tidegate.store.database import Database
from tidegate.store.engine import sqlite_file
from tidegate.store.tables import JOURNAL

FILE = "committed.json"
SIZE = 1024
"""Bytes that the file always has, so that it is overwritten in place."""


class _Mark(msgspec.Struct):
    """``database``: its URL; ``seq``: of the newest line of its journal; ``at``: when that was committed."""

    database: str
    seq: int
    at: datetime


class CommitMark:
    """``folder``: the state folder, which belongs to one controller."""

    def __init__(self, folder: Path, database: str) -> None:
        self.path = folder / FILE
        self._database = database
        self._file: int | None = None

    def note(self, seq: int) -> None:
        """Keep the number of a line that was committed. A disk that takes nothing delays no change."""
        line = msgspec.json.encode(_Mark(self._database, seq, datetime.now(UTC)))
        with suppress(OSError):
            if self._file is None:
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._file, line.ljust(SIZE), 0)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def forget(self) -> None:
        """The database was replaced on purpose."""
        self.path.unlink(missing_ok=True)

    def check(self, database: Database) -> None:
        """Raises StartupError if lines that were committed are not in the database. Blocks, and changes nothing."""
        kept = self._load()
        if kept is None or kept.database != self._database:
            return
        found = _newest(database)
        if found is not None and found < kept.seq:
            raise StartupError(
                f"The database {self._database} has lost changes: its journal ends at line {found}, and line "
                f"{kept.seq} was committed at {kept.at:%Y-%m-%d %H:%M:%S} UTC. Its file or its -wal file was "
                "deleted, or an older copy was put in its place. What serves goes on, and nothing was stopped. Put "
                "the newer database back, or use 'tidegate server restore FILE --force'; to go on without those "
                f"changes, delete {self.path}: the next 'tidegate up' then stops what the database does not know"
            )

    def _load(self) -> _Mark | None:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=_Mark)
        except (OSError, ValueError, RecursionError):
            return None


def _newest(database: Database) -> int | None:
    file = sqlite_file(database.address)
    if file is not None and not file.exists():
        return 0  # looking would create it
    return database.read(_last_number)


def _last_number(connection: Connection) -> int | None:
    """The number that was given out last: lines themselves are pruned. None: the database is damaged, of which
    another check says more."""
    tables = inspect(connection).get_table_names()
    if JOURNAL.name not in tables:
        return None if tables else 0
    if connection.dialect.name == "sqlite":
        asked = "SELECT seq FROM sqlite_sequence WHERE name = 'journal'"
        return int(connection.exec_driver_sql(asked).scalar() or 0)
    sequence = connection.scalar(select(func.pg_get_serial_sequence(JOURNAL.name, JOURNAL.c.seq.name)))
    given = connection.execute(text(f"SELECT last_value, is_called FROM {sequence}")).one()
    return int(given.last_value) if given.is_called else 0
