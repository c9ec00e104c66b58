"""Metrics while the database is locked, full, slow or away: alarms go on from memory, and nothing counts twice."""

import asyncio
import random
import sqlite3
import string
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.contract.test_metrics_sql import ERRORS, LATENCY, OTHER, T0, Bench, sample
from tidegate.domain.errors import Unavailable
from tidegate.domain.metric import MetricId, Sample
from tidegate.store import metrics as adapter
from tidegate.store.metrics import SqlMetrics
from tidegate.store.tables import MINUTES, SECONDS, SERIES

R = TypeVar("R")


class Trouble:
    """``away``: no transaction begins; ``deaf``: so many commits land and their answers are lost."""

    def __init__(self, bench: Bench) -> None:
        self.away = False
        self.deaf = 0
        self.writes = False
        database = bench.database
        transact, dialect = database.transact, database._engine.dialect
        commit, driver = dialect.do_commit, dialect.dbapi
        assert driver is not None

        def begin(work: Callable[[Any], R], *, read_only: bool = False) -> R:
            self.writes = not read_only
            if self.away:
                raise Unavailable("the database is away")
            return transact(work, read_only=read_only)

        def lose(connection: Any) -> None:
            commit(connection)
            if self.deaf and self.writes:
                self.deaf -= 1
                raise driver.OperationalError("the connection was cut")

        database.transact = begin  # type: ignore[method-assign,assignment]
        dialect.do_commit = lose  # type: ignore[method-assign,assignment]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is."""
    monkeypatch.setattr(adapter, "PUT_TIMEOUT", 60)
    monkeypatch.setattr(adapter, "LOAD_TIMEOUT", 60)


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    bench = Bench(database_url)
    yield bench
    asyncio.run(bench.database.close())


def stored(bench: Bench, metric: MetricId = ERRORS) -> tuple[dict[int, float], dict[int, float]]:
    """What a controller that starts now finds, by the second and by the minute."""
    later = SqlMetrics(bench.database, bench.clock, bench.keep)

    async def main() -> tuple[dict[int, Sample], dict[int, Sample]]:
        return await later.read(metric, T0, T0 + 60, 1), await later.read(metric, T0, T0 + 60, 60)

    seconds, minutes = asyncio.run(main())
    return {at: s.total for at, s in seconds.items()}, {at: s.total for at, s in minutes.items()}


@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_commit_that_lands_and_whose_answer_is_lost_counts_once(bench: Bench, times: int) -> None:
    trouble = Trouble(bench)
    bench.put(sample([1], T0))
    expected = 1
    for number in range(times):
        trouble.deaf = 1
        value = 2**number * 2
        with pytest.raises(Unavailable):
            bench.put(sample([value], T0), sample([value], T0, LATENCY))
        expected += value
        assert bench.totals(T0, T0 + 1, 1) == {T0: expected}
    bench.put(sample([1000], T0))
    assert stored(bench) == ({T0: expected + 1000}, {T0: expected + 1000})
    assert stored(bench, LATENCY) == ({T0: expected - 1}, {T0: expected - 1})
    assert bench.rows(SERIES) == 2


def test_late_samples_count_once_whatever_becomes_of_a_commit(bench: Bench) -> None:
    """Of spans that memory no longer has."""
    bench.put(sample([1], T0), sample([50], T0 + 5))
    bench.restart_later(2 * 3600)
    trouble = Trouble(bench)
    trouble.deaf = 1
    with pytest.raises(Unavailable):
        bench.put(sample([2], T0))
    assert bench.totals(T0, T0 + 1, 1) == {T0: 3}, "read with what is not known to be written"
    trouble.away = True
    with pytest.raises(Unavailable):
        bench.put(sample([4], T0))
    with pytest.raises(Unavailable):
        bench.put(sample([100], T0 + 5))
    trouble.away, trouble.deaf = False, 1
    assert bench.totals(T0, T0 + 6, 1) == {T0: 7, T0 + 5: 150}, "also on top of what was never read for it"
    with pytest.raises(Unavailable):
        bench.put(sample([8], T0 + 1))
    bench.put(sample([16], T0))
    assert bench.totals(T0, T0 + 6, 1) == {T0: 23, T0 + 1: 8, T0 + 5: 150}
    assert stored(bench) == ({T0: 23, T0 + 1: 8, T0 + 5: 150}, {T0: 181})


def test_a_database_that_cannot_be_read_at_the_start_leaves_memory_working(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "LOAD_RETRY", 0.0)
    bench.put(sample([1], T0), sample([1], T0 - 60))
    bench.restart()
    trouble = Trouble(bench)
    trouble.away = True
    assert bench.totals(T0, T0 + 1, 1) == {}
    with pytest.raises(Unavailable, match="away"):
        bench.put(sample([2], T0))
    assert bench.totals(T0, T0 + 1, 1) == {T0: 2}
    assert bench.totals(T0, T0 + 60, 60) == {T0: 2}
    with pytest.raises(Unavailable, match="written before the start"):
        asyncio.run(bench.metrics.last(ERRORS, T0 - 100))
    trouble.away = False
    bench.put(sample([4], T0))
    assert bench.totals(T0 - 60, T0 + 1, 1) == {T0: 7, T0 - 60: 1}, "with what was written before"
    assert asyncio.run(bench.metrics.last(ERRORS, T0 - 100)) == T0
    assert stored(bench) == ({T0: 7}, {T0: 7})


def test_the_newest_second_with_data_is_found(bench: Bench) -> None:
    bench.put(sample([1], T0), sample([1], T0 - 7), sample([1], T0 + 3, LATENCY))

    def last(since: int, metric: MetricId = ERRORS) -> int | None:
        return asyncio.run(bench.metrics.last(metric, since))

    for _ in range(2):
        assert last(T0 - 170) == T0
        assert last(T0) == T0
        assert last(T0 + 1) is None
        assert last(T0 - 170, OTHER) is None
        bench.restart()
    bench.restart_later(3600)
    assert last(T0 - 170) == T0, "in the database alone"


def test_sqlite_held_by_another_program_blinds_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tidegate.db"
    bench = Bench(f"sqlite:///{path}")
    bench.put(sample([1], T0))
    monkeypatch.setattr(adapter, "PUT_TIMEOUT", 0.05)
    bench.restart()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def meanwhile() -> list[dict[int, Sample]]:
        seen = []
        for number in range(3):
            with pytest.raises(Unavailable, match="slow to take metrics"):
                await bench.metrics.put([sample([2], T0 + number)])
            seen.append(await bench.metrics.read(ERRORS, T0, T0 + 3, 3))
        other.execute("ROLLBACK")
        return seen

    seen = asyncio.run(meanwhile())
    assert [spans[T0].total for spans in seen] == [3, 5, 7]
    other.close()
    monkeypatch.setattr(adapter, "PUT_TIMEOUT", 60)
    bench.put(sample([100], T0))
    assert stored(bench) == ({T0: 103, T0 + 1: 2, T0 + 2: 2}, {T0: 107})
    asyncio.run(bench.database.close())


async def test_reads_do_not_wait_for_a_put(bench: Bench) -> None:
    await bench.metrics.put([sample([1], T0)])
    leave = threading.Event()

    busy = asyncio.create_task(bench.database.call(lambda: leave.wait(60)))
    await asyncio.sleep(0)
    putting = asyncio.create_task(bench.metrics.put([sample([2], T0)]))
    await asyncio.sleep(0)
    try:
        found = await bench.metrics.read(ERRORS, T0, T0 + 1, 1)
        assert not putting.done()
    finally:
        leave.set()
    await asyncio.gather(busy, putting, return_exceptions=True)
    assert {at: s.total for at, s in found.items()} == {T0: 3}


def test_what_comes_while_a_write_is_under_way_is_written_next(bench: Bench) -> None:
    enter, leave, transact = threading.Event(), threading.Event(), bench.database.transact

    def slow(work: Callable[[Any], R], *, read_only: bool = False) -> R:
        result = transact(work, read_only=read_only)
        if not read_only:
            enter.set()
            leave.wait(60)
        return result

    bench.database.transact = slow  # type: ignore[method-assign,assignment]

    async def main() -> None:
        first = asyncio.create_task(bench.metrics.put([sample([1], T0)]))
        await asyncio.to_thread(enter.wait, 60)
        second = asyncio.create_task(bench.metrics.put([sample([2], T0)]))
        await asyncio.sleep(0)
        leave.set()
        await asyncio.gather(first, second)

    asyncio.run(main())
    assert stored(bench) == ({T0: 3}, {T0: 3})


@pytest.mark.parametrize("start", [T0 - 7200, T0 - 7199], ids=["minutes", "seconds"])
async def test_a_read_has_what_is_written_while_it_is_under_way(bench: Bench, start: int) -> None:
    """Its answer of the database is of before the write, and it comes after the write is done."""
    await bench.metrics.put([sample([1], T0 - 1)])
    seen, leave, transact = threading.Event(), threading.Event(), bench.database.transact

    def slow(work: Callable[[Any], R], *, read_only: bool = False) -> R:
        result = transact(work, read_only=read_only)
        if not seen.is_set():
            seen.set()
            leave.wait(60)
        return result

    bench.database.transact = slow  # type: ignore[method-assign,assignment]
    reading = asyncio.create_task(bench.metrics.read_units([ERRORS, OTHER], start, T0 + 60, T0 + 60 - start))
    await asyncio.to_thread(seen.wait, 60)
    await bench.metrics.put([sample([2], T0 - 1), sample([4], T0), sample([8], T0, OTHER)])
    leave.set()
    found = [{at: s.total for at, s in units["Count"].items()} for units in await reading]
    assert found == [{start: 7}, {start: 8}]


def test_what_waits_for_the_database_is_bounded_and_the_oldest_is_lost(bench: Bench) -> None:
    bench.metrics = SqlMetrics(bench.database, bench.clock, bench.keep, most=10)
    trouble = Trouble(bench)
    trouble.away = True
    for second in range(30):
        with pytest.raises(Unavailable):
            bench.put(sample([1], T0 + second))
    assert bench.metrics.lost == 20
    assert bench.totals(T0, T0 + 60, 60) == {T0: 30}, "memory has all of it"
    trouble.away = False
    bench.put(sample([1], T0 + 30))
    seconds, _ = stored(bench)
    assert seconds == {T0 + second: 1 for second in range(21, 31)}


def test_a_full_disk_costs_nothing_of_what_memory_has(tmp_path: Path) -> None:
    bench = Bench(f"sqlite:///{tmp_path / 'tidegate.db'}")
    bench.put(sample([1], T0))

    def limit(pages: int) -> None:
        asyncio.run(bench.database.run(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count = {pages}").scalar()))

    limit(1)
    many = [sample([9], T0, MetricId.of("mine", f"m{n}", {"Endpoint": "x" * 200})) for n in range(500)]
    with pytest.raises(Unavailable, match="free space on its disk"):
        bench.put(sample([2], T0), *many)
    assert bench.totals(T0, T0 + 1, 1) == {T0: 3}
    limit(1_000_000)
    bench.put(sample([4], T0))
    assert bench.totals(T0, T0 + 1, 1) == {T0: 7}
    assert stored(bench) == ({T0: 7}, {T0: 7})
    assert bench.rows(SECONDS) == bench.rows(MINUTES) == 501
    asyncio.run(bench.database.close())


BAD = [
    replace(sample([1], T0), **changed)
    for changed in (
        {"total": float("inf")},
        {"total": float("nan")},
        {"count": float("-inf")},
        {"low": float("nan")},
        {"high": float("inf")},
        {"bins": {0: float("nan")}},
        {"bins": {10**8: 1.0}},
        {"bins": {0: -1.0}},
        {"count": -1.0},
        {"at": -5},
        {"at": 2**66},
        {"unit": "Count\0"},
        {"metric": MetricId("mine", "Err\ud800")},
    )
]


@pytest.mark.parametrize("bad", BAD, ids=[str(number) for number in range(len(BAD))])
def test_a_sample_that_cannot_be_kept_is_dropped_alone(
    bench: Bench, bad: Sample, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        bench.put(sample([1], T0), bad, sample([2], T0, OTHER))
    assert bench.metrics.dropped == 3
    assert len([one for one in caplog.records if "is dropped" in one.getMessage()]) == 1
    assert bench.totals(T0, T0 + 1, 1) == {T0: 3}
    assert stored(bench) == ({T0: 3}, {T0: 3})
    assert stored(bench, OTHER) == ({T0: 6}, {T0: 6})


def test_sums_that_leave_the_range_of_floats_saturate(bench: Bench) -> None:
    huge = Sample(ERRORS, T0, 1.0, 1.7e308, 1.7e308, 1.7e308, {}, "Count")
    for _ in range(2):
        bench.put(huge, replace(huge, at=T0 + 1), sample([3], T0, OTHER))
    assert bench.metrics.dropped == 0
    for _ in range(2):
        whole = bench.read(ERRORS, T0, T0 + 60, 60)[T0]
        assert whole.count == 4
        assert whole.total == pytest.approx(1.7976931348623157e308)
        bench.restart()
    assert stored(bench, OTHER) == ({T0: 6}, {T0: 6})


def test_a_series_that_postgresql_cannot_hold_stops_no_other(postgres_url: str) -> None:
    """Its index holds keys of some 2,700 bytes; CloudWatch's API takes far longer ones."""
    bench, chance = Bench(postgres_url), random.Random(7)
    text = {f"d{n}": "".join(chance.choices(string.printable[:90], k=900)) for n in range(20)}
    long = MetricId.of("mine", "Long", text)
    for _ in range(3):
        bench.put(sample([1], T0), sample([2], T0, long), sample([4], T0, OTHER))
    assert bench.metrics.dropped == 3
    assert stored(bench) == ({T0: 3}, {T0: 3})
    assert stored(bench, OTHER) == ({T0: 12}, {T0: 12})
    asyncio.run(bench.database.close())
