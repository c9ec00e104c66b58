"""Records and their journal in SQLite or PostgreSQL.

    store = open_store("sqlite:////var/lib/tidegate/tidegate.db")     # or postgresql://user@host/name
    saved = await store.run(lambda tx: tx.get(ENDPOINT, "fraud"))
    await store.close()

``open_store`` blocks while it connects and migrates (well under a second); it may be called with or without a
running event loop. ``sqlite://`` keeps everything in memory. Metrics use the same database: ``store.database``.
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
        """Raises Unavailable, with nothing written, when the database cannot do its work now (disk full, server
        gone, held by another process); where the answer to a commit is lost, all of it may have been written."""
        return await self.database.run(lambda connection: work(SqlTx(connection)))

    async def close(self) -> None:
        await self.database.close()


def open_store(url: str, limits: DatabaseLimits = DEFAULT_LIMITS, *, prepare: bool = True) -> SqlStore:
    """Opens the database, makes it when it is SQLite and not there, brings its schema up to date. Raises
    StartupError: no permission, not a database, wrong URL, server not there, schema newer than this program.
    Without ``prepare`` nothing is looked at yet."""
    return SqlStore(open_database(url, limits=limits, prepare=prepare))


__all__ = ["Limits", "SqlStore", "open_store"]
