"""One database and the threads that access it.

Transactions are serial, also across processes: SQLite begins each with IMMEDIATE, PostgreSQL takes an advisory lock
first. So a transaction sees all earlier ones and none concurrent, and the order of the journal is the order of
commits. The event loop never waits for a disk or a network.

Every step has a deadline (``engine.DatabaseLimits``): a connection that hangs is cut, its caller gets
``Unavailable``, and other callers continue. During an outage all callers fail fast, within a second, until a probe in
the background succeeds (circuit breaker). What only reads has threads of its own: a transaction of another process
that does not end keeps writers waiting, and no reader.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from tidegate.domain.errors import StartupError, TidegateError, Unavailable
from tidegate.store import errors
from tidegate.store.deadline_threads import DeadlinePool, PoolClosed, current_deadline
from tidegate.store.engine import (
    READ_ONLY,
    DatabaseLimits,
    is_sqlite,
    make_engine,
    make_interrupt,
    read_address,
    sqlite_file,
)
from tidegate.store.errors import DamagedDatabase
from tidegate.store.schema import needs_migration, upgrade
from tidegate.store.tables import METADATA, MINUTES, SECONDS, SERIES

MAX_CHECKED = 256 * 1024**2
"""Largest SQLite file, in bytes, that is checked completely (in about a second). Of a larger one, measurements are
not checked."""
RESTORE = "restore it from a backup with 'tidegate server restore FILE --force'"


def check(connection: Connection, shown: str) -> None:
    """Raises DamagedDatabase for a database of the present schema with missing tables or columns, or with unreadable
    pages or records. ``shown``: its URL."""
    inspector = inspect(connection)
    for table in METADATA.sorted_tables:
        present = {c["name"] for c in inspector.get_columns(table.name)} if inspector.has_table(table.name) else {}
        if missing := set(table.columns.keys()) - set(present):
            raise _damaged(shown, f"table {table.name} has no {', '.join(sorted(missing))}")
    if connection.dialect.name == "sqlite":
        _check_pages(connection, shown)
        unreadable = "SELECT kind, name FROM records WHERE NOT json_valid(body) LIMIT 1"
        if (row := connection.exec_driver_sql(unreadable).one_or_none()) is not None:
            raise _damaged(shown, f"the {row[0]} {row[1]!r} cannot be read")


def _check_pages(connection: Connection, shown: str) -> None:
    path = connection.exec_driver_sql("SELECT file FROM pragma_database_list WHERE name = 'main'").scalar()
    size = os.path.getsize(path) if path else 0
    large = {SECONDS.name, MINUTES.name, SERIES.name}
    tables = [f"('{name}')" for name in METADATA.tables if name not in large] if size > MAX_CHECKED else [""]
    for table in tables:
        found = connection.exec_driver_sql(f"PRAGMA quick_check{table}").scalar()
        if found != "ok":
            raise _damaged(shown, " ".join(str(found).split()))


def _damaged(shown: str, what: str) -> DamagedDatabase:
    return DamagedDatabase(f"The database {shown} is damaged: {what}; {RESTORE}, or use another database")


R = TypeVar("R")

ATTEMPTS = 8
RETRY_PAUSE = 0.01
"""Seconds before a transaction is retried at the database's request; doubled each time."""
THREADS = 3
"""Threads for PostgreSQL: a hanging connection does not block the others. SQLite has one writer."""
READERS = 2
"""Threads for transactions that only read."""
SPARE_THREADS = 8
"""Threads that may be stuck permanently (in a DNS lookup, for example) before calls fail without being tried."""
OUTAGE_AFTER = 1.0
"""A transaction that fails after waiting this long, in seconds, starts an outage."""
OUTAGE_WAIT = 1.0
"""Seconds that a caller waits during an outage."""
MIGRATION = 3600.0
"""Seconds that a migration may take."""
CLOSE_TIMEOUT = 5.0
"""Seconds that closing waits for running transactions."""
DEFAULT_LIMITS = DatabaseLimits()


class Database:
    """Created by ``open_database``; shared by records, metrics, queue and lease."""

    def __init__(self, engine: Engine, limits: DatabaseLimits = DEFAULT_LIMITS, threads: int = THREADS) -> None:
        """``threads``: of PostgreSQL, each with a connection."""
        self._engine = engine
        self._sqlite = is_sqlite(engine.url)
        self._limit = limits.hung_disk if self._sqlite else limits.transaction
        count, spare = (1, 0) if self._sqlite else (threads, SPARE_THREADS)
        self._workers = DeadlinePool("database", count, spare, self._make_overrun)
        self._exclusive = (
            self._workers if self._sqlite else DeadlinePool("database calls", 1, SPARE_THREADS, self._make_overrun)
        )
        # A database in memory is one connection's.
        own_readers = not self._sqlite or sqlite_file(engine.url) is not None
        self._readers = (
            DeadlinePool("database reads", READERS, SPARE_THREADS, self._make_overrun)
            if own_readers
            else self._workers
        )
        self._outage: Unavailable | None = None
        self._locked = False
        """Whether the outage is a lock, which keeps nobody from reading."""
        self._probe: Future[None] | None = None
        self.guard: Callable[[Connection], None] | None = None
        """Called first in each transaction that may write. An exception rolls it back."""

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    @property
    def address(self) -> URL:
        return self._engine.url

    @property
    def name(self) -> str:
        """Its URL without the password."""
        return errors.display_url(self._engine.url)

    async def run(
        self,
        work: Callable[[Connection], R],
        *,
        read_only: bool = False,
        committed: Callable[[], None] = lambda: None,
    ) -> R:
        """Run ``work`` in one transaction on a database thread; committed when this returns. Cancelling removes a
        waiting call from the queue; a running transaction continues to its end. ``read_only``: read only, without
        waiting for writers. ``committed`` is called on that thread after the commit, and must not fail."""

        def job() -> R:
            result = self.transact(work, read_only=read_only)
            committed()
            return result

        return await self._do(self._readers if read_only else self._workers, job, read_only)

    async def call(self, job: Callable[[], R]) -> R:
        """Run ``job`` on the single thread for calls, where it may call ``transact``: calls never run
        concurrently."""
        return await self._do(self._exclusive, job)

    def transact(
        self, work: Callable[[Connection], R], *, read_only: bool = False, limit: float | None = None
    ) -> R:
        """Run ``work`` in one transaction; only on a database thread. Any exception rolls it back. ``limit``: seconds
        instead of the default limit, including the server's own."""
        pause = RETRY_PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            began = time.monotonic()
            try:
                result = self._attempt(work, read_only, limit)
            except DBAPIError as error:
                if not errors.is_retryable(error) or attempt == ATTEMPTS:
                    raise self._trouble(error, time.monotonic() - began) from error
            except Exception:  # raised by the work: the database answered
                self._end_outage(read_only)
                raise
            else:
                self._end_outage(read_only)
                return result
            time.sleep(pause)
            pause *= 2
        raise AssertionError("the last attempt returns or raises")

    def prepare(self, *, thorough: bool = False) -> None:
        """Migrate the schema; blocks. Raises StartupError. ``thorough``: also if the database is damaged."""
        self._first(lambda: self._prepare(thorough))

    def read(self, work: Callable[[Connection], R], *, limit: float | None = None) -> R:
        """Run read-only ``work`` in one transaction; blocks. Raises StartupError instead of Unavailable."""
        return self._first(lambda: self.transact(work, read_only=True, limit=limit))

    def _first(self, job: Callable[[], R]) -> R:
        try:
            return self._workers.submit(job).result()
        except Unavailable as error:
            made = errors.DamagedDatabase if errors.is_damage(error.__cause__) else StartupError
            raise made(str(error)) from error
        except TidegateError:
            raise
        except Exception as error:
            raise StartupError(str(errors.to_unavailable(error, self._engine.url))) from error

    async def close(self) -> None:
        """Close the database, waiting a few seconds at most for running transactions. Idempotent."""
        await asyncio.to_thread(self.shut)

    def shut(self) -> None:
        if self._sqlite:
            with contextlib.suppress(PoolClosed):  # already closed
                self._workers.submit(self._engine.dispose)
        for pool in (self._readers, self._exclusive, self._workers):
            pool.close(CLOSE_TIMEOUT)
        if not self._sqlite:  # a transaction that ran until now has just given back its connection
            self._engine.dispose()

    async def _do(self, workers: DeadlinePool, job: Callable[[], R], reads: bool = False) -> R:
        try:
            if self._outage is not None and not (reads and self._locked):
                await self._wait_for_probe(self._outage)
            return await asyncio.wrap_future(workers.submit(job))
        except PoolClosed:
            raise Unavailable("The database is closed: tidegate is stopping") from None

    async def _wait_for_probe(self, outage: Unavailable) -> None:
        """Raises Unavailable quickly unless the database answers again."""
        if self._probe is None or self._probe.done():
            self._probe = self._workers.submit(lambda: self.transact(lambda connection: None))
        answered = asyncio.Event()
        loop = asyncio.get_running_loop()

        def set_answered(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(answered.set)

        self._probe.add_done_callback(set_answered)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OUTAGE_WAIT):
                await answered.wait()
        if self._outage is not None:
            raise Unavailable(str(outage))

    def _attempt(self, work: Callable[[Connection], R], read_only: bool, limit: float | None) -> R:
        watch = current_deadline()
        if self._sqlite:
            watch.expect(self._limit)
        try:
            with self._engine.connect().execution_options(**{READ_ONLY: read_only}) as connection:
                cut = make_interrupt(connection.connection.dbapi_connection)
                watch.expect(limit or self._limit, cut)
                try:
                    with connection.begin():
                        if limit is not None and not self._sqlite:
                            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {limit * 1000:.0f}")
                        if self.guard is not None and not read_only:
                            self.guard(connection)
                        return work(connection)
                finally:
                    watch.done()  # before another thread gets this connection
        finally:
            watch.done()

    def _trouble(self, error: DBAPIError, waited: float) -> Exception:
        watch = current_deadline()
        if watch.overrun:
            return self._make_overrun(watch.limit)
        trouble = errors.translate(error, self._engine.url)
        if isinstance(trouble, Unavailable) and waited >= OUTAGE_AFTER and errors.is_outage(error):
            self._begin_outage(trouble, errors.is_lock(error))
        return trouble

    def _make_overrun(self, seconds: float) -> Unavailable:
        trouble = errors.timeout_error(self._engine.url, seconds)
        self._begin_outage(trouble)
        return trouble

    def _begin_outage(self, trouble: Unavailable, locked: bool = False) -> None:
        """Fail fast from now on, and fail those that wait already: they would wait in vain."""
        self._locked, self._outage = locked, trouble
        for workers in {self._workers, self._exclusive} | (set() if locked else {self._readers}):
            workers.fail_waiting(lambda: Unavailable(str(trouble)))

    def _end_outage(self, read_only: bool) -> None:
        if not (read_only and self._locked):
            self._outage, self._locked = None, False

    def _prepare(self, thorough: bool) -> None:
        migrates = self.transact(needs_migration, read_only=True)
        if thorough and not migrates:
            self.transact(lambda connection: check(connection, self.name), read_only=True, limit=MIGRATION)
        self.transact(upgrade, limit=MIGRATION if migrates else None)


def open_database(
    url: str,
    *,
    serial: bool = True,
    limits: DatabaseLimits = DEFAULT_LIMITS,
    prepare: bool = True,
    threads: int = THREADS,
) -> Database:
    """Open (SQLite: create) the database and migrate its schema; blocks. Raises StartupError.

    Without ``serial``, PostgreSQL runs transactions concurrently, for work that locks rows itself. Without
    ``prepare`` nothing is accessed yet."""
    database = Database(make_engine(read_address(url), limits, serial=serial), limits, threads)
    if prepare:
        try:
            database.prepare()
        except BaseException:
            database.shut()
            raise
    return database
