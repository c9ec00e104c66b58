"""One controller acts on a database at a time: how it takes the lease, and what it does when it loses it.

A controller that waits for the lease answers that it is healthy, and that another one leads. Kubernetes replaces
controllers one at a time by it: one that waits is as ready as the one that leads.
"""

import asyncio
import contextlib
import json
import logging
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tidegate.domain.errors import Unavailable
from tidegate.gateway.paths import HEALTH, READY
from tidegate.host.clock import BOOT_ID
from tidegate.ports.lease import LeaseCandidate
from tidegate.settings import Settings
from tidegate.store import DatabaseLimits, SqlStore
from tidegate.store.access import SqlAccess
from tidegate.store.audit import SqlAudit
from tidegate.store.database import Database, open_database
from tidegate.store.lease import DEFAULT_TIMES, LeaseContender, SqlLease, has_leases

LONGEST_HEAD = 16 * 1024
TIMEOUT = 5.0
"""Seconds that a client has for the head of its request."""
REASON = "this controller stands by: another one leads"


@contextlib.asynccontextmanager
async def standing_by(host: str, port: int) -> AsyncIterator[None]:
    """Answer on the controller's port during the block. Where another process has the port, such as the leader on the
    same machine, nobody asks this one."""
    try:
        server = await asyncio.start_server(_answer, host, port, limit=LONGEST_HEAD)
    except OSError as error:
        log.info("nothing is answered while this controller stands by: %s", error)
        yield
        return
    try:
        yield
    finally:
        server.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(TIMEOUT):
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(answer_to(head))
            await writer.drain()
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass  # the client's matter
    finally:
        writer.close()


def answer_to(head: bytes) -> bytes:
    """Return the response to an HTTP request with this head."""
    words = head.split(b"\r\n", 1)[0].split(b" ")
    path = words[1].partition(b"?")[0].decode("ascii", "replace") if len(words) > 1 else ""
    status = "200 OK" if path == READY else "503 Service Unavailable"
    said = {"status": "standby", "reason": REASON} if path in (HEALTH, READY) else {"message": REASON}
    body = json.dumps(said).encode()
    lines = (
        f"HTTP/1.1 {status}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + body


log = logging.getLogger("tidegate")

OFFER_EVERY = 1.0
"""Seconds between two looks whether this controller is fit to lead."""
JOURNAL_EVERY = 60.0
"""Seconds between two removals of old lines of the journal."""
AUDIT_ENTRIES = 1_000_000
"""Entries of the audit that are kept at most: some 300 MB."""
EXPIRED_TOKENS = timedelta(days=90)
"""For which tokens that have expired are still listed."""
EVER = datetime(1970, 1, 1, tzinfo=UTC)
JOURNAL_LINES = 2_000
"""Lines that are removed in one transaction, so that others wait for it no longer than for any."""


@contextlib.asynccontextmanager
async def leading(
    store: SqlStore,
    settings: Settings,
    stopping: asyncio.Event,
    leave: Callable[[], None],
    *,
    seize: bool = False,
    fit: Callable[[], Awaitable[bool]] | None = None,
) -> AsyncIterator[SqlLease | None]:
    """The block may act on the store, whose schema is this program's; None: ``stopping`` was set while it waited.
    Calls ``leave`` once another controller has taken over; raises Unavailable for that at the end. Raises Conflict
    where another one has the store, unless it is to be seized on PostgreSQL; StartupError. ``fit``: whether this
    controller could do what one that offers its lease cannot; None: it takes none."""
    database, own = store.database, _open_connection(store, settings)
    try:
        if not await asyncio.to_thread(database.read, has_leases):
            # Older than leases, or empty. Otherwise the schema is left alone until the lease is held.
            await asyncio.to_thread(database.prepare, thorough=True)
        contest = LeaseContender(
            database, own, _candidate(settings.state), stopping, settings.standby, seize, fit=fit
        )
        lease = await contest.acquire()
        if lease is None:
            yield None
            return
        async with lease.kept():
            await asyncio.to_thread(database.prepare, thorough=True)
            watching = asyncio.create_task(_watch(lease, leave))
            try:
                yield lease
            finally:
                watching.cancel()
        if lease.lost.is_set():
            raise Unavailable(
                f"Another controller has taken over the database {database.name}: this one has ended and left its "
                "proxy and its workers serving"
            )
    finally:
        if own is not None:
            await own.close()


def _open_connection(store: SqlStore, settings: Settings) -> Database | None:
    if store.database.dialect == "sqlite":
        return None
    limits = DatabaseLimits(min(settings.database_timeout, DEFAULT_TIMES.renewal))
    return open_database(settings.database_url, serial=False, limits=limits, prepare=False)


def _candidate(state: Path) -> LeaseCandidate:
    """The place is this folder, locked by this process, on this machine since it booted: neither a copy of the folder
    nor a copy of the machine is mistaken for it."""
    try:
        boot = BOOT_ID.read_text().strip()
    except OSError:
        boot = ""
    status, host = state.stat(), socket.gethostname()
    place = f"{host} {boot} {status.st_dev}:{status.st_ino} {state}"
    return LeaseCandidate(secrets.token_hex(8), place, f"host {host}, pid {os.getpid()}, state folder {state}")


async def _watch(lease: SqlLease, leave: Callable[[], None]) -> None:
    await lease.lost.wait()
    log.error("another controller has taken over the database: this one ends; its proxy and its workers serve on")
    leave()


@dataclass
class LastingTrouble:
    """Trouble that has lasted for ``seconds``, on the clock ``now``."""

    trouble: Callable[[], str | None]
    seconds: float
    now: Callable[[], float] = time.monotonic
    _since: float | None = None

    def __call__(self) -> str | None:
        why = self.trouble()
        self._since = None if why is None else self.now() if self._since is None else self._since
        return why if self._since is not None and self.now() - self._since >= self.seconds else None


@dataclass
class LeaseOffers:
    """Offers the lease to a standby for as long as this controller is unfit, and lets it act on until one has taken
    it: one that is no better off takes none, and then half a controller is better than none."""

    lease: SqlLease
    unfit: Callable[[], str | None]
    _offered: bool = False

    async def turn(self) -> None:
        """To be called every second or so."""
        why = self.unfit()
        if (why is not None) == self._offered:
            return
        with contextlib.suppress(Unavailable):  # it is tried again
            await self.lease.offer(why)
            self._offered = why is not None
            log.warning("the lease is %s", f"offered to a standby: {why}" if why else "kept: all is well again")


async def prune_records(store: SqlStore, settings: Settings) -> None:
    """Remove old lines of the journal and of the audit, sessions that have expired and tokens that did long ago."""
    now = datetime.now(UTC)
    if settings.journal_days:
        oldest = now - timedelta(days=settings.journal_days)
        while await store.run(lambda tx: tx.prune_journal(oldest, JOURNAL_LINES)) == JOURNAL_LINES:
            pass
    since = now - timedelta(days=settings.audit_days) if settings.audit_days else EVER
    audit = SqlAudit(store.database)
    while await audit.prune(since, AUDIT_ENTRIES):
        pass  # one transaction after another, between which others have their turn
    await SqlAccess(store.database).prune(now, now - EXPIRED_TOKENS)
