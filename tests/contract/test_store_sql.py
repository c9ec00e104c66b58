"""What the databases promise beyond the port: stable pages, versions that never repeat, one thread, no harm from
callers that go away."""

import asyncio
import base64
import gc
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from tidegate.domain.errors import Invalid, Unavailable
from tidegate.ports.store import Filter, Kind, Stale, Tx
from tidegate.store import SqlStore, open_store
from tidegate.store.database import THREADS

R = TypeVar("R")
T0 = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Figure:
    value: float


FIGURE = Kind("figure", Figure)
OTHER = Kind("other", Figure)


@pytest.fixture
def store(database_url: str) -> Iterator[SqlStore]:
    store = open_store(database_url)
    yield store
    asyncio.run(store.close())


def run(store: SqlStore, work: Callable[[Tx], R]) -> R:
    return asyncio.run(store.run(work))


def put(store: SqlStore, name: str, second: int = 0, expect: int | None = None) -> int:
    now = T0 + timedelta(seconds=second)
    return run(store, lambda tx: tx.put(FIGURE, name, Figure(1.5), expect=expect, now=now))


def test_a_version_never_names_two_writes(store: SqlStore) -> None:
    put(store, "a")
    put(store, "a")
    run(store, lambda tx: tx.delete(FIGURE, "a", expect=2, now=T0))
    assert put(store, "a", expect=0) == 4
    with pytest.raises(Stale):
        put(store, "a", expect=2)


@pytest.mark.parametrize("descending", [False, True])
def test_pages_do_not_shift_when_records_come_and_go(store: SqlStore, descending: bool) -> None:
    for second, name in enumerate("bdfhjl"):
        put(store, name, second)
    where = Filter(descending=descending)
    first = run(store, lambda tx: tx.find(FIGURE, where, 2))
    put(store, "a", -1)
    put(store, "z", 99)
    run(store, lambda tx: tx.delete(FIGURE, first.items[0].name, expect=None, now=T0))
    rest = run(store, lambda tx: tx.find(FIGURE, where, None, first.next))
    names = [saved.name for saved in first.items + rest.items]
    assert names == [*"ljhfdb", "a"] if descending else [*"bdfhjl", "z"]


def test_a_token_of_another_listing_does_not_fit(store: SqlStore) -> None:
    put(store, "a")
    put(store, "b")
    token = run(store, lambda tx: tx.find(FIGURE, limit=1)).next
    assert token is not None
    for kind, where in (
        (OTHER, Filter()),
        (FIGURE, Filter(sort_by="name")),
        (FIGURE, Filter(descending=False)),
        (FIGURE, Filter(name_contains="a")),
    ):
        with pytest.raises(Invalid, match="does not belong"):
            run(store, lambda tx, kind=kind, where=where: tx.find(kind, where, 1, token))  # type: ignore[misc]


def test_a_token_that_was_changed_does_not_fit(store: SqlStore) -> None:
    put(store, "a")
    put(store, "b")
    token = run(store, lambda tx: tx.find(FIGURE, limit=1)).next
    assert token is not None
    plain = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    forged = base64.urlsafe_b64encode(plain.replace(b'"b"', b'"c"')).decode().rstrip("=")
    assert forged != token
    for wrong in (forged, token[:-2], token + "AA", token[::-1]):
        with pytest.raises(Invalid, match="does not belong"):
            run(store, lambda tx, wrong=wrong: tx.find(FIGURE, None, 1, wrong))  # type: ignore[misc]


@pytest.mark.parametrize("token", ["", "9" * 5000])
def test_a_token_that_is_none_does_not_fit(store: SqlStore, token: str) -> None:
    with pytest.raises(Invalid, match="does not belong"):
        run(store, lambda tx: tx.find(FIGURE, limit=1, after=token))


def test_an_unknown_sort_is_refused(store: SqlStore) -> None:
    with pytest.raises(Invalid, match="sorted by 'size'"):
        run(store, lambda tx: tx.find(FIGURE, Filter(sort_by="size")))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_could_not_be_read_again_is_not_written(store: SqlStore, value: float) -> None:
    with pytest.raises(Invalid, match="The figure 'a' cannot be stored"):
        run(store, lambda tx: tx.put(FIGURE, "a", Figure(value), expect=0, now=T0))
    assert run(store, lambda tx: tx.journal()) == []


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_is_no_text_is_refused(store: SqlStore, name: str) -> None:
    with pytest.raises(Invalid, match="is not a valid name"):
        put(store, name)
    with pytest.raises(Invalid, match="is not a valid name"):
        run(store, lambda tx: tx.get(FIGURE, name))


def test_a_moment_without_zone_is_refused_and_any_zone_is_kept_as_utc(store: SqlStore) -> None:
    with pytest.raises(Invalid, match="has no time zone"):
        run(store, lambda tx: tx.put(FIGURE, "a", Figure(1), expect=0, now=datetime(2026, 1, 1)))
    east = datetime.fromisoformat("2026-01-01T02:00:00.000001+05:30")
    run(store, lambda tx: tx.put(FIGURE, "a", Figure(1), expect=0, now=east))
    saved = run(store, lambda tx: tx.get(FIGURE, "a"))
    assert saved is not None
    assert saved.created_at.isoformat() == "2025-12-31T20:30:00.000001+00:00"


async def test_work_runs_on_few_threads_beside_the_event_loop(store: SqlStore) -> None:
    threads = set(await asyncio.gather(*(store.run(lambda _: threading.get_ident()) for _ in range(20))))
    assert len(threads) <= (1 if store.database.dialect == "sqlite" else THREADS)
    assert threading.get_ident() not in threads


async def test_the_event_loop_goes_on_while_work_is_under_way(store: SqlStore) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(tx: Tx) -> int:
        entered.set()
        leave.wait(30)
        return tx.put(FIGURE, "a", Figure(1), expect=0, now=T0)

    under_way = asyncio.create_task(store.run(slow))
    assert await asyncio.to_thread(entered.wait, 30)
    leave.set()  # reached while the work still waits for it
    assert (await under_way) == 1


def test_a_caller_that_is_cancelled_leaves_a_whole_transaction_or_none(store: SqlStore) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(tx: Tx) -> None:
        tx.put(FIGURE, "a", Figure(1), expect=0, now=T0)
        entered.set()
        leave.wait(30)
        tx.put(FIGURE, "b", Figure(1), expect=0, now=T0)

    async def main() -> None:
        under_way = asyncio.create_task(store.run(slow))
        assert await asyncio.to_thread(entered.wait, 30)
        queued = asyncio.create_task(store.run(lambda tx: tx.put(FIGURE, "c", Figure(1), expect=0, now=T0)))
        await asyncio.sleep(0)
        under_way.cancel()
        queued.cancel()
        leave.set()
        results = await asyncio.gather(under_way, queued, return_exceptions=True)
        assert [type(r) for r in results] == [asyncio.CancelledError] * 2

    asyncio.run(main())
    found, journal = run(store, lambda tx: (tx.find(FIGURE, Filter(sort_by="name")).items, tx.journal()))
    names, lines = [saved.name for saved in found], [line.name for line in journal]
    if store.database.dialect == "postgresql" and "c" in names:  # another thread had begun it
        names.remove("c")
        lines.remove("c")
    assert names == ["b", "a"]
    assert lines == ["a", "b"]


def test_nothing_is_read_outside_a_transaction(store: SqlStore) -> None:
    escaped = run(store, lambda tx: tx)
    with pytest.raises(Exception, match="closed"):
        escaped.get(FIGURE, "a")


def test_everything_is_there_after_opening_again(database_url: str) -> None:
    first = open_store(database_url)
    put(first, "a")
    asyncio.run(first.close())
    again = open_store(database_url)
    assert put(again, "a", expect=1) == 2
    assert len(run(again, lambda tx: tx.journal())) == 2
    asyncio.run(again.close())


def test_a_transaction_that_outlives_the_call_to_close_leaves_no_connection(database_url: str) -> None:
    store, began, ends = open_store(database_url), threading.Event(), threading.Event()

    def linger(tx: Tx) -> None:
        tx.journal()
        began.set()
        assert ends.wait(10)

    async def main() -> None:
        running = asyncio.create_task(store.run(linger))
        await asyncio.to_thread(began.wait, 10)
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0.1)
        ends.set()
        await asyncio.gather(running, closing)

    asyncio.run(main())
    with warnings.catch_warnings(record=True) as left:
        warnings.simplefilter("always", ResourceWarning)
        gc.collect()
    assert [str(one.message) for one in left] == []


def test_a_closed_store_says_so(database_url: str) -> None:
    store = open_store(database_url)
    asyncio.run(store.close())
    asyncio.run(store.close())
    with pytest.raises(Unavailable, match="closed"):
        run(store, lambda tx: tx.journal())
