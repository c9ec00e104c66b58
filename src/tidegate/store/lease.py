"""The lease on a database.

A row names the holder. On PostgreSQL the holder renews it every few seconds, over a connection of its own. Others
watch the row by their own monotonic clocks, so the clocks of two machines need not agree: a row that changes has a
living holder. The holder is gone if the row has not changed for ``LeaseTimes.expiry``, or if the server saw its
connection end and the row has not changed for ``LeaseTimes.vanished``, in which a living holder would have
reconnected. A holder that restarts on the same state folder, or that released the lease, is replaced at once.

On SQLite the kernel's lock on a file beside the database says whether the holder lives, however its process ends,
and the row only counts fences.

Each transaction of the store compares the fence (``Database.guard``). The lease is taken in a transaction that comes
after all others, so nothing that a former holder began can be committed later. Gateways on other machines compare it
as well, and keep the highest one: so it begins at the seconds since 2025, above the fences of a database that this
one replaces or is an older copy of.
"""

import asyncio
import contextlib
import fcntl
import logging
import math
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, func, insert, inspect, select, text, update

from tidegate.domain.errors import Conflict, Unavailable
from tidegate.domain.generations import generation_floor
from tidegate.ports.lease import LeaseCandidate
from tidegate.store.database import Database
from tidegate.store.tables import LEASES

log = logging.getLogger(__name__)

NAME = "controller"
OFFERED, OFFER_END = "offers its lease: ", "; "
"""How the row shows a holder that acts, but cannot do all that it should."""
_C = LEASES.c


@dataclass(frozen=True)
class LeaseTimes:
    """Times of a lease, in seconds."""

    renewal: float = 3.0
    """Between renewals."""
    expiry: float = 15.0
    """Without a renewal, until another candidate may take the lease."""
    vanished: float = 6.0
    """The same, if the holder's connection has ended, too."""
    look: float = 0.5
    """Between checks of a waiting candidate."""


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

    @property
    def offered(self) -> bool:
        """Whether its holder acts, but hopes for another one that can do more."""
        return self.shown.startswith(OFFERED)


@dataclass(frozen=True)
class WatchedRow:
    """A row as observed by a waiting candidate."""

    row: LeaseRow | None
    since: float
    """When it was first observed in this state, by the monotonic clock; later by the time without access to the
    database, which does not count: the holder may not have reached it either."""
    alive: bool = False
    """Whether it changed while it was observed."""
    looked: float | None = None
    """The last look; None: at ``since``."""
    blind: bool = False
    """Whether the database could not be reached since that look."""
    access: float = -math.inf
    """When the database was reached again after the last time that it was not."""

    def next(self, row: LeaseRow | None, now: float) -> "WatchedRow":
        access = now if self.blind else self.access
        if row is None or self.row is None or row.fence != self.row.fence:
            return WatchedRow(row, now, looked=now, access=access)
        if row.renewals != self.row.renewals:
            return WatchedRow(row, now, alive=True, looked=now, access=access)
        away = now - (self.since if self.looked is None else self.looked) if self.blind else 0.0
        return WatchedRow(row, self.since + away, self.alive, now, access=access)


def may_take(
    watched: WatchedRow, candidate: LeaseCandidate, now: float, times: LeaseTimes = DEFAULT_TIMES
) -> bool:
    """Whether there is certainly no living holder."""
    row = watched.row
    if row is None or row.released or row.place == candidate.place:
        return True
    # A holder that could not reach the database either gets the time to come back.
    if now - watched.access < times.vanished:
        return False
    return now - watched.since >= (times.vanished if row.connected is False else times.expiry)


class SqlLease:
    """A ``ports.lease.Lease``. Created by ``LeaseContender.acquire``."""

    def __init__(
        self, database: Database, fence: int, renewed: float, times: LeaseTimes, file: int | None = None
    ) -> None:
        """``renewed``: when the last successful renewal was sent. ``file``: file lock that replaces renewals on
        SQLite."""
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
        """Raises Unavailable in a transaction that must not be committed, since another controller holds the
        lease."""
        row = connection.execute(select(_C.fence, _C.shown).where(_C.name == NAME)).one_or_none()
        if row is not None and row.fence == self.fence:
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self.lost.set)
        raise Unavailable(
            f"The database {self._database.name} belongs to another controller now"
            f"{f' ({row.shown})' if row else ''}: this one has stopped acting: stop it"
        )

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator["SqlLease"]:
        """Renew the lease during the block, then release it."""
        renewing = asyncio.create_task(self._renew_forever()) if self._file is None else None
        try:
            yield self
        finally:
            if renewing is not None:
                renewing.cancel()
                await asyncio.gather(renewing, return_exceptions=True)
            await self.release()

    async def offer(self, why: str | None) -> None:
        """Offer the lease to a waiting candidate, which takes it if it is fit; None: no longer. Until then this
        holder acts. Raises Unavailable."""

        def change(connection: Connection) -> None:
            row = _read_row(connection)
            if row is not None and row.fence == self.fence:
                shown = row.shown.partition(OFFER_END)[2] if row.offered else row.shown
                changed = f"{OFFERED}{why}{OFFER_END}{shown}" if why is not None else shown
                _update_held(connection, self.fence, shown=changed)

        await self._database.run(change)

    async def release(self) -> None:
        try:
            await self._database.run(lambda c: _update_held(c, self.fence, released=True))
        except Unavailable as error:
            log.warning("the lease could not be released and will expire: %s", error)
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
    """A candidate for the lease on ``store``. ``own``: the same PostgreSQL, over a connection for the lease only;
    None for SQLite. ``standby``: wait until a living holder ends."""

    store: Database
    own: Database | None
    candidate: LeaseCandidate
    stopping: asyncio.Event
    standby: bool = False
    seize: bool = False
    """Take the lease from a living holder on PostgreSQL."""
    times: LeaseTimes = DEFAULT_TIMES
    fit: Callable[[], Awaitable[bool]] | None = None
    """Whether this candidate could do what a holder that offers its lease cannot; None: it takes no such lease."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    """By which the fences of a database that was replaced or restored begin above those from before."""

    async def acquire(self) -> SqlLease | None:
        """Acquire the lease; from then on it guards the store's transactions. None: ``stopping`` was set before.

        Raises Conflict as soon as a living holder is observed, unless this is a standby; Unavailable."""
        lease = await (self._acquire_file() if self.own is None else self._acquire_row(self.own))
        if lease is not None:
            self.store.guard = lease.check
        return lease

    async def _acquire_row(self, own: Database) -> SqlLease | None:
        watched: WatchedRow | None = None
        while not self.stopping.is_set():
            try:
                row = await own.run(_read_row, read_only=True)
            except Unavailable:
                if not self.standby or watched is None:
                    raise
                watched = replace(watched, blind=True)
                await self._pause()
                continue
            now = time.monotonic()
            first, watched = watched is None, watched.next(row, now) if watched else WatchedRow(row, now)
            offered = row is not None and row.offered and self.fit is not None and await self.fit()
            if self.seize or offered or may_take(watched, self.candidate, now, self.times):
                try:
                    fence = await self._take(row)
                except Unavailable as error:
                    if not self.standby:
                        raise
                    # Such as a transaction that the former holder has left open: the server ends it in time.
                    log.warning("the lease cannot be taken yet: %s", error)
                    await self._pause()
                    continue
                if fence is not None:
                    return SqlLease(own, fence, now, self.times)
                continue  # another candidate was faster
            if watched.alive and not self.standby:
                raise _in_use(self.store, row)
            if first and self.standby and row is not None:
                self._log_waiting(row)
            await self._pause()
        return None

    async def _acquire_file(self) -> SqlLease | None:
        path = await self.store.run(_database_path, read_only=True)
        file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600) if path else None
        try:
            if file is not None and not await self._lock(file):
                os.close(file)
                return None
            row = await self.store.run(_read_row, read_only=True)
            fence = await self._take(row)
            assert fence is not None, "nobody else takes it while this process has the file"
        except BaseException:
            if file is not None:
                os.close(file)
            raise
        return SqlLease(self.store, fence, time.monotonic(), self.times, file)

    async def _take(self, row: LeaseRow | None) -> int | None:
        return await self.store.run(_take_over(self.candidate, row, generation_floor(self.now())))

    async def _lock(self, file: int) -> bool:
        """Give a holder that is about to end time for it."""
        deadline = time.monotonic() + self.times.renewal
        logged = False
        while not _try_lock(file):
            row = await self.store.run(_read_row, read_only=True)
            if not self.standby and time.monotonic() > deadline:
                raise _in_use(self.store, row)
            if self.standby and not logged and row is not None:
                self._log_waiting(row)
                logged = True
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
    """Whether the schema has leases. A controller on an older schema holds none."""
    return inspect(connection).has_table(LEASES.name)


def lock_file(database: Path) -> int:
    """Lock a SQLite database that cannot be opened, until the file is closed. Raises Conflict."""
    file = os.open(f"{database}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    if not _try_lock(file):
        os.close(file)
        raise Conflict(f"The database {database} is in use by another controller: stop that controller")
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
        "one, use another database, or set TIDEGATE_STANDBY=1 to take over when it ends"
    )


def _database_path(connection: Connection) -> str:
    """Canonical path of SQLite's file; empty for a database in memory."""
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


def _take_over(candidate: LeaseCandidate, seen: LeaseRow | None, floor: int) -> Callable[[Connection], int | None]:
    """Take the lease if its row has not changed since it was read. Returns the fence, or None. It is at least
    ``floor``, and above that of the row whatever the clock says."""

    def take(connection: Connection) -> int | None:
        whose = {"holder": candidate.id, "place": candidate.place, "shown": candidate.shown}
        values = {**whose, "renewals": 0, "session": None, "released": False}
        if seen is None:
            present = connection.execute(select(_C.fence).where(_C.name == NAME)).scalar()
            if present is not None:
                return None
            fence = max(1, floor)
            connection.execute(insert(LEASES).values(name=NAME, fence=fence, **values))
            return fence
        fence = max(seen.fence + 1, floor)
        same = (_C.name == NAME, _C.fence == seen.fence, _C.renewals == seen.renewals)
        changed = connection.execute(update(LEASES).where(*same).values(fence=fence, **values))
        return fence if changed.rowcount else None

    return take


def _renew(fence: int) -> Callable[[Connection], bool]:
    return lambda connection: _update_held(
        connection, fence, renewals=_C.renewals + 1, session=func.pg_backend_pid()
    )


def _update_held(connection: Connection, fence: int, **values: object) -> bool:
    """Update the row while it has this fence. False: another controller holds the lease."""
    mine = update(LEASES).where(_C.name == NAME, _C.fence == fence)
    return bool(connection.execute(mine.values(**values)).rowcount)
