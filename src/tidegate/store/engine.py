"""SQLAlchemy engines: URL, set-up of connections, begin of transactions, and time limits of each step."""

import contextlib
import os
import socket
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError

from tidegate.domain.errors import StartupError
from tidegate.store.deadline_threads import current_deadline
from tidegate.store.errors import check_encoding, display_url, first_line

DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
LOCK = 0x7469_6465
"""Key of the advisory lock: ``tide``."""
BEGIN = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": f"SELECT pg_advisory_xact_lock({LOCK})",
}
READ_ONLY = "tidegate_looking"
"""Execution option of a connection whose transaction only reads."""
FRESH = "tidegate_fresh"
"""Mark of a pooled connection that was just created and needs no ping."""
POLL_MS = 1
"""Milliseconds between looks whether SQLite's transaction of another process has ended."""
MARGIN = 1.0
"""Seconds after the server's own limit until a step is interrupted by the client: the server's error is clearer."""


@dataclass(frozen=True)
class DatabaseLimits:
    """Time limits in seconds of each step of a transaction, all derived from the configured one."""

    transaction: float = 10.0

    @property
    def lock(self) -> float:
        """To wait for a transaction of another process."""
        return self.transaction / 2

    @property
    def connect(self) -> float:
        """To connect and log in; libpq uses whole seconds, at least two."""
        return max(2.0, self.transaction / 2)

    @property
    def ping(self) -> float:
        """For a pooled connection to answer a ping."""
        return max(1.0, self.transaction / 5)

    @property
    def hung_disk(self) -> float:
        """For a transaction of SQLite, which depends on the disk alone and has no server that could end it
        earlier."""
        return 3 * self.transaction


def make_engine(address: URL, limits: DatabaseLimits, *, serial: bool) -> Engine:
    """Raises StartupError: the driver is not installed, or the URL is not valid."""
    sqlite = is_sqlite(address)
    try:
        engine = create_engine(
            address,
            connect_args={} if sqlite else _keepalive_parameters(address, limits),
            json_serializer=lambda body: msgspec.json.encode(body).decode(),
            json_deserializer=msgspec.json.decode,
            **({} if sqlite else {"pool_size": 8, "max_overflow": -1, "pool_use_lifo": True}),
        )
    except ImportError as error:
        raise StartupError(
            f"{display_url(address)} needs {error.name}: pip install 'tidegate[postgres]'"
        ) from None
    except ArgumentError as error:
        raise StartupError(f"The database URL {display_url(address)} is not valid: {first_line(error)}") from None
    if sqlite:
        event.listen(engine, "connect", lambda made, _: _set_up_sqlite(made, limits))
    else:
        reach = limits.connect * max(1, len(_hosts(address))) + MARGIN
        event.listen(engine, "do_connect", lambda *_: current_deadline().expect(reach))
        # Before SQLAlchemy's own first look, which fails on bytes in place of text.
        event.listen(
            engine,
            "connect",
            lambda made, _: check_encoding(made.info.parameter_status("server_encoding"), address),
            insert=True,
        )
        event.listen(engine, "connect", lambda made, record: _set_up_postgresql(made, record, limits))
        event.listen(engine, "checkout", lambda made, record, _: _ping(engine, made, record, limits))
    if serial or sqlite:
        event.listen(engine, "begin", _begin)
    return engine


def read_address(url: str) -> URL:
    """Raises StartupError."""
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


def is_sqlite(address: URL) -> bool:
    return address.get_backend_name() == "sqlite"


def sqlite_file(address: URL) -> Path | None:
    """File of a SQLite database; None for one in memory, and for PostgreSQL."""
    return Path(address.database) if is_sqlite(address) and address.database else None


def make_interrupt(connection: Any) -> Callable[[], None]:
    """Return a function that ends another thread's call on this driver connection, which is unusable afterwards."""
    if isinstance(connection, sqlite3.Connection):
        return connection.interrupt

    def cut() -> None:
        with (
            contextlib.suppress(Exception),  # it is closed already, or was never complete
            socket.socket(fileno=os.dup(connection.fileno())) as end,
        ):
            end.shutdown(socket.SHUT_RDWR)

    return cut


def _keepalive_parameters(address: URL, limits: DatabaseLimits) -> dict[str, object]:
    """libpq parameters by which the kernel drops a connection whose peer has vanished. The URL takes precedence."""
    parameters = {
        "connect_timeout": round(limits.connect),
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": round(limits.transaction * 1000),
    }
    return {name: value for name, value in parameters.items() if name not in address.query}


def _hosts(address: URL) -> list[str]:
    """Hosts that libpq tries one after the other, each with the full connection timeout."""
    named = address.query.get("host", ())
    return [host for part in ([named] if isinstance(named, str) else named) for host in part.split(",")]


def _set_up_sqlite(connection: sqlite3.Connection, limits: DatabaseLimits) -> None:
    connection.isolation_level = None  # begin and commit are explicit, not by the driver
    _make_private(connection)
    for line in (
        f"PRAGMA busy_timeout = {limits.lock * 1000:.0f}",
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "PRAGMA foreign_keys = ON",
    ):
        connection.execute(line)


def _make_private(connection: sqlite3.Connection) -> None:
    """Leave a database's file to its owner, and so the files beside it, which get its mode: it has hashes of
    passwords, and the folder may be one that others can read."""
    path = connection.execute("PRAGMA database_list").fetchone()[2]
    if path:
        with contextlib.suppress(OSError):  # another user's: then it is theirs to protect
            os.chmod(path, 0o600)


def _set_up_postgresql(connection: Any, record: Any, limits: DatabaseLimits) -> None:
    """Set the limits that the server enforces. It also ends transactions of a client that has vanished, which would
    otherwise keep their locks, after the time that the client itself would wait."""
    current_deadline().expect(limits.connect + MARGIN, make_interrupt(connection))
    settings = {
        "lock_timeout": f"{limits.lock * 1000:.0f}",
        "statement_timeout": f"{limits.transaction * 1000:.0f}",
        "idle_in_transaction_session_timeout": f"{limits.transaction * 1000:.0f}",
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": f"{limits.transaction * 1000:.0f}",
    }
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f"SET {name} = {value}" for name, value in settings.items()))
    connection.commit()
    record.info[FRESH] = True


def _ping(engine: Engine, connection: Any, record: Any, limits: DatabaseLimits) -> None:
    """Ping an idle connection: the server may have been restarted, or packets may be lost on the way."""
    if record.info.pop(FRESH, False):
        return
    current_deadline().expect(limits.ping, make_interrupt(connection))
    try:
        engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error:
        raise InvalidatePoolError from None


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get(READ_ONLY):
        if connection.dialect.name == "sqlite":
            _begin_sqlite(connection)
        else:
            connection.exec_driver_sql(BEGIN[connection.dialect.name])
    elif connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN")


def _begin_sqlite(connection: Connection) -> None:
    """Begin a transaction that may write, as soon as no other process has one. SQLite itself looks again after 1, 2,
    5 and up to 100 milliseconds; by then the other one has its next transaction already."""
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    (limit,) = driver.execute("PRAGMA busy_timeout").fetchone()
    driver.execute(f"PRAGMA busy_timeout = {min(limit, POLL_MS)}")
    try:
        deadline = time.monotonic() + limit / 1000
        while time.monotonic() < deadline:
            try:
                driver.execute(BEGIN["sqlite"])
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    break
        connection.exec_driver_sql(BEGIN["sqlite"])  # its error is SQLAlchemy's
    finally:
        driver.execute(f"PRAGMA busy_timeout = {limit}")
