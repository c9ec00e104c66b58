"""An emptied queue, on each database: what waits ends, what is held goes on, and no end is lost or asked again."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from tidegate.domain.asynchronous import Backlog, Item, ItemOutcome, ItemState, OutcomeKind
from tidegate.ports.queue import ItemReport
from tidegate.ports.store import Tx
from tidegate.queueing import transitions
from tidegate.queueing.transitions import Notify, RecordEnd
from tidegate.store.database import Database
from tidegate.store.queue import SqlQueue

ITEM = Item("a", "fraud", "mine", 100.0, 160.0, 900.0, "file:///out/a.out")
DONE = ItemOutcome(OutcomeKind.COMPLETED, 120.0, content_type="text/csv")


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def made(item: Item) -> Callable[[Tx], Item]:
    return lambda tx: item


def test_emptying_a_queue_ends_what_waits_and_nothing_else(database: Database) -> None:
    """What is held goes on; what was held before has to be looked for, since its output may be there."""
    gone = ItemOutcome(OutcomeKind.FAILED, 150.0, "The queue was emptied by ada.")

    async def test() -> None:
        queue = SqlQueue(database)
        for id, at in (("held", 100.0), ("tried", 101.0), ("fresh", 102.0), ("late", 140.0)):
            await queue.accept(made(replace(ITEM, id=id, accepted_at=at, expires_at=900.0)), b"1")
        await queue.accept(made(replace(ITEM, id="other", endpoint="other", expires_at=900.0)), b"1")
        await queue.claim("fraud", 2, 105.0, 200.0)
        await queue.note([ItemReport("tried", 1, ItemState.WAITING, due_at=400.0, tries=1)])
        assert await queue.empty("fraud", 130.0, 150.0, gone) == 2
        assert await queue.empty("fraud", 130.0, 150.0, gone) == 0
        states = {row.item.id: (row.state, row.outcome) for row in await queue.rows("fraud", 9)}
        assert states == {
            "held": (ItemState.WORKING, None),
            "tried": (ItemState.WORKING, gone),
            "fresh": (ItemState.NOTIFYING, gone),
            "late": (ItemState.WAITING, None),
        }
        assert (await queue.backlogs())["fraud"] == Backlog(1, 2, 100.0)
        assert (await queue.backlogs())["other"].waiting == 1
        ends = {held.item.id: held for held in await queue.overdue(9, 151.0, 180.0)}
        assert ends.keys() == {"tried", "fresh"}
        steps = {id: transitions.next_step(held, exists=True, now=151.0) for id, held in ends.items()}
        assert steps == {"tried": RecordEnd(gone, look=True), "fresh": Notify(gone)}
        assert await queue.note([ItemReport("held", 1, ItemState.DONE, outcome=DONE)]) == {"held"}

    run(test())


def test_an_emptied_item_that_cannot_be_looked_at_now_is_never_asked_again(database: Database) -> None:
    """Its end stays with it while it waits for another look, which takes no instance."""
    gone = ItemOutcome(OutcomeKind.FAILED, 150.0, "The queue was emptied by ada.")

    async def test() -> None:
        queue = SqlQueue(database)
        await queue.accept(made(replace(ITEM, expires_at=900.0)), b"1")
        await queue.claim("fraud", 1, 105.0, 200.0)
        await queue.note([ItemReport("a", 1, ItemState.WAITING, due_at=400.0)])
        await queue.empty("fraud", 130.0, 150.0, gone)
        (held,) = await queue.overdue(9, 151.0, 180.0)
        await queue.note([ItemReport("a", held.fence, ItemState.WAITING, 160.0, outcome=held.outcome)])
        (again,) = await queue.overdue(9, 161.0, 190.0)
        assert transitions.next_step(again, exists=True, now=161.0) == RecordEnd(gone, look=True)

    run(test())
