"""Records and their journal in SQLite or PostgreSQL.

    store = open_store("sqlite:////var/lib/tidegate/tidegate.db")     # or postgresql://user@host/name
    saved = await store.run(lambda tx: tx.get(ENDPOINT, "fraud"))
    await store.close()

``open_store`` blocks while it connects and migrates (well under a second). It may be called with or without a running
event loop. ``sqlite://`` is a database in memory. Metrics use the same database: ``store.database``.
"""

from collections.abc import Callable
from typing import TypeVar

from tidegate.ports.store import Tx
from tidegate.store.database import DEFAULT_LIMITS, Database, open_database
from tidegate.store.engine import DatabaseLimits
from tidegate.store.transaction import SqlTx

R = TypeVar("R")


class SqlStore:
    """A ``ports.store.Store`` over SQLAlchemy."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def run(self, work: Callable[[Tx], R]) -> R:
        """Run ``work`` in one transaction. Raises Unavailable, with nothing written, if the database is unavailable
        (disk full, server gone, locked by another process). If only the response to the commit is lost, everything
        may have been written."""
        return await self.database.run(lambda connection: work(SqlTx(connection)))

    async def close(self) -> None:
        await self.database.close()


def open_store(url: str, limits: DatabaseLimits = DEFAULT_LIMITS, *, prepare: bool = True) -> SqlStore:
    """Open the database (SQLite: create it if missing) and migrate its schema. Raises StartupError: no permission,
    not a database, wrong URL, server unreachable, schema newer than this version of tidegate. Without ``prepare``
    nothing is accessed yet."""
    return SqlStore(open_database(url, limits=limits, prepare=prepare))


__all__ = ["DatabaseLimits", "SqlStore", "open_store"]
