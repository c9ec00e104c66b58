"""What goes wrong with a database, in one line that says what to do."""

import sqlite3

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError

from tidegate.domain.errors import StartupError, Unavailable

ADVICE = (
    (("full", "no space", "disk i/o"), "make room on its disk"),
    (("readonly", "read-only", "permission", "privilege"), "let the user who runs tidegate write to it"),
    (("unable to open",), "its folder must be there and the user who runs tidegate must be able to write to it"),
    (
        ("not a database", "malformed"),
        "restore it from a backup with 'tidegate restore FILE --force', or name another one",
    ),
    (("locked", "lock timeout"), "another process holds it; try again"),
    (("authentication", "role"), "check the user and the password in its URL"),
    (("does not exist",), "create it first (createdb)"),
    (("invalid connection option",), "correct its URL"),
)
CHECK = "check that its server is there and running"
RETRYABLE = {"40001", "40P01"}
"""PostgreSQL's SQLSTATEs that ask for a repetition: serialisation failure, deadlock."""
LOCK_NOT_AVAILABLE = "55P03"
CONNECTION_LOST = ("08", "57P")
"""Classes of SQLSTATEs: the connection failed, the server is going down or coming up."""


class DamagedDatabase(StartupError):
    """What the database holds cannot be used; it must be replaced."""


def is_damage(error: BaseException | None) -> bool:
    """Whether SQLite says that its file is none, or not whole."""
    reason = error.orig if isinstance(error, DBAPIError) else None
    return getattr(reason, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def translate(error: DBAPIError, address: URL) -> Exception:
    """Trouble of the database or its disk is ``Unavailable``; a wrong statement stays what it is."""
    operational = isinstance(error, OperationalError | InterfaceError | InternalError)
    trouble = operational or type(error.orig) is sqlite3.DatabaseError
    return to_unavailable(error, address) if trouble else error


def to_unavailable(error: Exception, address: URL) -> Unavailable:
    if isinstance(error, Unavailable):
        return error
    reason = first_line(getattr(error, "orig", None) or error)
    low = reason.lower()
    advice = next((advice for words, advice in ADVICE if any(word in low for word in words)), CHECK)
    return Unavailable(f"The database {display_url(address)} cannot be used: {reason}; {advice}")


def timeout_error(address: URL, seconds: float) -> Unavailable:
    """A deadline passed without an answer."""
    return Unavailable(
        f"The database {display_url(address)} did not answer within {seconds:g} s: whether the change was written is not "
        f"known; {CHECK}"
    )


def is_retryable(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in RETRYABLE


def is_outage(error: DBAPIError) -> bool:
    """Whether the next transaction would wait just as long: the database is locked or cannot be reached, while a
    statement that fails says nothing of others."""
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    state: str | None = getattr(error.orig, "sqlstate", None)
    return state is None or state == LOCK_NOT_AVAILABLE or state.startswith(CONNECTION_LOST)


def display_url(address: URL) -> str:
    return address.set(drivername=address.get_backend_name()).render_as_string(hide_password=True)


def first_line(error: object) -> str:
    """The first line of a message: PostgreSQL's go on with the statement."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
