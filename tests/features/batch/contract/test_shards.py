"""What leases of shards promise: one holder at a time, one end, and nothing by those who lost a lease."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidegate.domain.errors import StartupError, Unavailable
from tidegate.domain.shards import JobOver, LeasedShard, NothingFree, ShardProgress, ShardTally
from tidegate.domain.transform import InputObject
from tidegate.store.database import Database, open_database
from tidegate.store.shards import SqlShardLeases, SqlShards, check_rights
from tidegate.transform.shards import outcome, progress

LONG, OVER = 600.0, -1.0
"""Seconds of a lease: one that does not end in a test, and one that has ended at once."""
RUNNERS = ("a", "b", "c")


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    opened = open_database(postgres_url, serial=False)
    yield opened
    opened.shut()


def item(number: int, tag: str = "1") -> InputObject:
    return InputObject(f"s3://in/{number}", f"{number}", 100 + number, tag)


async def opened(database: Database, count: int, job: str = "j", attempt: int = 0) -> SqlShards:
    """A job whose objects are listed."""
    board = SqlShards(database)
    await board.open(job, attempt)
    runner = SqlShardLeases(database, job, attempt, "lister", LONG)
    listing = await runner.next()
    assert isinstance(listing, LeasedShard) and listing.item is None
    assert await runner.write_listing(listing, [item(number) for number in range(1, count + 1)])
    return board


async def tally(board: SqlShards, job: str = "j") -> ShardTally:
    found = await board.tally(job)
    assert found is not None
    return found


async def take(runner: SqlShardLeases) -> LeasedShard:
    found = await runner.next()
    assert isinstance(found, LeasedShard), found
    return found


async def test_objects_are_listed_by_one_runner_and_nothing_is_leased_before(database: Database) -> None:
    board = SqlShards(database)
    a, b = (SqlShardLeases(database, "j", 0, name, LONG) for name in "ab")
    assert await a.next() == JobOver()
    await board.open("j", 0)
    listing = await take(a)
    assert await b.next() == NothingFree()
    assert outcome(await tally(board), 0) is None
    assert await a.write_listing(listing, [item(1), item(2)])
    found = await tally(board)
    assert (found.listed, found.objects, found.bytes_total) == (True, 2, 203)
    assert not await a.write_listing(listing, [item(1), item(2)])
    assert (await take(b)).item == item(2), "the largest first"


async def test_a_lister_that_lost_its_lease_writes_nothing(database: Database) -> None:
    board = SqlShards(database)
    await board.open("j", 0)
    slow, other = SqlShardLeases(database, "j", 0, "slow", OVER), SqlShardLeases(database, "j", 0, "b", LONG)
    late, held = await take(slow), await take(other)
    assert not await slow.write_listing(late, [item(9)])
    assert await other.write_listing(held, [item(1)])
    assert not await slow.write_listing(late, [item(9)])
    assert (await tally(board)).objects == 1


async def test_what_a_dead_runner_held_goes_to_another_and_its_reports_are_dropped(database: Database) -> None:
    board = await opened(database, 1)
    dead, other = SqlShardLeases(database, "j", 0, "dead", OVER), SqlShardLeases(database, "j", 0, "b", LONG)
    lost, held = await take(dead), await take(other)
    assert held.item == lost.item and held.fence > lost.fence and (lost.losses, held.losses) == (0, 1)
    assert await dead.renew({lost: ShardProgress(records=7)}) == set()
    assert not await dead.finish(lost, ShardProgress(), "it failed")
    assert await other.renew({held: ShardProgress(records=3, waiting="S3 is away")}) == {held}
    assert progress(await tally(board)).waiting == "S3 is away"
    assert await other.finish(held, ShardProgress(records=5, bad=1, bytes_done=101), "")
    assert not await other.finish(held, ShardProgress(), ""), "a shard ends once"
    found = await tally(board)
    assert (found.done, found.records, found.bad, found.bytes_done, found.waiting) == (1, 5, 1, 101, "")
    assert outcome(found, 0) == "" and await other.next() == JobOver()


async def test_a_runner_that_starts_again_gives_back_what_it_held_and_nothing_else(database: Database) -> None:
    await opened(database, 3)
    here, there = SqlShardLeases(database, "j", 0, "here", LONG), SqlShardLeases(database, "j", 0, "there", LONG)
    mine, others = await take(here), await take(there)
    assert await SqlShardLeases(database, "j", 0, "here", LONG).give_back(lost=False) == 1
    again = await take(here)
    assert (again.item, again.losses) == (mine.item, 0)
    assert await here.give_back(lost=True) == 1
    assert (await take(here)).losses == 1
    assert await there.renew({others: ShardProgress()}) == {others}


async def test_a_failed_job_has_one_reason_and_nothing_more_is_leased(database: Database) -> None:
    board = await opened(database, 2)
    runner = SqlShardLeases(database, "j", 0, "a", LONG)
    await runner.fail_job("the bucket is gone")
    await runner.fail_job("its deadline of 5 seconds has passed")
    assert outcome(await tally(board), 0) == "the bucket is gone"
    assert await runner.next() == JobOver()


async def test_a_resumed_job_does_again_what_failed_or_changed_and_nothing_else(database: Database) -> None:
    board = await opened(database, 4)
    runner = SqlShardLeases(database, "j", 0, "a", LONG)
    held = {shard.number: shard for shard in [await take(runner) for _ in range(4)]}
    for number, reason in ((1, ""), (2, ""), (3, "record 5 is bad")):
        assert await runner.finish(held[number], ShardProgress(records=10, bytes_done=100 + number), reason)
    await board.revoke("j")
    assert not await runner.finish(held[4], ShardProgress(records=10), ""), "a job that was stopped takes nothing"
    assert await runner.next() == JobOver()
    await board.open("j", 1)
    assert outcome(await tally(board), 1) is None
    assert await runner.next() == JobOver(), "a runner of the attempt before has nothing to do any more"
    again = SqlShardLeases(database, "j", 1, "b", LONG)
    listing = await take(again)
    assert await again.write_listing(listing, [item(1), item(2, tag="2"), item(3), item(4), item(5)])
    left = [await take(again) for _ in range(3)]
    assert {shard.item for shard in left} == {item(2, tag="2"), item(3), item(4)}
    assert isinstance(await again.next(), NothingFree)
    for shard in left:
        assert await again.finish(shard, ShardProgress(records=10), "")
    found = await tally(board)
    assert (found.done, found.objects, found.records, outcome(found, 1)) == (4, 4, 40, "")


async def test_old_jobs_are_forgotten_and_running_ones_are_not(database: Database) -> None:
    board = await opened(database, 1, "old")
    await opened(database, 1, "active")
    assert await board.prune({"active"}, 3_600.0) == []
    assert await board.prune({"active"}, -1.0) == ["old"]
    assert await board.tally("old") is None and await board.tally("active") is not None
    await board.discard("active")
    assert await board.tally("active") is None


async def test_a_role_of_its_own_is_enough_for_a_runner_and_reads_nothing_else(
    database: Database, postgres_url: str
) -> None:
    await SqlShards(database).open("j", 0)
    role, url = "shards_only", postgres_url.replace("postgres@", "shards_only@")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN".encode())
        connection.execute(f"GRANT SELECT, UPDATE ON shards TO {role}".encode())
    limited = open_database(url, serial=False, prepare=False)
    try:
        with pytest.raises(StartupError, match="GRANT SELECT, INSERT, UPDATE ON shards"):
            limited.read(check_rights)
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"GRANT INSERT ON shards TO {role}".encode())
        limited.read(check_rights)
        runner = SqlShardLeases(limited, "j", 0, "a", LONG)
        assert await runner.write_listing(await take(runner), [item(1), item(2)])
        shard = await take(runner)
        assert await runner.renew({shard: ShardProgress()}) == {shard}
        assert await runner.finish(shard, ShardProgress(), "")
        await runner.fail_job("enough")
        assert await runner.give_back(lost=True) == 0
        with pytest.raises(Unavailable, match="permission denied"):
            await limited.run(lambda c: c.exec_driver_sql("SELECT * FROM records").all())
    finally:
        limited.shut()
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY {role}".encode())
            connection.execute(f"DROP ROLE {role}".encode())


async def test_a_runner_of_another_version_is_told_so(database: Database, postgres_url: str) -> None:
    database.read(check_rights)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(b"ALTER TABLE shards ADD COLUMN more text")
    with pytest.raises(StartupError, match="the controller's version of tidegate"):
        database.read(check_rights)


async def test_runners_share_shards_without_leasing_one_twice_in_two_transactions_each(database: Database) -> None:
    """The counting behind the speed-up: what a shard costs the database does not grow with the number of runners."""
    board = await opened(database, 60)
    leased: Counter[int] = Counter()
    transactions = 0

    async def work(name: str) -> None:
        nonlocal transactions
        runner = SqlShardLeases(database, "j", 0, name, LONG)
        while True:
            found = await runner.next()
            if not isinstance(found, LeasedShard):
                return
            leased[found.number] += 1
            assert await runner.finish(found, ShardProgress(records=1), "")
            transactions += 2

    await asyncio.gather(*(work(f"runner-{number}") for number in range(12)))
    assert leased == Counter(range(1, 61)) and transactions == 120
    assert (await tally(board)).done == 60


@dataclass
class World:
    """Runners on one job, beside a model of what they may do. A lease that is ``OVER`` may be taken by anybody."""

    database: Database
    fences: dict[int, int] = field(default_factory=dict)
    """Shard -> the highest fence that was given out."""
    held: dict[str, list[LeasedShard]] = field(default_factory=lambda: {name: [] for name in RUNNERS})
    safe: dict[int, str] = field(default_factory=dict)
    """Shard -> who has a lease that has not ended."""
    ended: Counter[int] = field(default_factory=Counter)

    def runner(self, name: str, seconds: float) -> SqlShardLeases:
        return SqlShardLeases(self.database, "w", 0, name, seconds)

    async def lease(self, name: str, seconds: float) -> None:
        found = await self.runner(name, seconds).next()
        if isinstance(found, LeasedShard):
            assert found.number not in self.safe, "somebody else has it"
            assert not self.ended[found.number], "it has ended"
            assert found.fence > self.fences.get(found.number, 0)
            self.fences[found.number] = found.fence
            self.held[name].append(found)
            if seconds == LONG:
                self.safe[found.number] = name

    async def renew(self, name: str, seconds: float) -> None:
        mine = self.held[name]
        kept = await self.runner(name, seconds).renew(dict.fromkeys(mine, ShardProgress()))
        assert kept == {shard for shard in mine if self._is_current(shard)}
        for shard in kept:
            if seconds == LONG:
                self.safe[shard.number] = name
            else:
                self.safe.pop(shard.number, None)

    async def finish(self, name: str, reason: str) -> None:
        if not self.held[name]:
            return
        shard = self.held[name][0]
        landed = await self.runner(name, LONG).finish(shard, ShardProgress(records=1), reason)
        assert landed == self._is_current(shard)
        if landed:
            self.ended[shard.number] += 1
            self.safe.pop(shard.number, None)
        else:
            self.held[name].pop(0)

    def _is_current(self, shard: LeasedShard) -> bool:
        return self.fences[shard.number] == shard.fence and not self.ended[shard.number]


steps = st.lists(
    st.tuples(
        st.sampled_from(["lease", "lease", "renew", "finish"]),
        st.sampled_from(RUNNERS),
        st.sampled_from([LONG, LONG, OVER]),
        st.sampled_from(["", "", "failed"]),
    ),
    max_size=40,
)


@given(steps=steps, seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_order_of_deaths_and_delays_gives_a_shard_two_holders_or_two_ends(
    database: Database, steps: list[tuple[str, str, float, str]], seed: int
) -> None:
    async def test() -> None:
        board = await opened(database, 5, "w")
        world = World(database)
        for what, name, seconds, reason in steps:
            match what:
                case "lease":
                    await world.lease(name, seconds)
                case "renew":
                    await world.renew(name, seconds)
                case _:
                    await world.finish(name, reason)
        found = await tally(board, "w")
        assert found.done + found.failed == world.ended.total() <= 5
        for name in Random(seed).sample(RUNNERS, len(RUNNERS)):  # the survivors finish all that is free
            runner = world.runner(name, LONG)
            while isinstance(shard := await runner.next(), LeasedShard):
                assert shard.number not in world.safe and await runner.finish(shard, ShardProgress(records=1), "")
        assert (await tally(board, "w")).leased == len(world.safe)
        await board.discard("w")

    asyncio.run(test())
