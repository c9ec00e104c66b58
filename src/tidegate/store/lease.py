"""The lease on a database.

A row names the holder. On PostgreSQL the holder renews it every few seconds, by a connection of its own. Others watch
the row by their own monotonic clocks, so no clock needs to agree with another: a row that changes has a living
holder; one that has not changed for ``Times.expiry`` has none, nor has one whose connection the server saw end and
that has not changed for ``Times.vanished``, in which a living holder would have connected again. A holder that
restarts in its own place, or that released the lease, is followed at once.

On SQLite the kernel's lock on a file beside the database says who lives, whichever way its processes end, and the row
only counts fences.

Each transaction of the store compares the fence (``Database.guard``). The lease is taken in a transaction that comes
after all others, so nothing that a former holder began can land later.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection, func, insert, inspect, select, text, update

from tidegate.domain.errors import Conflict, Unavailable
from tidegate.ports.lease import Candidate
from tidegate.store.database import Database
from tidegate.store.tables import LEASES

log = logging.getLogger(__name__)

NAME = "controller"
_C = LEASES.c


@dataclass(frozen=True)
class LeaseTimes:
    """In seconds."""

    renewal: float = 3.0
    """Between two renewals."""
    expiry: float = 15.0
    """Without a renewal until another may take the lease."""
    vanished: float = 6.0
    """The same, where the holder's connection has ended, too."""
    look: float = 0.5
    """Between two looks of one that waits."""


DEFAULT_TIMES = LeaseTimes()


@dataclass(frozen=True)
class LeaseRow:
    fence: int
    renewals: int
    place: str
    shown: str
    released: bool
    connected: bool | None
    """Whether the server still has the holder's connection; None: not known."""


@dataclass(frozen=True)
class WatchedRow:
    """A row as one that waits has seen it."""

    row: LeaseRow | None
    since: float
    """When it was first seen like this, by the monotonic clock."""
    alive: bool = False
    """Whether it changed while it was watched."""

    def next(self, row: LeaseRow | None, now: float) -> "Watched":
        if row is None or self.row is None or row.fence != self.row.fence:
            return WatchedRow(row, now)
        if row.renewals != self.row.renewals:
            return WatchedRow(row, now, alive=True)
        return WatchedRow(row, self.since, self.alive)


def may_take(watched: WatchedRow, candidate: Candidate, now: float, times: LeaseTimes = DEFAULT_TIMES) -> bool:
    """Whether the present holder, if there is one, is certainly gone."""
    row = watched.row
    if row is None or row.released or row.place == candidate.place:
        return True
    return now - watched.since >= (times.vanished if row.connected is False else times.expiry)


class SqlLease:
    """A ``ports.lease.Lease``. Made by ``acquire``."""

    def __init__(
        self, database: Database, fence: int, renewed: float, times: LeaseTimes, file: int | None = None
    ) -> None:
        """``renewed``: when the last renewal that landed was sent. ``file``: the lock that stands for renewals."""
        self.fence = fence
        self.lost = asyncio.Event()
        self._database = database
        self._renewed = renewed
        self._times = times
        self._file = file
        self._loop = asyncio.get_running_loop()

    @property
    def held(self) -> bool:
        recent = self._file is not None or time.monotonic() - self._renewed < self._times.expiry
        return recent and not self.lost.is_set()

    def check(self, connection: Connection) -> None:
        """Raises Unavailable in a transaction that may not land, since another holds the lease."""
        row = connection.execute(select(_C.fence, _C.shown).where(_C.name == NAME)).one_or_none()
        if row is not None and row.fence == self.fence:
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self.lost.set)
        raise Unavailable(
            f"The database {self._database.name} belongs to another controller now"
            f"{f' ({row.shown})' if row else ''}: this one has stopped acting; end it"
        )

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator["SqlLease"]:
        """Renews it until the end of the block, then releases it."""
        renewing = asyncio.create_task(self._renew_forever()) if self._file is None else None
        try:
            yield self
        finally:
            if renewing is not None:
                renewing.cancel()
                await asyncio.gather(renewing, return_exceptions=True)
            await self.release()

    async def release(self) -> None:
        try:
            await self._database.run(lambda c: _update_held(c, self.fence, released=True))
        except Unavailable as error:
            log.warning("the lease is left to run out: %s", error)
        if self._file is not None:
            os.close(self._file)
            self._file = None

    async def _renew_forever(self) -> None:
        while not self.lost.is_set():
            began = time.monotonic()
            try:
                if await self._database.run(_renew(self.fence)):
                    self._renewed = began
                else:
                    self.lost.set()
            except Unavailable as error:
                log.warning("the lease was not renewed: %s", error)
            with contextlib.suppress(TimeoutError):
                pause = self._times.renewal - (time.monotonic() - began)
                async with asyncio.timeout(max(self._times.look, pause)):
                    await self.lost.wait()


@dataclass(frozen=True)
class LeaseContender:
    """One that wants the lease on ``store``. ``own``: the same PostgreSQL, by a connection for the lease alone; None
    for SQLite. ``standby``: waits for the end of a living holder."""

    store: Database
    own: Database | None
    candidate: Candidate
    stopping: asyncio.Event
    standby: bool = False
    seize: bool = False
    """Takes the lease from a living holder on PostgreSQL."""
    times: LeaseTimes = DEFAULT_TIMES

    async def acquire(self) -> SqlLease | None:
        """The store's transactions are guarded from then on. None: ``stopping`` was set before.

        Raises Conflict as soon as a living holder is seen, unless this is a standby; Unavailable."""
        lease = await (self._acquire_file() if self.own is None else self._acquire_row(self.own))
        if lease is not None:
            self.store.guard = lease.check
        return lease

    async def _acquire_row(self, own: Database) -> SqlLease | None:
        watched: WatchedRow | None = None
        while not self.stopping.is_set():
            try:
                row = await own.run(_read_row, looking=True)
            except Unavailable:
                if not self.standby or watched is None:
                    raise
                # What was not seen does not count: the holder may not have reached the database either.
                watched = replace(watched, since=time.monotonic())
                await self._pause()
                continue
            now = time.monotonic()
            first, watched = watched is None, watched.next(row, now) if watched else WatchedRow(row, now)
            if self.seize or may_take(watched, self.candidate, now, self.times):
                if (fence := await self.store.run(_take_over(self.candidate, row))) is not None:
                    return SqlLease(own, fence, now, self.times)
                continue  # somebody was faster
            if watched.alive and not self.standby:
                raise _in_use(self.store, row)
            if first and self.standby and row is not None:
                self._log_waiting(row)
            await self._pause()
        return None

    async def _acquire_file(self) -> SqlLease | None:
        path = await self.store.run(_database_path, looking=True)
        file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600) if path else None
        try:
            if file is not None and not await self._lock(file):
                os.close(file)
                return None
            row = await self.store.run(_read_row, looking=True)
            fence = await self.store.run(_take_over(self.candidate, row))
            assert fence is not None, "nobody else takes it while this process has the file"
        except BaseException:
            if file is not None:
                os.close(file)
            raise
        return SqlLease(self.store, fence, time.monotonic(), self.times, file)

    async def _lock(self, file: int) -> bool:
        """A holder that is about to end has a moment for it."""
        deadline = time.monotonic() + self.times.renewal
        said = False
        while not _try_lock(file):
            row = await self.store.run(_read_row, looking=True)
            if not self.standby and time.monotonic() > deadline:
                raise _in_use(self.store, row)
            if self.standby and not said and row is not None:
                self._log_waiting(row)
                said = True
            await self._pause()
            if self.stopping.is_set():
                return False
        return True

    def _log_waiting(self, row: LeaseRow) -> None:
        log.info("standing by: %s is held by another controller (%s)", self.store.name, row.shown)

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.times.look):
                await self.stopping.wait()


def has_leases(connection: Connection) -> bool:
    """Whether the schema knows leases: whoever runs on an older one holds none."""
    return inspect(connection).has_table(LEASES.name)


def lock_file(database: Path) -> int:
    """The lock of a SQLite database that cannot be opened; it lasts until the file is closed. Raises Conflict."""
    file = os.open(f"{database}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    if not _try_lock(file):
        os.close(file)
        raise Conflict(f"The database {database} is in use by another controller: stop that one")
    return file


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _in_use(store: Database, row: LeaseRow | None) -> Conflict:
    return Conflict(
        f"The database {store.name} is in use by another controller ({row.shown if row else 'unknown'}): stop that "
        "one, name another database, or set TIDEGATE_STANDBY=1 to take over when it ends"
    )


def _database_path(connection: Connection) -> str:
    """Of SQLite's file, by its one name; empty for a database in memory."""
    path = connection.exec_driver_sql("SELECT file FROM pragma_database_list WHERE name = 'main'").scalar()
    return str(Path(path).resolve()) if path else ""


def _read_row(connection: Connection) -> LeaseRow | None:
    row = connection.execute(select(LEASES).where(_C.name == NAME)).one_or_none()
    if row is None:
        return None
    connected = None
    if row.session is not None and connection.dialect.name == "postgresql":
        asked = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid AND datname = current_database()")
        connected = bool(connection.execute(asked, {"pid": row.session}).scalar())
    return LeaseRow(row.fence, row.renewals, row.place, row.shown, row.released, connected)


def _take_over(candidate: Candidate, seen: LeaseRow | None) -> Callable[[Connection], int | None]:
    """Takes the lease if it is still as it was seen; returns the fence."""

    def take(connection: Connection) -> int | None:
        whose = {"holder": candidate.id, "place": candidate.place, "shown": candidate.shown}
        values = {**whose, "renewals": 0, "session": None, "released": False}
        if seen is None:
            present = connection.execute(select(_C.fence).where(_C.name == NAME)).scalar()
            if present is not None:
                return None
            connection.execute(insert(LEASES).values(name=NAME, fence=1, **values))
            return 1
        fence = seen.fence + 1
        same = (_C.name == NAME, _C.fence == seen.fence, _C.renewals == seen.renewals)
        changed = connection.execute(update(LEASES).where(*same).values(fence=fence, **values))
        return fence if changed.rowcount else None

    return take


def _renew(fence: int) -> Callable[[Connection], bool]:
    return lambda connection: _update_held(
        connection, fence, renewals=_C.renewals + 1, session=func.pg_backend_pid()
    )


def _update_held(connection: Connection, fence: int, **values: object) -> bool:
    """False: it belongs to another."""
    mine = update(LEASES).where(_C.name == NAME, _C.fence == fence)
    return bool(connection.execute(mine.values(**values)).rowcount)
