"""The queue's promises, on each database: durable, leased, fenced, each measured once."""

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from tidegate.adapters.store.database import Database, open_database
from tidegate.adapters.store.queue import SqlQueue
from tidegate.model.asynchronous import Backlog, End, Item, ItemState, Measures, Outcome
from tidegate.model.errors import NotFound
from tidegate.ports.queue import Note

R = TypeVar("R")
ITEM = Item("a", "fraud", "mine", 100.0, 160.0, 900.0, "file:///out/a.out", headers={"accept": "text/csv"})
DONE = Outcome(End.COMPLETED, 120.0, content_type="text/csv")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url, serial=False)
    yield opened
    opened.shut()


def run(work: Coroutine[Any, Any, R]) -> R:
    return asyncio.run(work)


def finished(id: str, fence: int, **more: Any) -> Note:
    return Note(id, fence, ItemState.DONE, outcome=DONE, **more)


def test_an_item_comes_back_as_it_was_accepted_with_its_body_and_goes_when_it_is_done(database: Database) -> None:
    async def test() -> None:
        queue = SqlQueue(database)
        await queue.accept(ITEM, b"1,2,3")
        assert await queue.backlogs() == {"fraud": Backlog(1, 0, 100.0)}
        assert await queue.claim("other", 9, 101.0, 130.0) == []
        (held,) = await queue.claim("fraud", 9, 101.0, 130.0)
        assert (held.item, held.fence, held.state, held.begun_at) == (ITEM, 1, ItemState.WORKING, 101.0)
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
        await queue.accept(ITEM, None)
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
        await queue.accept(ITEM, b"body")
        await queue.claim("fraud", 9, 101.0, 130.0)
        await queue.note([Note("a", 1, ItemState.WAITING, due_at=105.0, tries=1, losses=2)])
        assert await queue.claim("fraud", 9, 104.0, 130.0) == []
        (held,) = await queue.claim("fraud", 9, 105.0, 130.0)
        assert (held.fence, held.tries, held.losses) == (2, 1, 2)
        assert await queue.body("a") == b"body"

    run(test())


def test_overdue_are_those_that_were_never_handed_out_and_those_that_are_only_to_be_told(
    database: Database,
) -> None:
    async def test() -> None:
        queue = SqlQueue(database)
        for id in ("early", "late", "told", "tried"):
            until = 500.0 if id == "early" else 160.0
            await queue.accept(replace(ITEM, id=id, endpoint=id, expires_at=until), None)
        await queue.claim("told", 1, 101.0, 130.0)
        await queue.note([Note("told", 1, ItemState.TELLING, due_at=130.0, outcome=DONE)])
        await queue.claim("tried", 1, 101.0, 130.0)
        assert await queue.claim("told", 9, 170.0, 200.0) == []
        found = {held.item.id: held for held in await queue.overdue(9, 170.0, 200.0)}
        assert set(found) == {"late", "told"}
        assert (found["told"].state, found["told"].outcome, found["told"].losses) == (ItemState.TELLING, DONE, 0)
        assert (found["late"].state, found["late"].fence) == (ItemState.WORKING, 1)
        assert await queue.overdue(9, 170.0, 200.0) == []

    run(test())


def test_measures_are_given_once(database: Database) -> None:
    async def test() -> None:
        queue = SqlQueue(database)
        measures = Measures("fraud", "AllTraffic", 120.0, {"TimeInBacklog": 3.5})
        for id in "abc":
            await queue.accept(replace(ITEM, id=id), None)
        await queue.claim("fraud", 9, 101.0, 130.0)
        await queue.note(
            [finished("a", 1, measures=measures), finished("b", 1, measures=measures), finished("c", 1)]
        )
        assert await queue.measured(1) == [measures]
        assert await queue.measured(9) == [measures]
        assert await queue.measured(9) == []

    run(test())


def test_several_who_claim_share_and_never_get_the_same(database: Database, database_url: str) -> None:
    other = open_database(database_url, serial=False)

    async def test() -> None:
        queues = SqlQueue(database), SqlQueue(other)
        await asyncio.gather(*(queues[0].accept(replace(ITEM, id=f"{n:03}"), None) for n in range(200)))
        taken = await asyncio.gather(*(queues[n % 2].claim("fraud", 7, 101.0, 130.0) for n in range(60)))
        ids = [held.item.id for some in taken for held in some]
        assert len(ids) == len(set(ids)) == 200

    try:
        run(test())
    finally:
        other.shut()
