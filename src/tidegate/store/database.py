"""One database and the threads that speak to it.

Transactions run one after the other, also between processes: SQLite begins each with IMMEDIATE, PostgreSQL takes
an advisory lock first. So a transaction sees everything before it and nothing beside it, and the journal's order
is the order of commits. The event loop never waits for a disk or a network.

Every step has a deadline (``connecting.Limits``): a connection that leads nowhere is cut, its caller gets
``Unavailable``, and the others go on. Once a database is known to keep callers waiting they fail together, within a
second, until one transaction in the background gets through.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from tidegate.domain.errors import StartupError, TidegateError, Unavailable
from tidegate.store import errors
from tidegate.store.deadline_threads import DeadlinePool, PoolClosed, current_deadline
from tidegate.store.engine import READ_ONLY, DatabaseLimits, is_sqlite, make_engine, make_interrupt, read_address
from tidegate.store.integrity import check
from tidegate.store.schema import needs_migration, upgrade

R = TypeVar("R")

ATTEMPTS = 8
RETRY_PAUSE = 0.01
"""Seconds before a transaction that the database asked to repeat is repeated; doubled each time."""
THREADS = 3
"""That run transactions on PostgreSQL: one whose connection hangs does not stop the others. SQLite has one writer."""
SPARE_THREADS = 8
"""Threads that may be stuck for good (in a name server's answer, say) before calls fail without being tried."""
OUTAGE_AFTER = 1.0
"""Seconds of waiting in vain after which a database is known to keep callers waiting."""
OUTAGE_WAIT = 1.0
"""Seconds that a caller waits for such a database."""
MIGRATION = 3600.0
"""Seconds that a change of the schema may take."""
CLOSE_TIMEOUT = 5.0
"""Seconds that closing waits for what is under way."""
DEFAULT_LIMITS = DatabaseLimits()


class Database:
    """Made by ``open_database``; shared by the parts that keep things in it."""

    def __init__(self, engine: Engine, limits: DatabaseLimits = DEFAULT_LIMITS) -> None:
        self._engine = engine
        self._sqlite = is_sqlite(engine.url)
        self._limit = limits.hung_disk if self._sqlite else limits.transaction
        count, spare = (1, 0) if self._sqlite else (THREADS, SPARE_THREADS)
        self._workers = DeadlinePool("database", count, spare, self._overran)
        self._exclusive = (
            self._workers if self._sqlite else DeadlinePool("database calls", 1, SPARE_THREADS, self._overran)
        )
        self._outage: Unavailable | None = None
        self._probe: Future[None] | None = None
        self.guard: Callable[[Connection], None] | None = None
        """Called first in each transaction that may write; what it raises undoes it."""

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    @property
    def name(self) -> str:
        """Its URL as it may be shown."""
        return errors.display_url(self._engine.url)

    async def run(self, work: Callable[[Connection], R], *, looking: bool = False) -> R:
        """``work`` in one transaction on a thread of the database's; committed when this returns. A caller that is
        cancelled gives up its place in the queue, or leaves a transaction that runs to its end. ``looking``: it only
        reads, and does not wait for those who write."""
        return await self._do(self._workers, lambda: self.transact(work, looking=looking))

    async def call(self, job: Callable[[], R]) -> R:
        """``job`` on the one thread for calls, where it may call ``transact``: no two calls run at a time."""
        return await self._do(self._exclusive, job)

    def transact(self, work: Callable[[Connection], R], *, looking: bool = False, limit: float | None = None) -> R:
        """``work`` in one transaction; only on a thread of the database's. Any exception undoes all of it. ``limit``:
        seconds that it may take instead of the usual ones, the server's limit included."""
        pause = RETRY_PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            began = time.monotonic()
            try:
                result = self._attempt(work, looking, limit)
            except DBAPIError as error:
                if not errors.is_retryable(error) or attempt == ATTEMPTS:
                    raise self._trouble(error, time.monotonic() - began) from error
            except Exception:  # of the work: the database answered
                self._outage = None
                raise
            else:
                self._outage = None
                return result
            time.sleep(pause)
            pause *= 2
        raise AssertionError("the last attempt returns or raises")

    def prepare(self, *, thorough: bool = False) -> None:
        """Brings the schema up to this program's; blocks. Raises StartupError. ``thorough``: also where a database
        that has it is damaged."""
        self._first(lambda: self._prepare(thorough))

    def read(self, work: Callable[[Connection], R], *, limit: float | None = None) -> R:
        """``work``, which only reads, in one transaction; blocks. Raises StartupError instead of Unavailable."""
        return self._first(lambda: self.transact(work, looking=True, limit=limit))

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
        """Waits for what is under way, a few seconds at most; the database is closed when this returns. Again is
        harmless."""
        await asyncio.to_thread(self.shut)

    def shut(self) -> None:
        with contextlib.suppress(PoolClosed):  # shut before
            self._workers.submit(self._engine.dispose)
        self._exclusive.close(CLOSE_TIMEOUT)
        self._workers.close(CLOSE_TIMEOUT)

    async def _do(self, workers: DeadlinePool, job: Callable[[], R]) -> R:
        try:
            if self._outage is not None:
                await self._wait_for_probe(self._outage)
            return await asyncio.wrap_future(workers.submit(job))
        except PoolClosed:
            raise Unavailable("The database is closed: tidegate is stopping") from None

    async def _wait_for_probe(self, outage: Unavailable) -> None:
        """Raises Unavailable, promptly, unless the database answers again."""
        if self._probe is None or self._probe.done():
            self._probe = self._workers.submit(lambda: self.transact(lambda connection: None))
        answered = asyncio.Event()
        loop = asyncio.get_running_loop()

        def tell(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # this loop has ended meanwhile
                loop.call_soon_threadsafe(answered.set)

        self._probe.add_done_callback(tell)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OUTAGE_WAIT):
                await answered.wait()
        if self._outage is not None:
            raise Unavailable(str(outage))

    def _attempt(self, work: Callable[[Connection], R], looking: bool, limit: float | None) -> R:
        watch = current_deadline()
        if self._sqlite:
            watch.expect(self._limit)
        try:
            with self._engine.connect().execution_options(**{READ_ONLY: looking}) as connection:
                cut = make_interrupt(connection.connection.dbapi_connection)
                watch.expect(limit or self._limit, cut)
                try:
                    with connection.begin():
                        if limit is not None and not self._sqlite:
                            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {limit * 1000:.0f}")
                        if self.guard is not None and not looking:
                            self.guard(connection)
                        return work(connection)
                finally:
                    watch.done()  # before another thread gets this connection
        finally:
            watch.done()

    def _trouble(self, error: DBAPIError, waited: float) -> Exception:
        watch = current_deadline()
        if watch.overrun:
            return self._overran(watch.limit)
        trouble = errors.translate(error, self._engine.url)
        if isinstance(trouble, Unavailable) and waited >= OUTAGE_AFTER and errors.is_outage(error):
            self._begin_outage(trouble)
        return trouble

    def _overran(self, seconds: float) -> Unavailable:
        trouble = errors.timeout_error(self._engine.url, seconds)
        self._begin_outage(trouble)
        return trouble

    def _begin_outage(self, trouble: Unavailable) -> None:
        """Those who wait already would wait in vain, too."""
        self._outage = trouble
        for workers in {self._workers, self._exclusive}:
            workers.fail_waiting(lambda: Unavailable(str(trouble)))

    def _prepare(self, thorough: bool) -> None:
        migrates = self.transact(needs_migration, looking=True)
        if thorough and not migrates:
            self.transact(lambda connection: check(connection, self.name), looking=True, limit=MIGRATION)
        self.transact(upgrade, limit=MIGRATION if migrates else None)


def open_database(
    url: str, *, serial: bool = True, limits: DatabaseLimits = DEFAULT_LIMITS, prepare: bool = True
) -> Database:
    """Opens (SQLite: creates) the database and brings its schema up to date; blocks. Raises StartupError.

    Without ``serial``, PostgreSQL runs its transactions beside those of others: for work that locks rows itself.
    Without ``prepare`` nothing is looked at yet."""
    database = Database(make_engine(read_address(url), limits, serial=serial), limits)
    if prepare:
        try:
            database.prepare()
        except BaseException:
            database.shut()
            raise
    return database
