"""The journal's newest line, by which loops that look each second know whether any record was written.

Several loops ask shortly after one another. They share one look, which a write of this process ends at once; what
another process writes is seen by the next.
"""

import asyncio
from datetime import datetime

from sqlalchemy import Connection, select

from tidegate.store.database import Database
from tidegate.store.tables import JOURNAL

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
