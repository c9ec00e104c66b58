"""Records that are followed are what a new read would be, and only those that changed are read."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.ports.store import Kind, Saved, Tx
from tidegate.service.followed_records import MOST_LINES, MOST_READS, FollowedRecords
from tidegate.testing.memory_store import MemoryStore, MemoryTx

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Note:
    text: str


NOTE, OTHER = Kind("note", Note), Kind("other", Note)

writes = st.tuples(
    st.sampled_from(("put", "delete")),
    st.sampled_from((NOTE, OTHER)),
    st.sampled_from("abc"),
    st.text("xy", max_size=1),
)


def read_all(tx: Tx) -> dict[str, Saved[Note]]:
    return {saved.name: saved for saved in tx.find(NOTE).items}


def put(name: str, text: str = "x", kind: Kind[Note] = NOTE, now: datetime = NOON) -> Any:
    return lambda tx: tx.put(kind, name, Note(text), expect=None, now=now)


@given(st.lists(st.tuples(st.booleans(), st.lists(writes, max_size=3)), max_size=12))
def test_they_are_what_a_new_read_would_be(
    story: list[tuple[bool, list[tuple[str, Kind[Note], str, str]]]],
) -> None:
    """Also where old lines are removed: lines that were read are older."""

    async def play() -> None:
        store, followed, now = MemoryStore(), FollowedRecords(NOTE), NOON
        for pruned, step in story:
            if pruned:
                await store.run(lambda tx, at=now + timedelta(milliseconds=1): tx.prune_journal(at, 100))  # type: ignore[misc]
                assert await store.run(followed.read) == await store.run(read_all)
            for what, kind, name, text in step:
                now += timedelta(seconds=1)
                if what == "put":
                    await store.run(put(name, text, kind, now))
                else:
                    await store.run(lambda tx, k=kind, n=name, at=now: tx.delete(k, n, expect=None, now=at))  # type: ignore[misc]
            assert await store.run(followed.read) == await store.run(read_all)

    asyncio.run(play())


async def test_only_what_was_written_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    gets, finds = list[str](), list[str]()
    get, find = MemoryTx.get, MemoryTx.find
    monkeypatch.setattr(MemoryTx, "get", lambda tx, kind, name: gets.append(name) or get(tx, kind, name))
    monkeypatch.setattr(MemoryTx, "find", lambda tx, kind, *more: finds.append(kind.name) or find(tx, kind, *more))
    store, followed = MemoryStore(), FollowedRecords(NOTE)
    for name in "abc":
        await store.run(put(name))
    before = await store.run(followed.read)
    await store.run(put("b", "y"))
    gets.clear()
    after = await store.run(followed.read)
    assert await store.run(followed.read) is after
    assert (gets, finds) == (["b"], ["note"])
    assert (before["b"].body, after["b"].body) == (Note("x"), Note("y")), "what was returned is never changed"
    await store.run(put("a", kind=OTHER))
    assert await store.run(followed.read) is after
    assert finds == ["note"]


async def test_after_many_writes_all_are_read() -> None:
    store, followed = MemoryStore(), FollowedRecords(NOTE)
    await store.run(put("a"))
    await store.run(followed.read)
    for number in range(MOST_LINES + 5):
        await store.run(put("ab"[number % 2], str(number)))
    assert await store.run(followed.read) == await store.run(read_all)


async def test_another_database_with_the_same_number_of_lines_is_noticed() -> None:
    """An older backup was restored, and as much was written since."""
    store, followed, other = MemoryStore(), FollowedRecords(NOTE), MemoryStore()
    for name in "ab":
        await store.run(put(name))
        await other.run(put(f"{name}{name}", now=NOON + timedelta(hours=1)))
    await store.run(followed.read)
    assert await other.run(followed.read) == await other.run(read_all)
    await store.run(put("c", now=NOON + timedelta(hours=2)))
    assert await store.run(followed.read) == await store.run(read_all)


async def test_what_left_no_trace_is_found_after_a_while() -> None:
    """The clock was set by days, so that what was written and removed just now is taken for old."""
    store, followed = MemoryStore(), FollowedRecords(NOTE)
    for name in "ab":
        await store.run(put(name))
    await store.run(followed.read)
    await store.run(lambda tx: tx.delete(NOTE, "a", expect=None, now=NOON))
    await store.run(lambda tx: tx.prune_journal(NOON + timedelta(days=99), 100))
    found = [await store.run(followed.read) for _ in range(MOST_READS + 1)]
    assert list(found[-1]) == ["b"]


async def test_a_read_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store, followed = MemoryStore(), FollowedRecords(NOTE)
    await store.run(put("a"))
    await store.run(followed.read)
    await store.run(put("a", "y"))

    def fail(*_: object) -> Mapping[str, object]:
        raise ValueError("not now")

    with monkeypatch.context() as broken, pytest.raises(ValueError, match="not now"):
        broken.setattr(MemoryTx, "get", fail)
        await store.run(followed.read)
    assert (await store.run(followed.read))["a"].body == Note("y")
