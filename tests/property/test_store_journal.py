"""Folding the journal gives the records: all of it gives them as they are, any prefix as they were then, and what
pruning leaves still gives them as they are."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, select, update

from tidegate.ports.store import JournalLine, Kind, Stale, Tx
from tidegate.store import SqlStore, journal, open_store
from tidegate.store.tables import JOURNAL

T0 = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Apple:
    size: int


@dataclass(frozen=True)
class Pear:
    names: tuple[str, ...]


KINDS: tuple[Kind[Any], Kind[Any]] = (Kind("apple", Apple), Kind("pear", Pear))
APPLE, PEAR = KINDS
Row = tuple[object, int, datetime, datetime]
"""Body as plain data, version, created, modified."""
Rows = dict[tuple[str, str], Row]


@dataclass(frozen=True)
class Write:
    kind: Kind[Any]
    name: str
    body: Apple | Pear | None
    """None: delete."""
    expect: int | None


class Undone(Exception):
    pass


def writes() -> st.SearchStrategy[Write]:
    name, expect = st.sampled_from("ab"), st.none() | st.integers(0, 4)
    apples = st.builds(Write, st.just(APPLE), name, st.none() | st.builds(Apple, st.integers(0, 9)), expect)
    few = st.lists(st.text("xy"), max_size=2)
    many = st.lists(st.sampled_from("xy"), min_size=40, max_size=40)  # so much that changes of it are kept as such
    pears = st.builds(Write, st.just(PEAR), name, st.none() | st.builds(Pear, (few | many).map(tuple)), expect)
    return apples | pears


TRANSACTIONS = st.lists(st.tuples(st.lists(writes(), min_size=1, max_size=3), st.booleans()), max_size=12)
"""Lists of writes, each with a flag: False makes the transaction fail at its end."""


def plain(body: object) -> object:
    return msgspec.json.decode(msgspec.json.encode(body))


def fold(lines: list[JournalLine]) -> Rows:
    rows: Rows = {}
    for line in lines:
        key = line.kind, line.name
        if line.body is None:
            rows.pop(key, None)
        else:
            created = rows[key][2] if key in rows else line.at
            rows[key] = line.body, line.version, created, line.at
    return rows


def records(tx: Tx) -> Rows:
    rows: Rows = {}
    for kind in KINDS:
        for saved in tx.find(kind).items:
            plain = msgspec.json.decode(msgspec.json.encode(saved.body))
            rows[kind.name, saved.name] = plain, saved.version, saved.created_at, saved.modified_at
    return rows


def carry_out(tx: Tx, batch: list[Write], now: datetime, lands: bool) -> None:
    for write in batch:
        if write.body is None:
            tx.delete(write.kind, write.name, expect=write.expect, now=now)
        else:
            tx.put(write.kind, write.name, write.body, expect=write.expect, now=now)
    if not lands:
        raise Undone


async def play(store: SqlStore, transactions: list[tuple[list[Write], bool]]) -> None:
    seen: list[tuple[int, Rows]] = [(0, {})]
    for second, (batch, lands) in enumerate(transactions):
        now = T0 + timedelta(seconds=second)
        try:
            await store.run(lambda tx, b=batch, n=now, ok=lands: carry_out(tx, b, n, ok))  # type: ignore[misc]
        except (Stale, Undone):
            assert await store.run(records) == seen[-1][1]
        last = await store.run(lambda tx: tx.journal(newest_first=True, limit=1))
        seen.append((last[0].seq if last else 0, await store.run(records)))
    lines = await store.run(lambda tx: tx.journal(limit=1000))
    for seq, rows in seen:
        assert fold([line for line in lines if line.seq <= seq]) == rows
    for key in {(line.kind, line.name) for line in lines}:
        versions = [line.version for line in lines if (line.kind, line.name) == key]
        assert versions == list(range(1, len(versions) + 1))


async def prune(store: SqlStore, second: int) -> None:
    """Nothing that is removed is missed."""
    before = await store.run(lambda tx: tx.journal(limit=1000))
    moment = T0 + timedelta(seconds=second)
    removed = await store.run(lambda tx: tx.prune_journal(moment, 1000))
    left = await store.run(lambda tx: tx.journal(limit=1000))
    assert len(left) == len(before) - removed
    assert all(line in before for line in left)
    assert all(line in left for line in before if line.at >= moment)
    present = await store.run(records)
    folded = fold(left)
    assert {key: (body, version, at) for key, (body, version, _, at) in folded.items()} == {
        key: (body, version, at) for key, (body, version, _, at) in present.items()
    }
    for key in {(line.kind, line.name) for line in left} - present.keys():
        assert any((line.kind, line.name) == key and line.at >= moment for line in left), "long gone, yet kept"


@given(TRANSACTIONS, st.integers(0, 13), st.sampled_from([2, 3, 50]))
def test_any_prefix_of_the_journal_gives_the_records_of_its_moment(
    transactions: list[tuple[list[Write], bool]], second: int, whole_every: int
) -> None:
    store = open_store("sqlite://")

    async def main() -> None:
        try:
            await play(store, transactions)
            await prune(store, second)
        finally:
            await store.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "WHOLE_EVERY", whole_every)
        asyncio.run(main())


async def test_the_journal_folds_on_both_databases(database_url: str) -> None:
    store = open_store(database_url)
    transactions = [
        ([Write(APPLE, "a", Apple(1), 0), Write(PEAR, "a", Pear(("x",)), None)], True),
        ([Write(APPLE, "a", Apple(2), 1)], False),
        ([Write(APPLE, "a", None, 1), Write(APPLE, "a", Apple(3), 0)], True),
        ([Write(PEAR, "b", Pear(()), 0), Write(PEAR, "a", None, 9)], True),
        ([Write(PEAR, "a", None, None)], True),
    ]

    await play(store, transactions)
    await prune(store, 3)
    await store.close()


async def test_lines_are_small_where_little_changed(database_url: str) -> None:
    """And those of an earlier program, which are whole, are read beside them."""
    store = open_store(database_url)
    bodies = [Pear((*("x" * 400), str(number))) for number in range(120)]

    def size(connection: Connection) -> int:
        rows = connection.execute(select(JOURNAL.c.body, JOURNAL.c.patch)).all()
        return sum(len(msgspec.json.encode(part)) for row in rows for part in row if part is not None)

    def forget_patch(connection: Connection) -> None:
        whole = {"body": plain(bodies[60]), "patch": None}
        connection.execute(update(JOURNAL).where(JOURNAL.c.version == 61).values(**whole))

    for body in bodies:
        await store.run(lambda tx, b=body: tx.put(PEAR, "a", b, expect=None, now=T0))  # type: ignore[misc]
    whole = len(bodies) * len(msgspec.json.encode(bodies[-1]))
    assert await store.database.run(size) < whole / 10
    await store.database.run(forget_patch)
    lines = await store.run(lambda tx: tx.journal(limit=1000))
    assert [line.body for line in lines] == [plain(body) for body in bodies]
    some = await store.run(lambda tx: tx.journal(after=lines[70].seq, limit=5, newest_first=False))
    assert [line.body for line in some] == [line.body for line in lines[71:76]]
    assert {line.body for line in await store.run(lambda tx: tx.journal(bodies=False))} == {None}
    await store.close()
