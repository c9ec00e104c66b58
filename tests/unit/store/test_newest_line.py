"""Loops share one look at the journal, and never miss a write for it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.domain.errors import Unavailable
from tidegate.ports.store import Kind, Tx
from tidegate.store import SqlStore, commit_mark, open_store

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Note:
    text: str


NOTE = Kind("note", Note)


def put(name: str, at: datetime = NOW) -> Callable[[Tx], int]:
    return lambda tx: tx.put(NOTE, name, Note(name), expect=None, now=at)


def newest(tx: Tx) -> tuple[int, datetime] | None:
    lines = tx.journal(limit=1, newest_first=True, bodies=False)
    return (lines[0].seq, lines[0].at) if lines else None


@asynccontextmanager
async def opened(url: str = "sqlite://") -> AsyncIterator[tuple[SqlStore, list[None]]]:
    """With the looks that were made: each asks whether the lease is still held."""
    store, looks = open_store(url), list[None]()
    store.database.guard = lambda connection: looks.append(None)
    try:
        yield store, looks
    finally:
        store.database.guard = None
        await store.close()


async def test_all_that_ask_at_a_time_share_a_look() -> None:
    async with opened() as (store, looks):
        assert await asyncio.gather(*(store.newest() for _ in range(5))) == [None] * 5
        assert await store.newest() is None
        assert len(looks) == 1


@settings(max_examples=8)
@given(st.lists(st.sampled_from(("put", "delete", "prune", "stale", "look")), max_size=8))
def test_a_write_of_this_process_is_seen_at_once(story: list[str]) -> None:
    async def play() -> None:
        now = NOW
        async with opened() as (store, _):
            for what in story:
                now += timedelta(seconds=1)
                if what == "put":
                    await store.run(put("a", now))
                elif what == "delete":
                    await store.run(lambda tx, at=now: tx.delete(NOTE, "a", expect=None, now=at))  # type: ignore[misc]
                elif what == "prune":
                    await store.run(lambda tx, at=now: tx.prune_journal(at, 100))  # type: ignore[misc]
                elif what == "stale":
                    with pytest.raises(ZeroDivisionError):
                        await store.run(lambda tx, at=now: (put("a", at)(tx), 1 // 0))  # type: ignore[misc]
                assert await store.newest() == await store.run(newest)

    asyncio.run(play())


async def test_a_write_during_a_look_is_seen_by_who_asks_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    began, goes_on = threading.Event(), threading.Event()
    async with opened() as (store, _):
        look = store._newest._read

        def slow(connection: object) -> object:
            found = look(connection)  # type: ignore[arg-type]
            began.set()
            assert goes_on.wait(300)
            return found

        monkeypatch.setattr(store._newest, "_read", slow)
        first = asyncio.create_task(store.newest())
        await asyncio.to_thread(began.wait, 30)
        writing = asyncio.create_task(store.run(put("a")))
        await asyncio.sleep(0)
        goes_on.set()
        await writing
        assert await store.newest() == (1, NOW)
        assert await first is None


async def test_what_another_process_wrote_is_seen_by_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    async with opened(url) as (mine, _), opened(url) as (theirs, _):
        assert await mine.newest() is None
        await theirs.run(put("a"))
        monkeypatch.setattr(commit_mark, "FRESH", 0.0)
        assert await mine.newest() == (1, NOW)


def test_each_loop_of_a_second_has_a_look_of_its_own_second() -> None:
    assert 0.2 < commit_mark.FRESH < 0.8


async def test_at_rest_the_loss_of_the_lease_is_found() -> None:
    async with opened() as (store, _):

        def lost(connection: object) -> None:
            raise Unavailable("another controller has it")

        store.database.guard = lost
        with pytest.raises(Unavailable):
            await store.newest()
        store.database.guard = None
        assert await store.newest() is None  # a failure is not remembered
