"""Whoever locks several requests on PostgreSQL does so in one order, so that no two wait for each other."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from tidegate.domain.asynchronous import Item, ItemOutcome, ItemState, OutcomeKind
from tidegate.ports.queue import ItemReport
from tidegate.ports.store import Tx
from tidegate.store.database import Database, open_database
from tidegate.store.queue import SqlQueue

ITEM = Item("a", "fraud", "mine", 100.0, 160.0, 900.0, "file:///out/a.out")
IDS = "dbca"
"""In the order in which they lie in the table."""
FREE = text("SELECT id FROM queue FOR UPDATE SKIP LOCKED")
WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
PATIENCE = 60.0


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    opened = open_database(postgres_url, serial=False)
    yield opened
    opened.shut()


@pytest.fixture
def other(postgres_url: str) -> Iterator[Engine]:
    """Connections of somebody else."""
    engine = create_engine(postgres_url)
    yield engine
    engine.dispose()


def _give(item: Item, tx: Tx) -> Item:
    return item


def _report(queue: SqlQueue) -> Awaitable[object]:
    outcome = ItemOutcome(OutcomeKind.COMPLETED, 120.0)
    return queue.note([ItemReport(id, 1, ItemState.DONE, outcome=outcome) for id in IDS])


def _give_back(queue: SqlQueue) -> Awaitable[object]:
    return queue.note([ItemReport(id, 1, ItemState.WAITING, 130.0) for id in IDS])


def _extend(queue: SqlQueue) -> Awaitable[object]:
    return queue.extend(dict.fromkeys(IDS, 1), 150.0)


def _take_over(queue: SqlQueue) -> Awaitable[object]:
    return queue.take_over(102.0)


@pytest.mark.parametrize("write", [_report, _give_back, _extend, _take_over])
async def test_rows_are_locked_in_the_order_of_their_ids(
    database: Database, other: Engine, write: Callable[[SqlQueue], Awaitable[object]]
) -> None:
    queue = SqlQueue(database, "here")
    for id in IDS:
        await queue.accept(partial(_give, replace(ITEM, id=id)), b"1")
    assert len(await queue.claim("fraud", 9, 101.0, 130.0)) == len(IDS)
    with other.connect() as holder, other.connect() as looker:
        holder.execute(text("SELECT id FROM queue WHERE id = 'c' FOR UPDATE"))
        writing = asyncio.ensure_future(write(queue))
        try:
            await _until_somebody_waits(looker)
            free = set(looker.execute(FREE).scalars())
            looker.rollback()
        finally:
            holder.rollback()
            await writing
    assert free == {"d"}, "while it waits for c it has what comes before, and nothing that comes behind"


async def test_emptying_waits_for_no_request_that_another_holds(database: Database, other: Engine) -> None:
    """Two at once would wait for each other."""
    queue, gone = SqlQueue(database, "here"), ItemOutcome(OutcomeKind.FAILED, 150.0, "It was emptied.")
    for id in IDS:
        await queue.accept(partial(_give, replace(ITEM, id=id)), b"1")
    with other.connect() as holder:
        holder.execute(text("SELECT id FROM queue WHERE id = 'c' FOR UPDATE"))
        async with asyncio.timeout(PATIENCE):
            assert await queue.empty("fraud", 130.0, 150.0, gone) == len(IDS) - 1
    assert await queue.empty("fraud", 130.0, 150.0, gone) == 1


async def _until_somebody_waits(connection: Connection) -> None:
    deadline = time.monotonic() + PATIENCE
    while not connection.execute(WAITING).scalar():
        assert time.monotonic() < deadline, "nobody waits for the row"
        connection.rollback()
        await asyncio.sleep(0.01)
    connection.rollback()
