"""One database and the one thread that speaks to it.

Transactions run one after the other, also between processes: SQLite begins each with IMMEDIATE, PostgreSQL takes
an advisory lock first. So a transaction sees everything before it and nothing beside it, and the journal's order
is the order of commits. A process has one thread for it: the event loop never waits for a disk.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, InternalError, OperationalError

from tidegate.adapters.store.schema import upgrade
from tidegate.model.errors import StartupError, Unavailable

R = TypeVar("R")

DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
PATIENCE = 5
"""Seconds to wait for another process's transaction before ``Unavailable``."""
ATTEMPTS = 8
PAUSE = 0.01
"""Seconds before a transaction that the database asked to repeat is repeated; doubled each time."""
REPEAT = {"40001", "40P01"}
"""PostgreSQL's SQLSTATEs that ask for a repetition: serialisation failure, deadlock."""
LOCK = 0x7469_6465
"""Key of the advisory lock: ``tide``."""

SQLITE = (
    f"PRAGMA busy_timeout = {PATIENCE * 1000}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
)
POSTGRESQL = (
    f"SET lock_timeout = '{PATIENCE}s'",
    "SET idle_in_transaction_session_timeout = '60s'",
)
BEGIN = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": f"SELECT pg_advisory_xact_lock({LOCK})",
}
LOOKING = "tidegate_looking"
"""Option of a connection whose transaction only reads."""
ADVICE = (
    (("full", "no space", "disk i/o"), "make room on its disk"),
    (("readonly", "read-only", "permission", "privilege"), "let the user who runs tidegate write to it"),
    (("unable to open",), "its folder must be there and the user who runs tidegate must be able to write to it"),
    (("not a database", "malformed"), "restore it from a backup or name another one"),
    (("locked", "lock timeout"), "another process holds it; try again"),
    (("authentication", "role"), "check the user and the password in its URL"),
    (("does not exist",), "create it first (createdb)"),
    (("invalid connection option",), "correct its URL"),
)
CHECK = "check that its server is there and running"


class Database:
    """Made by ``open_database``; shared by the parts that keep things in it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    async def run(self, work: Callable[[Connection], R], *, looking: bool = False) -> R:
        """``work`` in one transaction on the database's thread; committed when this returns. A caller that is
        cancelled gives up its place in the queue, or leaves a transaction that runs to its end. ``looking``: it only
        reads, and does not wait for those who write."""
        return await self.call(lambda: self.transact(work, looking=looking))

    async def call(self, job: Callable[[], R]) -> R:
        """``job`` on the database's thread, where it may call ``transact``."""
        try:
            promise = asyncio.get_running_loop().run_in_executor(self._thread, job)
        except RuntimeError:
            raise Unavailable("The database is closed: tidegate is stopping") from None
        return await promise

    def transact(self, work: Callable[[Connection], R], *, looking: bool = False) -> R:
        """``work`` in one transaction; only on the database's thread. Any exception undoes all of it."""
        pause = PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with (
                    self._engine.connect().execution_options(**{LOOKING: looking}) as connection,
                    connection.begin(),
                ):
                    return work(connection)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in REPEAT or attempt == ATTEMPTS:
                    raise _translated(error, self._engine.url) from error
            time.sleep(pause)
            pause *= 2
        raise AssertionError("the last attempt returns or raises")

    def prepare(self) -> None:
        """Brings the schema up to this program's; raises StartupError."""
        self._thread.submit(self.transact, upgrade).result()

    async def close(self) -> None:
        """Waits for what is queued; the database is closed when this returns. Again is harmless."""
        await asyncio.to_thread(self.shut)

    def shut(self) -> None:
        try:
            self._thread.submit(self._engine.dispose).result()
        except RuntimeError:  # shut before
            return
        self._thread.shutdown()


def open_database(url: str, *, serial: bool = True) -> Database:
    """Opens (SQLite: creates) the database and brings its schema up to date; blocks. Raises StartupError.

    Without ``serial``, PostgreSQL runs its transactions beside those of others: for work that locks rows itself."""
    address = _address(url)
    sqlite = address.get_backend_name() == "sqlite"
    try:
        engine = create_engine(
            address,
            connect_args={} if sqlite or "connect_timeout" in address.query else {"connect_timeout": PATIENCE},
            pool_pre_ping=not sqlite,  # a server may have been restarted meanwhile
            json_serializer=lambda body: msgspec.json.encode(body).decode(),
            json_deserializer=msgspec.json.decode,
        )
    except ImportError as error:
        raise StartupError(f"{_shown(address)} needs {error.name}: pip install 'tidegate[postgres]'") from None
    except ArgumentError as error:
        raise StartupError(f"The database URL {_shown(address)} cannot be used: {_line(error)}") from None
    event.listen(engine, "connect", _connected)
    if serial or sqlite:
        event.listen(engine, "begin", _begun)
    database = Database(engine)
    try:
        database.prepare()
    except Exception as error:
        database.shut()
        if isinstance(error, StartupError):
            raise
        raise StartupError(str(_unavailable(error, address))) from error
    return database


def _address(url: str) -> URL:
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        raise StartupError(
            "The database URL cannot be read: expected sqlite:////PATH or postgresql://..."
        ) from None
    driver = DRIVERS.get(address.drivername)
    if driver is None:
        raise StartupError(f"A {address.drivername} database is not supported: use sqlite or postgresql")
    return address.set(drivername=driver)


def _connected(connection: Any, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.isolation_level = None  # begin and commit are ours, not the driver's
        for line in SQLITE:
            connection.execute(line)
        return
    with connection.cursor() as cursor:
        for line in POSTGRESQL:
            cursor.execute(line)
    connection.commit()


def _begun(connection: Connection) -> None:
    if not connection.get_execution_options().get(LOOKING):
        connection.exec_driver_sql(BEGIN[connection.dialect.name])
    elif connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN")


def _translated(error: DBAPIError, address: URL) -> Exception:
    """Trouble of the database or its disk is ``Unavailable``; a wrong statement stays what it is."""
    operational = isinstance(error, OperationalError | InterfaceError | InternalError)
    trouble = operational or type(error.orig) is sqlite3.DatabaseError
    return _unavailable(error, address) if trouble else error


def _unavailable(error: Exception, address: URL) -> Unavailable:
    if isinstance(error, Unavailable):
        return error
    reason = _line(getattr(error, "orig", None) or error)
    low = reason.lower()
    advice = next((advice for words, advice in ADVICE if any(word in low for word in words)), CHECK)
    return Unavailable(f"The database {_shown(address)} cannot be used: {reason}; {advice}")


def _shown(address: URL) -> str:
    return address.set(drivername=address.get_backend_name()).render_as_string(hide_password=True)


def _line(error: object) -> str:
    """The first line of a message: PostgreSQL's go on with the statement."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
