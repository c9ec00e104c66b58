"""One controller at a time acts on a database: a second is refused or waits, and what a former holder still writes
does not land."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, select, update

from tests.tcp_relay import relayed
from tidegate.domain.errors import Conflict, Unavailable
from tidegate.ports.lease import LeaseCandidate
from tidegate.ports.store import Kind, Tx
from tidegate.store import DatabaseLimits, SqlStore, open_store
from tidegate.store.database import open_database
from tidegate.store.lease import LeaseContender, LeaseRow, LeaseTimes, SqlLease, WatchedRow, may_take
from tidegate.store.tables import LEASES

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUICK = LeaseTimes(renewal=0.2, expiry=2.0, vanished=1.0, look=0.05)
HERE, THERE = (LeaseCandidate(name, name, f"host {name}") for name in ("here", "there"))
ROW = LeaseRow(fence=3, renewals=7, place="there", shown="host there", released=False, connected=True)


@dataclass(frozen=True)
class Note:
    text: str


NOTE = Kind("note", Note)


def put(name: str) -> Callable[[Tx], int]:
    return lambda tx: tx.put(NOTE, name, Note(name), expect=None, now=NOW)


@dataclass
class Rival:
    """One controller's side of a database."""

    store: SqlStore
    contest: LeaseContender

    async def acquire(self) -> SqlLease:
        lease = await asyncio.wait_for(self.contest.acquire(), 60)
        assert lease is not None
        return lease


@asynccontextmanager
async def rival(url: str, candidate: LeaseCandidate, *, standby: bool = False) -> AsyncIterator[Rival]:
    store = open_store(url, DatabaseLimits(2.0))
    own = None
    if store.database.dialect == "postgresql":
        own = open_database(url, serial=False, limits=DatabaseLimits(1.0), prepare=False)
    try:
        yield Rival(store, LeaseContender(store.database, own, candidate, asyncio.Event(), standby, times=QUICK))
    finally:
        if own is not None:
            await own.close()
        await store.close()


async def test_a_second_controller_is_refused_while_the_first_lives(database_url: str) -> None:
    async with rival(database_url, HERE) as first, rival(database_url, THERE) as second:
        async with (await first.acquire()).kept() as lease:
            with pytest.raises(Conflict, match=r"in use by another controller \(host here\).*TIDEGATE_STANDBY=1"):
                await second.acquire()
            await first.store.run(put("a"))
            assert lease.held
        assert (await second.acquire()).fence > lease.fence


async def test_a_standby_takes_over_when_the_first_has_ended(database_url: str) -> None:
    async with rival(database_url, HERE) as first, rival(database_url, THERE, standby=True) as second:
        async with (await first.acquire()).kept():
            waiting = asyncio.create_task(second.acquire())
            await asyncio.sleep(1)
            assert not waiting.done()
        await waiting
        await second.store.run(put("a"))


async def test_a_lease_that_is_offered_is_taken_by_a_candidate_that_can_do_more_and_by_no_other(
    postgres_url: str,
) -> None:
    fit = asyncio.Event()

    async def is_fit() -> bool:
        return fit.is_set()

    async with rival(postgres_url, HERE) as first, rival(postgres_url, THERE, standby=True) as second:
        second.contest = replace(second.contest, fit=is_fit, times=LeaseTimes())
        async with (await first.acquire()).kept() as lease:
            await lease.offer("the API server is away")
            await lease.offer("the API server is away")
            waiting = asyncio.create_task(second.acquire())
            done, _ = await asyncio.wait({waiting}, timeout=2)
            assert not done and lease.held, "it is no better off"
            await first.store.run(put("still acts"))
            await lease.offer(None)
            fit.set()
            done, _ = await asyncio.wait({waiting}, timeout=2)
            assert not done and lease.held, "it is offered no more"
            row = await second.store.database.run(lambda c: c.execute(select(LEASES.c.shown)).scalar_one())
            assert row == HERE.shown
            await lease.offer("the API server is away again")
            assert (await waiting).fence > lease.fence
            await asyncio.wait_for(lease.lost.wait(), 60)
            await lease.offer(None)  # too late, and without effect
        row = await second.store.database.run(lambda c: c.execute(select(LEASES.c.shown)).scalar_one())
        assert row == THERE.shown


async def test_a_standby_waits_for_a_transaction_that_a_dead_holder_has_left_open(postgres_url: str) -> None:
    async with rival(postgres_url, HERE) as first, rival(postgres_url, THERE, standby=True) as second:
        await (await first.acquire()).release()
        left = open_database(postgres_url, serial=False, limits=DatabaseLimits(60.0), prepare=False)
        begun, over = threading.Event(), threading.Event()

        def hold(connection: Connection) -> None:
            connection.execute(select(LEASES).with_for_update())
            begun.set()
            over.wait(60)

        holding = asyncio.create_task(left.run(hold))
        await asyncio.to_thread(begun.wait, 60)
        waiting = asyncio.create_task(second.contest.acquire())
        done, _ = await asyncio.wait({waiting}, timeout=3)  # longer than it waits for a lock
        assert not done, waiting.exception() if waiting.done() else None
        over.set()
        await holding
        assert await asyncio.wait_for(waiting, 60) is not None
        await left.close()


async def test_what_a_former_holder_writes_does_not_land(postgres_url: str) -> None:
    async with rival(postgres_url, HERE) as first, rival(postgres_url, THERE) as second:
        old = await first.acquire()  # and is stopped before it renews it
        await first.store.run(put("before"))
        new = await second.acquire()
        with pytest.raises(Unavailable, match=r"belongs to another controller now \(host there\)"):
            await first.store.run(put("late"))
        await asyncio.wait_for(old.lost.wait(), 60)
        assert not old.held
        assert new.held
        saved = await second.store.run(lambda tx: {saved.name for saved in tx.find(NOTE).items})
        assert saved == {"before"}


async def test_a_database_that_lost_its_leases_goes_on_above_their_fences(database_url: str) -> None:
    """Others, such as Kubernetes' gateways, remember the fence of a database that was replaced or restored."""
    async with rival(database_url, HERE) as one:
        one.contest = replace(one.contest, now=lambda: NOW)
        lost = await one.acquire()
        await lost.release()
        await one.store.database.run(lambda c: c.execute(delete(LEASES)))
    async with rival(database_url, HERE) as one:
        one.contest = replace(one.contest, now=lambda: NOW + timedelta(seconds=1))
        first = await one.acquire()
        assert first.fence > lost.fence
        await first.release()
        await one.store.database.run(lambda c: c.execute(update(LEASES).values(fence=7)))  # an old copy
    async with rival(database_url, THERE) as two:
        two.contest = replace(two.contest, now=lambda: NOW + timedelta(seconds=2))
        second = await two.acquire()
        assert second.fence > first.fence
        await second.release()
    async with rival(database_url, HERE) as one:  # whose clock is behind
        one.contest = replace(one.contest, now=lambda: NOW - timedelta(days=400))
        assert (await one.acquire()).fence == second.fence + 1


async def test_a_holder_learns_of_its_loss_without_writing(postgres_url: str) -> None:
    async with rival(postgres_url, HERE) as first, rival(postgres_url, THERE) as second:
        old = await first.acquire()
        await second.acquire()
        async with old.kept():
            await asyncio.wait_for(old.lost.wait(), 60)


def test_a_holder_that_restarts_in_its_place_is_let_in_at_once(database_url: str) -> None:
    async def main() -> None:
        async with rival(database_url, HERE) as first:
            fence = (await first.acquire()).fence  # it crashes: nothing is released on PostgreSQL
            if first.store.database.dialect == "sqlite":
                return
            async with rival(database_url, replace(HERE, id="new")) as again:
                again.contest = replace(again.contest, times=LeaseTimes())  # far longer than the test may take
                assert (await again.acquire()).fence > fence

    asyncio.run(main())


async def test_a_holder_behind_a_silent_connection_is_followed_and_fenced(
    postgres_folder: Path, postgres_url: str
) -> None:
    with relayed(postgres_folder) as relay:

        async def main() -> None:
            async with (
                rival(relay.url(postgres_url), HERE) as first,
                rival(postgres_url, THERE, standby=True) as second,
                (await first.acquire()).kept() as old,
            ):
                await first.store.run(put("before"))
                waiting = asyncio.create_task(second.acquire())
                await asyncio.sleep(0.5)
                relay.silence()
                await waiting
                async with asyncio.timeout(60):
                    while old.held:
                        await asyncio.sleep(0.05)
                assert not old.lost.is_set(), "it cannot know that another took it"
                relay.resume()
                await asyncio.wait_for(old.lost.wait(), 60)
                await second.store.run(put("after"))

        await main()


async def test_a_database_that_was_away_leaves_the_lease_with_its_holder(
    postgres_folder: Path, postgres_url: str
) -> None:
    """Nobody else wants it: the holder goes on as soon as it can."""
    with relayed(postgres_folder) as relay:

        async def main() -> None:
            async with (
                rival(relay.url(postgres_url), HERE) as first,
                (await first.acquire()).kept() as lease,
            ):
                relay.silence()
                async with asyncio.timeout(60):
                    while lease.held:
                        await asyncio.sleep(0.05)
                    relay.resume()
                    while not lease.held:
                        await asyncio.sleep(0.05)
                assert not lease.lost.is_set()

        await main()


async def test_a_standby_ends_when_it_is_asked_to(database_url: str) -> None:
    async with (
        rival(database_url, HERE) as first,
        rival(database_url, THERE, standby=True) as second,
        (await first.acquire()).kept(),
    ):
        waiting = asyncio.create_task(second.contest.acquire())
        await asyncio.sleep(0.2)
        second.contest.stopping.set()
        assert await asyncio.wait_for(waiting, 60) is None


async def test_one_sqlite_file_has_one_name(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)

    async with (
        rival(f"sqlite:///{tmp_path / 'a.db'}", HERE) as first,
        rival(f"sqlite:///{tmp_path / 'link' / 'a.db'}", THERE) as second,
        (await first.acquire()).kept(),
    ):
        with pytest.raises(Conflict, match="in use by another controller"):
            await second.acquire()


@pytest.mark.parametrize(
    ("row", "seconds", "taken"),
    [
        (None, 0.0, True),
        (replace(ROW, released=True), 0.0, True),
        (replace(ROW, place="here"), 0.0, True),
        (ROW, 14.9, False),
        (ROW, 15.0, True),
        (replace(ROW, connected=None), 14.9, False),
        (replace(ROW, connected=False), 5.9, False),
        (replace(ROW, connected=False), 6.0, True),
    ],
)
def test_when_a_lease_may_be_taken(row: LeaseRow | None, seconds: float, taken: bool) -> None:
    assert may_take(WatchedRow(row, 100.0), HERE, 100.0 + seconds) is taken


def test_a_renewal_begins_the_wait_anew() -> None:
    watched = WatchedRow(ROW, 100.0).next(ROW, 114.0)
    assert not watched.alive
    watched = watched.next(replace(ROW, renewals=8), 114.0)
    assert watched.alive
    assert not may_take(watched, HERE, 128.0)
    assert not watched.next(replace(ROW, fence=4, renewals=0), 129.0).alive, (
        "another holder, not seen renewing yet"
    )


def looked(until: float, failing: Callable[[float], bool], row: LeaseRow = ROW) -> tuple[WatchedRow, float | None]:
    """A standby that looks twice a second from 100 on, and when it might take the lease first."""
    watched = WatchedRow(row, 100.0)
    for number in range(1, int((until - 100) * 2) + 1):
        now = 100 + number / 2
        if failing(now):
            watched = replace(watched, blind=True)
            continue
        watched = watched.next(row, now)
        if may_take(watched, HERE, now):
            return watched, now
    return watched, None


def test_looks_that_fail_now_and_then_only_delay_a_standby() -> None:
    """A loaded database answers late once in eight seconds."""
    _, taken = looked(200, lambda now: now % 8 == 0)
    assert taken is not None and 115 < taken <= 124


def test_time_without_the_database_does_not_count() -> None:
    """The holder may not have reached it either, and gets the time to come back."""
    for row, counted in ((ROW, 15), (replace(ROW, connected=False), 6)):
        _, taken = looked(900, lambda now: 103 <= now < 700, row)
        assert taken is not None
        seen = (103 - 0.5 - 100) + (taken - 700)
        assert taken - 700 >= 6 and seen >= counted and taken <= 700 + counted
    _, taken = looked(900, lambda now: 114 <= now < 700)
    assert taken == 706, "only a moment is left of its time, but it may just have come back"


def test_holder_that_renews_when_it_can_is_never_replaced() -> None:
    """The database is away for a while, again and again, at any moment of the renewals."""
    for shift in range(12):
        watched, row = WatchedRow(ROW, 100.0), ROW
        for number in range(1, 400):
            now = 100 + number / 2
            away = (number + shift) % 34 < 20
            if not away and number % 7 == 0:  # every 3.5 s
                row = replace(row, renewals=row.renewals + 1)
            watched = replace(watched, blind=True) if away else watched.next(row, now)
            assert away or not may_take(watched, HERE, now), (shift, now)
