"""A database that lost lines of its journal is known by the mark outside of it; one that pruned them is not."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tidegate.domain.errors import StartupError
from tidegate.ports.store import Kind
from tidegate.store import SqlStore, open_store
from tidegate.store.commit_mark import SIZE, CommitMark
from tidegate.store.database import Database

NOTE = Kind("note", dict)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def marked(store: SqlStore, folder: Path) -> SqlStore:
    store.mark = CommitMark(folder, store.database.name)
    return store


def check(store: SqlStore, folder: Path) -> None:
    CommitMark(folder, store.database.name).check(store.database)


async def write(store: SqlStore, *names: str) -> None:
    for name in names:
        await store.run(lambda tx, name=name: tx.put(NOTE, name, {}, expect=None, now=NOW))  # type: ignore[misc]


async def test_what_is_committed_is_marked_and_found(database: Database, tmp_path: Path) -> None:
    store = SqlStore(database)
    marked(store, tmp_path)
    await asyncio.to_thread(check, store, tmp_path)
    await write(store, "a", "b")
    await store.run(lambda tx: tx.delete(NOTE, "a", expect=None, now=NOW))
    assert (tmp_path / "committed.json").stat().st_size == SIZE
    await asyncio.to_thread(check, store, tmp_path)


async def test_what_fails_or_only_reads_is_not_marked(database: Database, tmp_path: Path) -> None:
    store = SqlStore(database)
    marked(store, tmp_path)

    def fail(tx: object) -> None:
        tx.put(NOTE, "a", {}, expect=None, now=NOW)  # type: ignore[attr-defined]
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await store.run(fail)
    await store.run(lambda tx: tx.get(NOTE, "a"))
    assert not (tmp_path / "committed.json").exists()


async def test_a_journal_that_was_pruned_has_lost_nothing(database: Database, tmp_path: Path) -> None:
    store = SqlStore(database)
    marked(store, tmp_path)
    await write(store, "a")
    await store.run(lambda tx: tx.delete(NOTE, "a", expect=None, now=NOW))
    while await store.run(lambda tx: tx.prune_journal(NOW + timedelta(days=1), 100)):
        pass
    assert await store.newest() is None, "no line is left"
    await asyncio.to_thread(check, store, tmp_path)


async def test_a_line_that_is_missing_is_said_in_one_line(database: Database, tmp_path: Path) -> None:
    store = SqlStore(database)
    marked(store, tmp_path)
    await write(store, "a")
    mark = store.mark
    assert mark is not None
    mark.note(10_000_000)
    with pytest.raises(StartupError, match=r"has lost changes.*line 10000000 was committed.*restore FILE") as said:
        await asyncio.to_thread(check, store, tmp_path)
    assert "\n" not in str(said.value) and str(mark.path) in str(said.value)
    mark.forget()
    await asyncio.to_thread(check, store, tmp_path)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"database": 1}', b"\xff" * 100])
async def test_a_damaged_mark_and_one_of_another_database_say_nothing(
    database: Database, tmp_path: Path, text: bytes
) -> None:
    store = SqlStore(database)
    CommitMark(tmp_path, "sqlite:////elsewhere.db").note(10_000_000)
    await asyncio.to_thread(check, store, tmp_path)
    (tmp_path / "committed.json").write_bytes(text)
    await asyncio.to_thread(check, store, tmp_path)


async def test_a_disk_that_takes_no_mark_fails_no_change(database: Database, tmp_path: Path) -> None:
    store = SqlStore(database)
    marked(store, tmp_path / "missing")
    await write(store, "a")
    assert await store.run(lambda tx: tx.get(NOTE, "a")) is not None


def test_a_file_that_is_gone_is_a_loss_and_is_not_made_by_the_look(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    store = open_store(f"sqlite:///{path}", prepare=False)
    CommitMark(tmp_path, store.database.name).note(3)
    with pytest.raises(StartupError, match="ends at line 0"):
        check(store, tmp_path)
    assert not path.exists()
    store.database.shut()
