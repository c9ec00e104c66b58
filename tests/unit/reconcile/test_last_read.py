"""What loops remember of the records is never older than the last write."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from tests.memory_store import MemoryStore
from tidegate.ports.store import Kind, Tx
from tidegate.reconcile.reads import MOST_TIMES, ReadCache

R = TypeVar("R")
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Note:
    text: str


NOTE = Kind("note", Note)


class CountedStore(MemoryStore):
    transactions = 0

    async def run(self, work: Callable[[Tx], R]) -> R:
        self.transactions += 1
        return await super().run(work)


def read(tx: Tx) -> list[tuple[str, Note, int]]:
    return [(one.name, one.body, one.version) for one in tx.find(NOTE).items]


writes = st.tuples(st.sampled_from(("put", "delete")), st.sampled_from("abc"), st.text("xy", max_size=1))


@given(st.lists(st.tuples(st.booleans(), st.lists(writes, max_size=3)), max_size=12))
def test_it_is_what_a_new_read_would_be(story: list[tuple[bool, list[tuple[str, str, str]]]]) -> None:
    """Also where old lines are removed: lines that were read are older."""

    async def play() -> None:
        store, known, now = MemoryStore(), ReadCache(read), NOON
        for pruned, step in story:
            if pruned:
                await store.run(lambda tx, at=now + timedelta(milliseconds=1): tx.prune_journal(at, 100))  # type: ignore[misc]
                assert await known.get(store) == await store.run(read)
            for what, name, text in step:
                now += timedelta(seconds=1)
                await store.run(lambda tx, w=what, n=name, t=text, at=now: write(tx, w, n, t, at))  # type: ignore[misc]
            assert await known.get(store) == await store.run(read)

    asyncio.run(play())


def write(tx: Tx, what: str, name: str, text: str, now: datetime) -> None:
    if what == "put":
        tx.put(NOTE, name, Note(text), expect=None, now=now)
    else:
        tx.delete(NOTE, name, expect=None, now=now)


async def test_records_are_read_again_only_after_a_write() -> None:
    reads = list[None]()

    def counted(tx: Tx) -> list[tuple[str, Note, int]]:
        reads.append(None)
        return read(tx)

    store, known = CountedStore(), ReadCache(counted)
    await store.run(lambda tx: tx.put(NOTE, "a", Note("x"), expect=None, now=NOON))
    for _ in range(5):
        await known.get(store)
    assert len(reads) == 1
    assert store.transactions == 2, "at rest there is none at all"
    await store.run(lambda tx: tx.put(NOTE, "a", Note("y"), expect=None, now=NOON))
    await known.get(store)
    assert len(reads) == 2


async def test_what_left_no_trace_is_found_after_a_while() -> None:
    """The clock was set by days, so that what was written and removed just now is taken for old."""
    store, known = MemoryStore(), ReadCache(read)
    for name in "ab":
        await store.run(lambda tx, name=name: tx.put(NOTE, name, Note("x"), expect=None, now=NOON))  # type: ignore[misc]
    await known.get(store)
    await store.run(lambda tx: tx.delete(NOTE, "a", expect=None, now=NOON))
    await store.run(lambda tx: tx.prune_journal(NOON + timedelta(days=99), 100))
    found = [await known.get(store) for _ in range(MOST_TIMES + 1)]
    assert [name for name, _, _ in found[-1]] == ["b"]


async def test_a_read_that_fails_is_tried_again() -> None:
    broken = [True]

    def work(tx: Tx) -> int:
        if broken:
            raise ValueError("not now")
        return len(read(tx))

    store, known = MemoryStore(), ReadCache(work)
    await store.run(lambda tx: tx.put(NOTE, "a", Note("x"), expect=None, now=NOON))
    try:
        await known.get(store)
    except ValueError:
        broken.clear()
    assert await known.get(store) == 1
