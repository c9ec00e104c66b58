"""Translate errors of a database to one line that says what to do."""

import sqlite3
from getpass import getuser

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError

from tidegate.domain.errors import StartupError, Unavailable

ADVICE = (
    (("full", "no space", "disk i/o"), "free space on its disk"),
    (("readonly", "read-only", "permission"), "give write permission to the user who runs tidegate"),
    (("unable to open",), "its folder must exist, and be writable for the user who runs tidegate"),
    (
        ("not a database", "malformed"),
        "restore it from a backup with 'tidegate server restore FILE --force', or use another database",
    ),
    (("locked",), "another process has locked it; try again"),
)
"""Of SQLite: what its error contains, and what to do."""
POSTGRESQL_ADVICE = (
    (("no space", "could not extend", "disk full"), "free space on its server's disk"),
    (
        ("permission denied for database",),
        'as its owner or an administrator, run: GRANT ALL ON DATABASE "{database}" TO "{user}"',
    ),
    (
        ("permission denied", "must be owner"),
        'as its owner or an administrator, run: ALTER DATABASE "{database}" OWNER TO "{user}"; GRANT ALL ON SCHEMA '
        'public TO "{user}"; GRANT ALL ON ALL TABLES IN SCHEMA public TO "{user}"; GRANT ALL ON ALL SEQUENCES IN '
        'SCHEMA public TO "{user}"',
    ),
    (("no schema has been selected",), 'run: CREATE SCHEMA public AUTHORIZATION "{user}"'),
    (
        ("read-only transaction", "recovery"),
        "it is a standby or is set to read only: name the primary in its URL, or several hosts with "
        "target_session_attrs=read-write",
    ),
    (
        ("too many clients", "too many connections", "connection slots"),
        "raise its max_connections (or the limit of the role or database), or end clients that are not needed",
    ),
    (("starting up", "shutting down"), "wait until its server is up, and try again"),
    (("not currently accepting connections",), "its administrator has closed it: ALLOW_CONNECTIONS"),
    (("pg_hba.conf",), "allow this machine, user and database in its server's pg_hba.conf"),
    (("ssl", "certificate"), "correct sslmode and certificates in its URL"),
    (("authentication", "no password", "role"), "check the user and the password in its URL"),
    (("does not exist",), "create it first: createdb -E UTF8 {database}"),
    (("invalid connection option", "invalid uri", "invalid port", "invalid sslmode"), "correct its URL"),
    (("lock timeout",), "another process has locked it; try again"),
)
"""The same of PostgreSQL."""
CHECK = "check that its server is running and reachable"
RETRYABLE = {"40001", "40P01"}
"""SQLSTATEs of PostgreSQL that ask for a retry: serialisation failure, deadlock."""
LOCK_NOT_AVAILABLE, INSUFFICIENT_PRIVILEGE = "55P03", "42501"
CONNECTION_LOST = ("08", "57P")
"""Classes of SQLSTATEs: the connection failed, the server is going down or coming up."""


class DamagedDatabase(StartupError):
    """The database is damaged and must be replaced."""


def is_damage(error: BaseException | None) -> bool:
    """Whether SQLite reports that its file is damaged or not a database."""
    reason = error.orig if isinstance(error, DBAPIError) else None
    return getattr(reason, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def translate(error: DBAPIError, address: URL) -> Exception:
    """Translate failures of the database or its disk to ``Unavailable``. An error of a statement is returned
    unchanged."""
    operational = isinstance(error, OperationalError | InterfaceError | InternalError)
    barred = getattr(error.orig, "sqlstate", None) == INSUFFICIENT_PRIVILEGE
    trouble = operational or barred or type(error.orig) is sqlite3.DatabaseError
    return to_unavailable(error, address) if trouble else error


def to_unavailable(error: Exception, address: URL) -> Unavailable:
    if isinstance(error, Unavailable):
        return error
    reason = first_line(getattr(error, "orig", None) or error)
    low, postgresql = reason.lower(), address.get_backend_name() == "postgresql"
    table = POSTGRESQL_ADVICE if postgresql else ADVICE
    advice = next((advice for words, advice in table if any(word in low for word in words)), CHECK)
    if postgresql:
        # As libpq reads them where the URL has none.
        user = address.username or address.query.get("user") or getuser()
        advice = advice.format(user=user, database=address.database or user)
    return Unavailable(f"The database {display_url(address)} cannot be used: {reason}; {advice}")


def timeout_error(address: URL, seconds: float) -> Unavailable:
    """Error for a deadline that passed without a response."""
    return Unavailable(
        f"The database {display_url(address)} did not answer within {seconds:g} s: whether the change was written is "
        f"not known; {CHECK}"
    )


def is_retryable(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in RETRYABLE


def is_outage(error: DBAPIError) -> bool:
    """Whether other transactions would wait as long: the database is locked or unreachable. A failing statement says
    nothing about others."""
    state: str | None = getattr(error.orig, "sqlstate", None)
    lost = state is None or state.startswith(CONNECTION_LOST)
    return is_lock(error) or (lost and not isinstance(error.orig, sqlite3.Error))


def is_lock(error: DBAPIError) -> bool:
    """Whether it is a lock, for which only those wait that would write."""
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE


def display_url(address: URL) -> str:
    return address.set(drivername=address.get_backend_name()).render_as_string(hide_password=True)


def check_encoding(encoding: str | None, address: URL) -> None:
    """Raises StartupError for a database that keeps bytes of any encoding, which cannot be read as text."""
    if encoding == "SQL_ASCII":
        raise StartupError(
            f"The database {display_url(address)} has the encoding SQL_ASCII: create one with UTF8 (createdb -E UTF8 "
            "-T template0 NAME) and name it in TIDEGATE_DATABASE_URL"
        )


def first_line(error: object) -> str:
    """First line of a message; PostgreSQL appends the statement."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
