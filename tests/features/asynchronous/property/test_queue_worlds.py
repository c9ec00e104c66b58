"""The queue in the database against a model of it, whatever dispatchers do, die of and report too late."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.domain.asynchronous import Item, ItemMeasurements, ItemOutcome, ItemState, LeasedItem, OutcomeKind
from tidegate.ports.queue import ItemReport
from tidegate.ports.store import Tx
from tidegate.store.database import Database, open_database
from tidegate.store.queue import SqlQueue
from tidegate.store.tables import QUEUE

ENDPOINTS, HOLDERS = ("a", "b"), ("one", "two")
LEASE, STAY = 10.0, 60.0
ACCEPT = st.tuples(st.just("accept"), st.sampled_from(ENDPOINTS), st.integers(1, 4))
CLAIM = st.tuples(st.just("claim"), st.sampled_from(HOLDERS), st.sampled_from(ENDPOINTS), st.integers(1, 4))
WAIT = st.tuples(st.just("wait"), st.sampled_from((0.0, 1.0, LEASE, LEASE, STAY)))
REPORT = st.tuples(
    st.just("report"), st.lists(st.tuples(st.integers(0, 9), st.sampled_from(ItemState)), min_size=1, max_size=6)
)
OVERDUE = st.tuples(st.just("overdue"), st.sampled_from(HOLDERS))
OTHERS = st.one_of(
    st.tuples(st.just("extend"), st.integers(0, 9)),
    st.tuples(st.just("die"), st.sampled_from(HOLDERS)),
    st.tuples(st.just("prune")),
)
STEPS = st.lists(st.one_of(ACCEPT, CLAIM, CLAIM, WAIT, REPORT, REPORT, OVERDUE, OTHERS), min_size=10, max_size=60)


@dataclass
class Row:
    """What the queue should know of an item. ``due``: its lease ends, or it may be tried again."""

    item: Item
    state: ItemState = ItemState.WAITING
    fence: int = 0
    due: float = 0.0
    holder: str = ""
    ended: float = 0.0


@dataclass
class World:
    database: Database
    now: float = 1000.0
    rows: dict[str, Row] = field(default_factory=dict)
    leases: list[LeasedItem] = field(default_factory=list)
    """Every lease that was ever given; any of them may be reported on."""
    measured: int = 0
    read: int = 0
    made: int = 0

    def queue(self, holder: str = "") -> SqlQueue:
        return SqlQueue(self.database, holder)

    async def accept(self, endpoint: str, count: int) -> None:
        queue = self.queue()
        items = []
        for _ in range(count):
            self.made += 1
            id = f"{self.made:04}"
            items.append(Item(id, endpoint, id, self.now, self.now + STAY, 9.0, f"file:///{id}"))
        await asyncio.gather(*(queue.accept(partial(_same, item), b"x") for item in items))
        self.rows |= {item.id: Row(item, due=self.now) for item in items}

    async def claim(self, holder: str, endpoint: str, most: int) -> None:
        taken = await self.queue(holder).claim(endpoint, most, self.now, self.now + LEASE)
        due = {
            row.due
            for row in self.rows.values()
            if row.item.endpoint == endpoint and row.due <= self.now and row.state in _CLAIMED
        }
        assert len(taken) <= most
        assert bool(taken) == bool(due), "what is due is leased"
        took = [self.rows[held.item.id].due for held in taken]
        assert took == sorted(took) and (not took or took[0] == min(due)), "the oldest first"
        self._lease(taken, holder)

    async def overdue(self, holder: str) -> None:
        taken = await self.queue(holder).overdue(99, self.now, self.now + LEASE)
        wanted = {
            id
            for id, row in self.rows.items()
            if row.due <= self.now
            and (row.state is ItemState.NOTIFYING or (row.state in _CLAIMED and row.item.expires_at <= self.now))
        }
        assert {held.item.id for held in taken} == wanted
        self._lease(taken, holder)

    def _lease(self, taken: list[LeasedItem], holder: str) -> None:
        for held in taken:
            row = self.rows[held.item.id]
            assert row.due <= self.now and row.state is not ItemState.DONE, "nobody else holds it"
            assert held.fence == row.fence + 1
            late = row.state is ItemState.WAITING and row.fence == 0 and self.now >= row.item.expires_at
            kept = row.state is ItemState.NOTIFYING
            assert held.state is (ItemState.NOTIFYING if late or kept else ItemState.WORKING)
            row.state, row.fence, row.due, row.holder = held.state, held.fence, self.now + LEASE, holder
        self.leases += taken

    async def report(self, wanted: list[tuple[int, ItemState]]) -> None:
        """All at once, as they share a transaction; no lease is reported on twice in one."""
        chosen: dict[str, ItemReport] = {}
        for place, state in wanted:
            if self.leases and state is not ItemState.WORKING:
                held = self.leases[place % len(self.leases)]
                chosen[held.item.id] = self._report(held, state)
        queue = self.queue()
        landed = await asyncio.gather(*(queue.note([one]) for one in chosen.values()))
        for one, ids in zip(chosen.values(), landed, strict=True):
            row = self.rows.get(one.id)
            counts = row is not None and row.fence == one.fence and row.state in _HELD
            assert ids == ({one.id} if counts else set())
            if row is not None and counts:
                row.state, row.due, row.ended = one.state, one.due_at, self.now
                self.measured += one.measures is not None

    def _report(self, held: LeasedItem, state: ItemState) -> ItemReport:
        end = ItemOutcome(OutcomeKind.COMPLETED, self.now)
        if state is ItemState.DONE:
            measures = ItemMeasurements(held.item.endpoint, "v", self.now, {"m": 1.0})
            return ItemReport(held.item.id, held.fence, state, outcome=end, measures=measures)
        outcome = end if state is ItemState.NOTIFYING else None
        return ItemReport(held.item.id, held.fence, state, self.now + 1.0, outcome=outcome)

    async def extend(self, place: int) -> None:
        if not self.leases:
            return
        held = self.leases[place % len(self.leases)]
        row = self.rows.get(held.item.id)
        kept = await self.queue().extend({held.item.id: held.fence}, self.now + LEASE)
        counts = row is not None and row.fence == held.fence and row.state in _HELD
        assert kept == ({held.item.id} if counts else set())
        if row is not None and counts:
            row.due = self.now + LEASE

    async def die(self, holder: str) -> None:
        """Its successor takes over at once."""
        mine = [
            row for row in self.rows.values() if row.holder == holder and row.state in _HELD and row.due > self.now
        ]
        assert await self.queue(holder).take_over(self.now) == len(mine)
        for row in mine:
            row.due = self.now

    async def wait(self, seconds: float) -> None:
        self.now += seconds

    async def prune(self) -> None:
        await self.read_measures()
        gone = [
            id for id, row in self.rows.items() if row.state is ItemState.DONE and row.ended < self.now - LEASE
        ]
        assert await self.queue().prune(self.now - LEASE) == len(gone)
        for id in gone:
            del self.rows[id]

    async def read_measures(self) -> None:
        self.read += sum(len(one.values["m"]) for one in await self.queue().measured(9_999))
        assert self.read == self.measured, "of each that ended, once"

    async def check(self) -> None:
        """Nothing is lost, and nothing is there twice."""
        queue = self.queue()
        left = {name: [row for row in self.rows.values() if row.item.endpoint == name] for name in ENDPOINTS}
        backlogs = await queue.backlogs()
        for name, rows in left.items():
            shown = {row.item.id: (row.state, row.fence) for row in await queue.rows(name, 999)}
            assert shown == {row.item.id: (row.state, row.fence) for row in rows}
            open_ = [row for row in rows if row.state in _CLAIMED]
            assert (name in backlogs) == bool(open_)
            if open_:
                assert backlogs[name].waiting == sum(row.state is ItemState.WAITING for row in open_)
                assert backlogs[name].size == len(open_)
                assert backlogs[name].oldest == min(row.item.accepted_at for row in open_)
        assert (await queue.strangers(["a"])).keys() == backlogs.keys() - {"a"}


_CLAIMED = (ItemState.WAITING, ItemState.WORKING)
_HELD = (ItemState.WORKING, ItemState.NOTIFYING)


def _same(item: Item, tx: Tx) -> Item:
    return item


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    opened = open_database("sqlite://")
    yield opened
    opened.shut()


@settings(max_examples=120, deadline=None)
@given(steps=STEPS)
async def test_what_the_queue_holds_is_what_was_put_there_and_reported_of_it(
    database: Database, steps: list[tuple[object, ...]]
) -> None:
    await database.run(lambda connection: connection.execute(QUEUE.delete()))
    world = World(database)
    for name, *rest in steps:
        await getattr(world, str(name))(*rest)
    await world.check()
    # Whatever happened, everything that was accepted can be ended, once.
    world.now += STAY + LEASE
    await world.overdue("one")
    await world.report([(place, ItemState.DONE) for place in range(len(world.leases))])
    assert all(row.state is ItemState.DONE for row in world.rows.values())
    await world.check()
    await world.read_measures()
