"""Two stores on one database, as two processes would have them: conditional writes have exactly one winner."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from tidegate.ports.store import Kind, Stale, Tx
from tidegate.store import SqlStore, open_store

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Counter:
    value: int


COUNTER = Kind("counter", Counter)


@pytest.fixture
def stores(database_url: str) -> Iterator[list[SqlStore]]:
    stores = [open_store(database_url) for _ in range(2)]
    yield stores
    for store in stores:
        asyncio.run(store.close())


def write(expect: int | None, value: int) -> Callable[[Tx], int]:
    return lambda tx: tx.put(COUNTER, "c", Counter(value), expect=expect, now=NOW)


async def test_of_two_writes_over_one_version_one_wins(stores: list[SqlStore]) -> None:
    winners = []
    for version in range(25):
        results = await asyncio.gather(
            *(store.run(write(version, place)) for place, store in enumerate(stores)), return_exceptions=True
        )
        assert sorted(type(r).__name__ for r in results) == ["Stale", "int"]
        assert version + 1 in results
        winners.append(next(place for place, r in enumerate(results) if r == version + 1))
        saved = await stores[0].run(lambda tx: tx.get(COUNTER, "c"))
        assert saved is not None
        assert saved.body == Counter(winners[-1])
    assert len(winners) == 25


async def test_what_is_read_in_a_transaction_holds_until_it_lands(stores: list[SqlStore]) -> None:
    """Both read and write without a condition; none of the additions is lost."""

    def add(tx: Tx) -> None:
        saved = tx.get(COUNTER, "c")
        tx.put(COUNTER, "c", Counter(saved.body.value + 1 if saved else 1), expect=None, now=NOW)

    await asyncio.gather(*(store.run(add) for _ in range(20) for store in stores))
    saved = await stores[1].run(lambda tx: tx.get(COUNTER, "c"))
    assert saved is not None
    assert (saved.body, saved.version) == (Counter(40), 40)


async def test_a_reader_of_the_journal_never_misses_a_line(stores: list[SqlStore]) -> None:
    """A line that lands later has a higher seq: whoever has read up to a seq has read all below it."""
    done = threading.Event()

    async def writer(store: SqlStore, name: str) -> None:
        for value in range(20):
            await store.run(
                lambda tx, v=value: tx.put(COUNTER, name, Counter(v), expect=v, now=NOW)  # type: ignore[misc]
            )

    async def reader() -> list[int]:
        seen: list[int] = []
        while True:
            last = done.is_set()
            after = seen[-1] if seen else 0
            seen += [line.seq for line in await stores[0].run(lambda tx, a=after: tx.journal(after=a))]  # type: ignore[misc]
            if last:
                return seen

    reading = asyncio.create_task(reader())
    await asyncio.gather(*(writer(store, str(place)) for place, store in enumerate(stores)))
    done.set()
    lines = await stores[1].run(lambda tx: tx.journal(limit=1000))
    seen, written = await reading, [line.seq for line in lines]
    assert seen == written
    assert len(written) == 40


async def test_a_loser_changes_nothing_else(stores: list[SqlStore]) -> None:
    def work(tx: Tx) -> None:
        tx.put(COUNTER, "other", Counter(1), expect=0, now=NOW)
        tx.put(COUNTER, "c", Counter(2), expect=0, now=NOW)

    await stores[0].run(write(0, 1))
    with pytest.raises(Stale):
        await stores[1].run(work)
    assert await stores[1].run(lambda tx: tx.get(COUNTER, "other")) is None
