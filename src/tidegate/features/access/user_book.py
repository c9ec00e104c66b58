"""Users and API tokens on the database itself, beside a running server or before its first start: whoever may read
the state folder may do everything anyway."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

from tidegate.domain.access import Caller, Means, Role
from tidegate.domain.errors import Conflict, StartupError
from tidegate.features.access.service import UserBook
from tidegate.settings import Settings
from tidegate.store import DatabaseLimits
from tidegate.store.access import SqlAccess
from tidegate.store.audit import SqlAudit
from tidegate.store.database import Database, open_database
from tidegate.store.schema import current_revision
from tidegate.store.tables import SCHEMA

R = TypeVar("R")


def with_users(settings: Settings, by: str, work: Callable[[UserBook, datetime], Awaitable[R]]) -> R:
    """Run ``work`` on the users, at the present time. ``by``: who asks, for the audit. Raises StartupError,
    Conflict."""
    database = _open(settings)
    try:
        caller = Caller(by, Role.ADMIN, Means.MACHINE)
        users = UserBook(SqlAccess(database), SqlAudit(database), caller, secrets.token_bytes)
        return asyncio.run(_finish(work(users, datetime.now(UTC))))
    finally:
        database.shut()


async def _finish(work: Awaitable[R]) -> R:
    return await work


def _open(settings: Settings) -> Database:
    """A database that is not there yet is made; one of another version is left to the server."""
    folder = settings.state.expanduser().absolute()
    if not settings.database_url:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StartupError(f"state folder {folder} cannot be used: {error.strerror}") from None
    url = settings.database_url or f"sqlite:///{folder / 'tidegate.db'}"
    database = open_database(url, limits=DatabaseLimits(settings.database_timeout), prepare=False)
    try:
        revision = database.read(current_revision)
        if revision is None:
            database.prepare()
        elif revision != SCHEMA:
            raise Conflict(
                f"The database has schema {revision}, this tidegate {SCHEMA}: start it once with this one"
            )
    except BaseException:
        database.shut()
        raise
    return database
