"""The journal's highest committed number, kept outside the database, by which a loss of changes is noticed.

A database can lose changes and be sound: SQLite's write-ahead log is deleted while no controller runs, the file is
exchanged for an older copy, or PostgreSQL is restored to an earlier time. The next controller would take what serves
by the lost records for something that nobody wants, and stop it. The mark is written after each commit and not
synced: after the machine fails it may be behind, which reports nothing, and never ahead.
"""

import asyncio
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from sqlalchemy import Connection, func, inspect, select, text

from tidegate.domain.decoding import prepare_type
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
            return msgspec.json.decode(self.path.read_bytes(), type=prepare_type(_Mark))
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


# The journal's newest line, by which loops that look each second know whether any record was written. Several
# loops ask shortly after one another. They share one look, which a write of this process ends at once; what
# another process writes is seen by the next.


FRESH = 0.5
"""Seconds for which a look is shared. All loops of one second have their turns within less of it, so that each of
them has a look of its own second."""
_NEWEST = select(JOURNAL.c.seq, JOURNAL.c.at).order_by(JOURNAL.c.seq.desc()).limit(1)

Line = tuple[int, datetime] | None


class NewestLine:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._look: asyncio.Task[Line] | None = None
        self._began = 0.0
        """The event loop's time."""

    def forget(self) -> None:
        """A line was written, or may have been: the next call looks again, also while a look is under way."""
        self._look = None

    async def read(self) -> Line:
        """Raises Unavailable; a look that failed is shared with those alone who waited for it."""
        look, now = self._look, asyncio.get_running_loop().time()
        if look is None or now - self._began >= FRESH or (look.done() and _failed(look)):
            look = self._look = asyncio.create_task(self._database.run(self._read, read_only=True))
            look.add_done_callback(_failed)  # whoever waited may have been cancelled
            self._began = now
        return await asyncio.shield(look)

    def _read(self, connection: Connection) -> Line:
        """At rest no other transaction looks whether this process still has the lease."""
        if self._database.guard is not None:
            self._database.guard(connection)
        row = connection.execute(_NEWEST).one_or_none()
        return None if row is None else (row.seq, row.at)


def _failed(look: "asyncio.Task[Line]") -> bool:
    return look.cancelled() or look.exception() is not None
