"""The queue's promises, on each database: durable, leased, fenced, each measured once."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, select, update

from tidegate.domain.asynchronous import (
    Backlog,
    EndedTogether,
    Item,
    ItemMeasurements,
    ItemOutcome,
    ItemState,
    OutcomeKind,
)
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import NotFound
from tidegate.ports.queue import ItemReport
from tidegate.ports.store import Tx
from tidegate.service.record_kinds import ENDPOINT
from tidegate.store import SqlStore, queue_sql
from tidegate.store.database import Database, open_database
from tidegate.store.queue import BACKLOGS, SqlQueue
from tidegate.store.queue_sql import MAX_LEASED_BODY
from tidegate.store.tables import QUEUE

R = TypeVar("R")
ITEM = Item("a", "fraud", "mine", 100.0, 160.0, 900.0, "file:///out/a.out", headers={"accept": "text/csv"})
DONE = ItemOutcome(OutcomeKind.COMPLETED, 120.0, content_type="text/csv")


def run(work: Coroutine[Any, Any, R]) -> R:
    return asyncio.run(work)


def made(item: Item) -> Callable[[Tx], Item]:
    return lambda tx: item


def finished(id: str, fence: int, **more: Any) -> ItemReport:
    return ItemReport(id, fence, ItemState.DONE, outcome=DONE, **more)


def test_a_successor_takes_over_what_the_dead_one_of_its_place_held_and_nothing_else(database: Database) -> None:
    async def test() -> None:
        here, there = SqlQueue(database, "here"), SqlQueue(database, "there")
        for id in ("a", "b", "c", "d"):
            await here.accept(made(replace(ITEM, id=id)), b"1")
        (first,) = await here.claim("fraud", 1, 101.0, 130.0)
        (other,) = await there.claim("fraud", 1, 101.0, 130.0)
        (paused,) = await here.claim("fraud", 1, 101.0, 130.0)
        await here.note([ItemReport(paused.item.id, paused.fence, ItemState.WAITING, 120.0)])
        assert await SqlQueue(database, "here").take_over(102.0) == 1
        taken = {held.item.id: held for held in await here.claim("fraud", 9, 102.0, 130.0)}
        assert taken.keys() == {"a", "b", "c", "d"} - {other.item.id, paused.item.id}
        assert (taken[first.item.id].fence, taken[first.item.id].losses) == (2, 1)
        assert await here.note([finished(first.item.id, 1)]) == set()

    run(test())


def test_an_item_comes_back_as_it_was_accepted_with_its_body_and_goes_when_it_is_done(database: Database) -> None:
    async def test() -> None:
        queue = SqlQueue(database)
        await queue.accept(made(ITEM), b"1,2,3")
        assert await queue.backlogs() == {"fraud": Backlog(1, 0, 100.0)}
        assert await queue.claim("other", 9, 101.0, 130.0) == []
        (held,) = await queue.claim("fraud", 9, 101.0, 130.0)
        assert (held.item, held.fence, held.state, held.begun_at) == (ITEM, 1, ItemState.WORKING, 101.0)
        assert held.body == b"1,2,3"
        assert await queue.body("a") == b"1,2,3"
        assert await queue.backlogs() == {"fraud": Backlog(0, 1, 100.0)}
        assert await queue.claim("fraud", 9, 102.0, 130.0) == []
        assert await queue.note([finished("a", 1)]) == {"a"}
        assert await queue.backlogs() == {}
        with pytest.raises(NotFound):
            await queue.body("a")
        row = await queue.row("a")
        assert row is not None and (row.item, row.state, row.outcome) == (ITEM, ItemState.DONE, DONE)
        assert await queue.rows("fraud", 9) == [row]
        assert await queue.prune(120.0) == 0
        assert await queue.prune(121.0) == 1
        assert await queue.row("a") is None

    run(test())


def test_what_a_former_holder_says_does_not_land(database: Database) -> None:
    async def test() -> None:
        queue = SqlQueue(database)
        await queue.accept(made(ITEM), None)
        await queue.claim("fraud", 9, 101.0, 130.0)
        (second,) = await queue.claim("fraud", 9, 131.0, 160.0)
        assert (second.fence, second.losses, second.begun_at) == (2, 1, 101.0)
        assert await queue.note([finished("a", 1)]) == set()
        assert await queue.extend({"a": 1}, 200.0) == set()
        assert await queue.extend({"a": 2}, 200.0) == {"a"}
        assert await queue.claim("fraud", 9, 199.0, 230.0) == []
        assert await queue.note([finished("a", 2)]) == {"a"}
        assert await queue.note([finished("a", 2)]) == set()

    run(test())


def test_a_further_try_waits_until_it_is_due(database: Database) -> None:
    async def test() -> None:
        queue = SqlQueue(database)
        await queue.accept(made(ITEM), b"body")
        await queue.claim("fraud", 9, 101.0, 130.0)
        await queue.note([ItemReport("a", 1, ItemState.WAITING, due_at=105.0, tries=1, losses=2)])
        assert await queue.claim("fraud", 9, 104.0, 130.0) == []
        (held,) = await queue.claim("fraud", 9, 105.0, 130.0)
        assert (held.fence, held.tries, held.losses) == (2, 1, 2)
        assert await queue.body("a") == b"body"

    run(test())


def test_overdue_are_those_that_nobody_holds_past_their_time_and_those_that_are_only_to_be_told(
    database: Database,
) -> None:
    async def test() -> None:
        queue = SqlQueue(database)
        for id in ("early", "late", "told", "tried"):
            until = 500.0 if id == "early" else 160.0
            await queue.accept(made(replace(ITEM, id=id, endpoint=id, expires_at=until)), None)
        await queue.claim("told", 1, 101.0, 130.0)
        await queue.note([ItemReport("told", 1, ItemState.NOTIFYING, due_at=130.0, outcome=DONE)])
        await queue.claim("tried", 1, 101.0, 130.0)
        assert await queue.claim("told", 9, 170.0, 200.0) == []
        found = {held.item.id: held for held in await queue.overdue(9, 170.0, 200.0)}
        assert set(found) == {"late", "told", "tried"}
        assert (found["tried"].state, found["tried"].outcome) == (ItemState.WORKING, None), (
            "whether its first holder left an output is looked at first"
        )
        assert (found["told"].state, found["told"].outcome, found["told"].losses) == (ItemState.NOTIFYING, DONE, 0)
        late = found["late"]
        assert late.outcome is not None and (late.outcome.end, late.outcome.at) == (OutcomeKind.EXPIRED, 170.0)
        assert (late.state, late.fence) == (ItemState.NOTIFYING, 1)
        assert await queue.overdue(9, 170.0, 200.0) == []
        again = {held.item.id: held for held in await queue.overdue(9, 200.0, 230.0)}
        assert (again["late"].fence, again["late"].outcome) == (2, late.outcome), (
            "its end stays when a holder dies"
        )

    run(test())


def test_measures_are_given_once(database: Database) -> None:
    async def test() -> None:
        queue = SqlQueue(database)
        measures = ItemMeasurements("fraud", "AllTraffic", 120.0, {"TimeInBacklog": 3.5})
        for id in "abc":
            await queue.accept(made(replace(ITEM, id=id)), None)
        await queue.claim("fraud", 9, 101.0, 130.0)
        await queue.note(
            [finished("a", 1, measures=measures), finished("b", 1, measures=measures), finished("c", 1)]
        )
        assert await queue.measured(9) == [
            EndedTogether("fraud", "AllTraffic", 120, {"TimeInBacklog": [3.5, 3.5]})
        ]
        assert await queue.measured(9) == []

    run(test())


def write_as_before(id: str, measures: ItemMeasurements, connection: Connection) -> None:
    connection.execute(update(QUEUE).where(QUEUE.c.id == id).values(measures=asdict(measures)))


def test_measures_of_requests_that_ended_together_and_of_an_earlier_version_are_all_given(
    database: Database,
) -> None:
    async def test() -> None:
        queue = SqlQueue(database)
        for number in range(60):
            await queue.accept(made(replace(ITEM, id=f"{number:02}")), None)
        await queue.claim("fraud", 99, 101.0, 130.0)
        measures = [ItemMeasurements("fraud", "v", float(number), {"TimeInBacklog": 1.0}) for number in range(60)]
        for begin in range(0, 50, 2):
            both = [finished(f"{n:02}", 1, measures=measures[n]) for n in (begin, begin + 1)]
            assert len(await queue.note(both)) == 2
        for number in range(50, 60):
            await database.run(partial(write_as_before, f"{number:02}", measures[number]))
        some = await queue.measured(10)
        assert 10 <= len(some) < 60
        alone = [
            EndedTogether(one.endpoint, one.variant, int(one.at), {"TimeInBacklog": [1.0]}) for one in measures
        ]
        assert sorted([*some, *await queue.measured(99)], key=lambda each: each.at) == alone
        assert await queue.measured(9) == []

    run(test())


def test_a_request_that_cannot_be_read_waits_and_holds_up_no_other(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        queue = SqlQueue(database)
        queue_sql._tell_unreadable.cache_clear()
        for id in ("bad", "good"):
            await queue.accept(made(replace(ITEM, id=id)), b"1")
        strange = update(QUEUE).where(QUEUE.c.id == "bad").values(item={"id": 1})
        await database.run(lambda connection: connection.execute(strange))
        assert [held.item.id for held in await queue.claim("fraud", 9, 101.0, 130.0)] == ["good"]
        assert await queue.claim("fraud", 9, 101.0, 130.0) == await queue.overdue(9, 120.0, 130.0) == []
        assert [held.item.id for held in await queue.overdue(9, 170.0, 190.0)] == ["good"]
        assert caplog.text.count("the asynchronous request bad cannot be read") == 1
        assert (await queue.backlogs())["fraud"].waiting == 1

    run(test())


def test_measures_that_cannot_be_read_hold_up_none_that_come_after_them(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        queue = SqlQueue(database)
        for id in "ab":
            await queue.accept(made(replace(ITEM, id=id)), None)
        await queue.claim("fraud", 9, 101.0, 130.0)
        strange = ItemMeasurements("fraud", "v", 120.0, {"TimeInBacklog": float("nan")})
        measures = ItemMeasurements("fraud", "v", 120.0, {"TimeInBacklog": 3.5})
        await queue.note([finished("a", 1, measures=strange)])
        await queue.note([finished("b", 1, measures=measures)])
        assert await queue.measured(9) == [EndedTogether("fraud", "v", 120, {"TimeInBacklog": [3.5]})]
        assert "cannot be read" in caplog.text
        assert await queue.measured(9) == []

    run(test())


def test_what_is_given_back_may_be_leased_in_the_same_transaction_and_the_old_lease_does_not_land(
    database: Database,
) -> None:
    async def test() -> None:
        queue = SqlQueue(database, "me")
        for id in "abc":
            await queue.accept(made(replace(ITEM, id=id)), b"1")
        assert {held.fence for held in await queue.claim("fraud", 9, 101.0, 130.0)} == {1}
        back = [ItemReport(id, 1, ItemState.WAITING, 102.0, tries=1) for id in "ab"]
        landed, taken, done = await asyncio.gather(
            queue.note(back), queue.claim("fraud", 9, 103.0, 130.0), queue.note([finished("c", 1)])
        )
        assert (landed, done) == ({"a", "b"}, {"c"})
        assert {(held.item.id, held.fence, held.tries) for held in taken} == {("a", 2, 1), ("b", 2, 1)}
        assert await queue.note([finished("a", 1), finished("b", 2)]) == {"b"}

    run(test())


def test_a_report_that_cannot_be_written_does_not_keep_others_from_theirs_or_from_work(database: Database) -> None:
    async def test() -> None:
        queue = SqlQueue(database)
        for id in "abc":
            await queue.accept(made(replace(ITEM, id=id)), b"1")
        await queue.claim("fraud", 2, 101.0, 130.0)
        half = ItemReport("a", 1, ItemState.DONE, outcome=ItemOutcome(OutcomeKind.FAILED, 1.0, "\ud800"))
        bad, good, taken = await asyncio.gather(
            queue.note([half]),
            queue.note([finished("b", 1)]),
            queue.claim("fraud", 9, 102.0, 130.0),
            return_exceptions=True,
        )
        assert isinstance(bad, Exception) and good == {"b"}
        assert isinstance(taken, list) and [held.item.id for held in taken] == ["c"]

    run(test())


def test_reports_of_every_kind_that_come_together_are_kept_as_they_were_given(database: Database) -> None:
    failed = ItemOutcome(OutcomeKind.FAILED, 121, "it said \x00 'no' \\ {1,\"2\"} %s \u00fc\u2028")

    async def test() -> None:
        queue = SqlQueue(database)
        for id in "abcd":
            await queue.accept(made(replace(ITEM, id=id)), b"1")
        await queue.claim("fraud", 9, 101.0, 130.0)
        told = [ItemReport("c", 1, ItemState.NOTIFYING, 140, outcome=failed)]
        back = [ItemReport("d", 1, ItemState.WAITING, 150.5, tries=2, losses=3)]
        ended = [ItemReport("b", 1, ItemState.DONE, outcome=failed)]
        landed = await asyncio.gather(*map(queue.note, ([finished("a", 1)], ended, told, back)))
        assert landed == [{"a"}, {"b"}, {"c"}, {"d"}]
        rows = {id: await queue.row(id) for id in "abcd"}
        assert {id: (row.state, row.outcome) for id, row in rows.items() if row} == {
            "a": (ItemState.DONE, DONE),
            "b": (ItemState.DONE, failed),
            "c": (ItemState.NOTIFYING, failed),
            "d": (ItemState.WAITING, None),
        }
        (again,) = await queue.claim("fraud", 9, 151.0, 190.0)
        assert (again.item.id, again.tries, again.losses, again.body) == ("d", 2, 3, b"1")
        assert await queue.claim("fraud", 9, 145.0, 190.0) == []
        (telling,) = await queue.overdue(9, 141.0, 190.0)
        assert (telling.item.id, telling.outcome) == ("c", failed)
        assert await queue.prune(120.5) == 1

    run(test())


def test_several_who_claim_share_and_never_get_the_same(database: Database, database_url: str) -> None:
    other = open_database(database_url, serial=False)

    async def test() -> None:
        queues = SqlQueue(database), SqlQueue(other)
        await asyncio.gather(*(queues[0].accept(made(replace(ITEM, id=f"{n:03}")), None) for n in range(200)))
        taken = await asyncio.gather(*(queues[n % 2].claim("fraud", 7, 101.0, 130.0) for n in range(60)))
        ids = [held.item.id for some in taken for held in some]
        assert len(ids) == len(set(ids)) == 200

    try:
        run(test())
    finally:
        other.shut()


def test_those_that_come_together_are_each_kept_or_refused_for_themselves(database: Database) -> None:
    """Each reads the record of its endpoint in the transaction that keeps it: what was written before counts."""
    store, now = SqlStore(database), datetime(2026, 3, 1, tzinfo=UTC)

    def put(tx: Tx, name: str) -> None:
        tx.put(ENDPOINT, name, Endpoint(name, now, now), expect=None, now=now)

    def reading(name: str, id: str, seen: list[Endpoint]) -> Callable[[Tx], Item]:
        def make(tx: Tx) -> Item:
            saved = tx.get(ENDPOINT, name)
            if saved is None:
                raise NotFound(name)
            seen.append(saved.body)
            return replace(ITEM, id=id)

        return make

    async def test() -> None:
        queue, seen = SqlQueue(database), list[Endpoint]()
        await store.run(lambda tx: put(tx, "there"))
        some = [queue.accept(reading("there", f"{n}", seen), None) for n in range(5)]
        none = [queue.accept(reading("absent", f"absent-{n}", seen), None) for n in range(5)]
        answers = await asyncio.gather(*some, *none, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Item] * 5 + [NotFound] * 5
        assert (await queue.backlogs())["fraud"].waiting == 5
        assert len(seen) == 5 and len({id(one) for one in seen}) == 1, "read once"
        later = replace(seen[0], generation=7)
        await store.run(lambda tx: tx.put(ENDPOINT, "there", later, expect=None, now=now))
        await queue.accept(reading("there", "changed", seen), None)
        assert seen[-1].generation == 7
        await store.run(lambda tx: tx.delete(ENDPOINT, "there", expect=None, now=now))
        with pytest.raises(NotFound):
            await queue.accept(reading("there", "gone", seen), None)
        await store.run(lambda tx: put(tx, "there"))
        await queue.accept(reading("there", "anew", seen), None)
        assert seen[-1].generation != 7
        assert (await queue.backlogs())["fraud"].waiting == 7

    run(test())


def test_a_record_made_anew_is_read_again_although_its_versions_begin_again(database: Database) -> None:
    """Once the journal of the old one is pruned nothing tells its versions any more."""
    store, now = SqlStore(database), datetime(2026, 3, 1, tzinfo=UTC)
    later = now + timedelta(days=60)
    made_at: list[datetime] = []

    def make(tx: Tx) -> Item:
        saved = tx.get(ENDPOINT, "e")
        assert saved is not None
        made_at.append(saved.body.created_at)
        return replace(ITEM, id=str(len(made_at)))

    async def test() -> None:
        queue = SqlQueue(database)
        await store.run(lambda tx: tx.put(ENDPOINT, "e", Endpoint("e", now, now), expect=0, now=now))
        await queue.accept(make, None)
        await store.run(lambda tx: tx.delete(ENDPOINT, "e", expect=1, now=now))
        assert await store.run(lambda tx: tx.prune_journal(later, 100)) == 2
        version = await store.run(
            lambda tx: tx.put(ENDPOINT, "e", Endpoint("e", later, later), expect=0, now=later)
        )
        assert version == 1
        await queue.accept(make, None)
        assert made_at == [now, later]

    run(test())


def test_a_large_body_is_fetched_by_itself(database: Database) -> None:
    async def test() -> None:
        queue, large = SqlQueue(database), b"x" * (MAX_LEASED_BODY + 1)
        await queue.accept(made(ITEM), large)
        (held,) = await queue.claim("fraud", 9, 101.0, 130.0)
        assert held.body is None
        assert await queue.body("a") == large

    run(test())


def test_large_bodies_that_come_together_are_each_kept(database: Database) -> None:
    async def test() -> None:
        queue, size = SqlQueue(database), queue_sql.MAX_TEXT // 3
        bodies = {f"{n}": b"%d" % n * (size if n < 7 else 1) for n in range(9)}
        await asyncio.gather(*(queue.accept(made(replace(ITEM, id=id)), body) for id, body in bodies.items()))
        assert {id: await queue.body(id) for id in bodies} == bodies

    run(test())


def test_strangers_are_endpoints_with_work_that_are_not_known(database: Database) -> None:
    async def test() -> None:
        queue = SqlQueue(database)
        for name in ("known", "stranger"):
            await queue.accept(made(replace(ITEM, id=name, endpoint=name)), None)
        assert await queue.strangers(["known"]) == {"stranger": 100.0}
        assert set(await queue.strangers([])) == {"known", "stranger"}
        await queue.claim("stranger", 1, 101.0, 130.0)
        await queue.note([finished("stranger", 1)])
        assert await queue.strangers(["known"]) == {}

    run(test())


def test_each_look_of_a_dispatcher_uses_the_index_that_is_made_for_it(tmp_path: Path) -> None:
    """SQLite's choice changes with the words of a statement: the wrong index means a look at all that ever was."""
    opened = open_database(f"sqlite:///{tmp_path / 'queue.db'}")
    looks = zip((*queue_sql.DUE, *queue_sql.OVERDUE), ("waiting", "held", "expiry", "held"), strict=True)

    def plans(connection: Connection) -> None:
        for which, index in looks:
            asked = f"EXPLAIN QUERY PLAN SELECT id FROM queue WHERE {which}"
            plan = connection.exec_driver_sql(asked, (1.0,) * which.count("?")).all()
            assert f"INDEX queue_{index}" in plan[0][3], plan
        for look in (*BACKLOGS, select(QUEUE.c.id).where(QUEUE.c.finished_at < 1.0)):
            text = str(look.compile(connection, compile_kwargs={"literal_binds": True}))
            (plan,) = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()]
            assert re.search("INDEX queue_(waiting|held|finished)", plan), plan

    try:
        run(opened.run(plans))
    finally:
        opened.shut()
