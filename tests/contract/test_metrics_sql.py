"""Metrics in a database: what was put is read back, by the second and by the minute, also after a restart."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import func, select

from tidegate.domain.errors import Invalid
from tidegate.domain.metric import MetricId, Sample
from tidegate.monitoring import sketch
from tidegate.monitoring.samples import statistic
from tidegate.store import metrics as adapter
from tidegate.store.database import Database, open_database
from tidegate.store.metrics import Retention, SqlMetrics
from tidegate.store.tables import MINUTES, SECONDS, SERIES

T0 = 1_800_000_000
"""A whole minute."""
ERRORS = MetricId.of("mine", "Errors", {"Endpoint": "a"})
LATENCY = MetricId.of("mine", "Latency", {"Endpoint": "a", "Variant": "v"})
OTHER = MetricId.of("theirs", "Errors", {"Variant": "w"})


class Clock:
    """Stands where it is put."""

    def __init__(self) -> None:
        self.second = T0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.second, UTC)


class Bench:
    """Metrics over a database, with a clock to turn; ``restart`` begins anew with an empty memory."""

    def __init__(self, url: str) -> None:
        self.clock = Clock()
        self.database: Database = open_database(url)
        self.keep = Retention()
        self.restart()

    def restart(self) -> None:
        self.metrics = SqlMetrics(self.database, self.clock, self.keep)

    def restart_later(self, seconds: int) -> None:
        """With what was put before no longer in memory, when that is long enough."""
        self.clock.second += seconds
        self.restart()

    def put(self, *samples: Sample) -> None:
        asyncio.run(self.metrics.put(samples))

    def read(self, metric: MetricId, start: int, end: int, period: int) -> dict[int, Sample]:
        return asyncio.run(self.metrics.read(metric, start, end, period))

    def totals(self, start: int, end: int, period: int, metric: MetricId = ERRORS) -> dict[int, float]:
        return {at: s.total for at, s in self.read(metric, start, end, period).items()}

    def rows(self, table: Any) -> int:
        count = select(func.count()).select_from(table)
        return asyncio.run(self.database.run(lambda c: c.execute(count).scalar_one()))


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


def sample(values: Sequence[float], at: int, metric: MetricId = ERRORS, resolution: int = 1) -> Sample:
    bins = sketch.merge({sketch.index(v): 1.0} for v in values)
    return Sample(metric, at, len(values), sum(values), min(values), max(values), bins, "Count", resolution)


def test_a_sample_comes_back_whole_from_memory_and_from_the_database(bench: Bench) -> None:
    one = replace(sample([1, 2, 2, 400.5], T0 + 7, LATENCY), unit="Microseconds")
    bench.put(one)
    assert bench.read(LATENCY, T0 + 7, T0 + 8, 1) == {T0 + 7: one}
    bench.restart()
    assert bench.read(LATENCY, T0 + 7, T0 + 8, 1) == {T0 + 7: one}
    bench.restart_later(2 * 3600)
    assert bench.read(LATENCY, T0 + 7, T0 + 8, 1) == {T0 + 7: one}
    assert bench.read(LATENCY, T0, T0 + 60, 60) == {T0: replace(one, at=T0, resolution=60)}


def test_equal_series_and_seconds_are_merged(bench: Bench) -> None:
    bench.put(sample([1], T0), sample([4, 2], T0))
    bench.restart()
    bench.put(sample([3], T0))
    expected = sample([1, 4, 2, 3], T0)
    assert bench.read(ERRORS, T0, T0 + 1, 1) == {T0: expected}
    bench.restart()
    assert bench.read(ERRORS, T0, T0 + 1, 1) == {T0: expected}
    assert bench.read(ERRORS, T0, T0 + 60, 60) == {T0: replace(expected, resolution=60)}


def test_late_samples_are_merged_with_what_memory_no_longer_has(bench: Bench) -> None:
    bench.put(sample([1], T0))
    bench.restart_later(2 * 3600)
    bench.put(sample([2], T0), sample([4], T0 + 1))
    assert bench.totals(T0, T0 + 2, 1) == {T0: 3, T0 + 1: 4}
    assert bench.totals(T0, T0 + 60, 60) == {T0: 7}


@pytest.mark.parametrize("later", [0, 1800, 2 * 3600])
def test_spans_begin_at_the_start_that_was_asked_for(bench: Bench, later: int) -> None:
    bench.put(*(sample([1], T0 + second) for second in range(0, 120, 2)))
    bench.restart_later(later)
    assert bench.totals(T0, T0 + 20, 10) == {T0: 5, T0 + 10: 5}
    assert bench.totals(T0 + 1, T0 + 21, 10) == {T0 + 1: 5, T0 + 11: 5}
    assert bench.totals(T0 - 30, T0 + 90, 60) == {T0 - 30: 15, T0 + 30: 30}
    assert bench.totals(T0 - 60, T0 + 180, 60) == {T0: 30, T0 + 60: 30}
    assert bench.totals(T0 - 60, T0 + 61, 120) == {T0 - 60: 30, T0 + 60: 30}
    assert bench.totals(T0, T0 + 15, 10) == {T0: 5, T0 + 10: 5}, "the last span is whole"
    assert bench.totals(T0 + 121, T0 + 200, 1) == {}
    assert bench.totals(T0 + 20, T0, 1) == {}


def test_a_minute_sample_stands_in_its_first_second(bench: Bench) -> None:
    bench.put(sample([5, 6], T0, resolution=60), sample([1], T0 + 30))
    assert bench.totals(T0, T0 + 60, 60) == {T0: 12}
    assert bench.totals(T0, T0 + 60, 30) == {T0: 11, T0 + 30: 1}


def test_when_the_seconds_are_gone_minutes_answer_for_spans_of_a_minute_and_more(bench: Bench) -> None:
    bench.put(*(sample([1], T0 + second) for second in range(180)))
    bench.restart_later(bench.keep.seconds + 120)
    assert bench.totals(T0, T0 + 180, 60) == {T0: 60, T0 + 60: 60, T0 + 120: 60}
    assert bench.totals(T0 + 30, T0 + 180, 60) == {T0 + 30: 60, T0 + 90: 30, T0 + 150: 30}
    assert bench.totals(T0, T0 + 180, 30) == {T0 + 120: 30, T0 + 150: 30}
    assert bench.totals(T0 + 61, T0 + 121, 60) == {T0 + 61: 1}


def test_percentiles_survive_adding_up_and_restarts(bench: Bench) -> None:
    for second in range(60):
        bench.put(sample([float(100 * second + n) for n in range(1, 101)], T0 + second, LATENCY))
    bench.restart()
    whole = bench.read(LATENCY, T0, T0 + 60, 60)[T0]
    for percent in (50, 90, 99, 99.9):
        assert statistic(whole, f"p{percent}") == pytest.approx(60 * percent, rel=0.011)


def test_units_are_kept_apart_and_read_apart(bench: Bench) -> None:
    bench.put(sample([1], T0), replace(sample([2], T0), unit="Seconds"))
    for _ in range(2):
        found = asyncio.run(bench.metrics.read_units([ERRORS], T0, T0 + 60, 60))[0]
        assert {unit: one[T0].total for unit, one in found.items()} == {"Count": 1, "Seconds": 2}
        assert bench.rows(SERIES) == 2
        bench.restart()


def test_a_reader_who_names_no_unit_gets_the_newest_and_never_a_mixture(bench: Bench) -> None:
    bench.put(sample([1], T0), replace(sample([2], T0), unit="Seconds"))
    assert bench.totals(T0, T0 + 2, 1) == {T0: 1}
    bench.put(replace(sample([4], T0 + 1), unit="Seconds"))
    assert bench.totals(T0, T0 + 2, 1) == {T0: 2, T0 + 1: 4}


def test_dimensions_match_as_a_whole(bench: Bench) -> None:
    less = MetricId.of("mine", "Latency", {"Endpoint": "a"})
    bench.put(sample([1], T0, LATENCY))
    assert bench.read(less, T0, T0 + 1, 1) == {}
    bench.restart()
    bench.put(sample([2], T0, less))
    assert bench.totals(T0, T0 + 1, 1, LATENCY) == {T0: 1}


def test_samples_without_values_leave_no_trace(bench: Bench) -> None:
    bench.put()
    bench.put(Sample(ERRORS, T0, 0, 0, 0, 0))
    assert bench.read(ERRORS, T0, T0 + 60, 60) == {}
    assert bench.rows(SERIES) == 0


def test_series_by_name_and_dimensions(bench: Bench) -> None:
    bench.put(sample([1], T0), sample([1], T0, LATENCY), sample([1], T0, OTHER))

    def found(
        namespace: str | None = None, name: str | None = None, *wanted: tuple[str, str | None], since: int = T0
    ) -> list[MetricId]:
        return asyncio.run(bench.metrics.series(namespace, name, wanted, since))

    assert found() == [ERRORS, LATENCY, OTHER]
    assert found("mine") == [ERRORS, LATENCY]
    assert found(None, "Errors") == [ERRORS, OTHER]
    assert found("mine", "Errors") == [ERRORS]
    assert found(None, None, ("Endpoint", "a")) == [ERRORS, LATENCY]
    assert found(None, None, ("Endpoint", None), ("Variant", None)) == [LATENCY]
    assert found(None, None, ("Variant", "w")) == [OTHER]
    assert found(None, None, ("Endpoint", "b")) == []
    bench.put(sample([1], T0 + 120, LATENCY))
    assert found(since=T0 + 60) == [LATENCY]
    bench.restart()
    bench.put(sample([1], T0 + 130, OTHER), sample([1], T0, LATENCY))
    assert found(since=T0 + 120) == [LATENCY, OTHER]


def test_what_put_returned_from_is_in_the_database(bench: Bench, database_url: str) -> None:
    bench.put(sample([1], T0))
    database = open_database(database_url)
    other = SqlMetrics(database, bench.clock)
    assert asyncio.run(other.read(ERRORS, T0, T0 + 1, 1)) == {T0: sample([1], T0)}
    asyncio.run(database.close())


def test_recent_data_is_read_without_the_database(bench: Bench) -> None:
    bench.put(sample([1], T0 + 10), sample([2], T0 - 1800))
    leave = threading.Event()

    async def main() -> tuple[dict[int, Sample], dict[int, Sample]]:
        busy = asyncio.create_task(bench.database.call(lambda: leave.wait(30)))
        await asyncio.sleep(0)
        try:
            seconds = await asyncio.wait_for(bench.metrics.read(ERRORS, T0, T0 + 30, 10), 20)
            minutes = await asyncio.wait_for(bench.metrics.read(ERRORS, T0 - 1800, T0 + 60, 300), 20)
        finally:
            leave.set()
        assert await busy, "the database was busy all the while"
        return seconds, minutes

    seconds, minutes = asyncio.run(main())
    assert {at: s.total for at, s in seconds.items()} == {T0 + 10: 1}
    assert {at: s.total for at, s in minutes.items()} == {T0 - 1800: 2, T0: 1}


def test_memory_holds_no_more_than_it_should(bench: Bench) -> None:
    for second in range(0, 1200, 5):
        bench.clock.second = T0 + second
        bench.put(sample([1], T0 + second))
    assert bench.totals(T0, T0 + 1200, 600) == {T0: 120, T0 + 600: 120}
    assert bench.totals(T0 + 1, T0 + 1201, 600) == {T0 + 1: 120, T0 + 601: 119}


def test_puts_at_the_same_time_lose_nothing(bench: Bench) -> None:
    async def main() -> None:
        await asyncio.gather(*(bench.metrics.put([sample([1], T0 + n % 3)]) for n in range(30)))

    asyncio.run(main())
    assert bench.totals(T0, T0 + 3, 1) == {T0: 10, T0 + 1: 10, T0 + 2: 10}
    bench.restart()
    assert bench.totals(T0, T0 + 60, 60) == {T0: 30}


def test_a_caller_that_is_cancelled_leaves_all_or_nothing(bench: Bench) -> None:
    bench.put(sample([1], T0))
    leave = threading.Event()

    async def main() -> None:
        busy = asyncio.create_task(bench.database.call(lambda: leave.wait(30)))
        putting = asyncio.create_task(bench.metrics.put([sample([2], T0)]))
        await asyncio.sleep(0)
        putting.cancel()
        leave.set()
        await asyncio.gather(busy, putting, return_exceptions=True)
        await bench.metrics.put([sample([4], T0)])

    asyncio.run(main())
    remembered = bench.totals(T0, T0 + 1, 1)
    bench.restart()
    assert remembered in ({T0: 5}, {T0: 7})
    assert bench.totals(T0, T0 + 1, 1) == remembered


def test_what_is_too_old_goes_away_bit_by_bit(bench: Bench) -> None:
    bench.keep = Retention(seconds=600, minutes=3600, seconds_in_memory=60, minutes_in_memory=600)
    bench.restart()
    bench.put(*(sample([1], T0 + second) for second in range(0, 1200, 10)))
    assert (bench.rows(SECONDS), bench.rows(MINUTES)) == (120, 20)
    left = []
    bench.clock.second = T0 + 600 + 60 + 1200
    for _ in range(30):
        bench.clock.second += 10
        bench.put(sample([1], bench.clock.second, OTHER))
        left.append(bench.rows(SECONDS))
    steps = [before - after for before, after in pairwise(left)]
    assert max(steps) <= 6, "one removal takes off a minute at most"
    assert left[-1] == 30, "only the fresh ones are left"
    bench.clock.second += 3600 + 600
    for _ in range(40):
        bench.clock.second += 10
        bench.put(sample([1], bench.clock.second, LATENCY))
    assert bench.rows(SERIES) == 1
    assert bench.totals(T0, T0 + 1200, 60) == {}
    assert sum(bench.totals(bench.clock.second // 60 * 60 - 600, bench.clock.second, 60, LATENCY).values()) == 40


def test_memory_cannot_hold_more_than_the_database() -> None:
    with pytest.raises(Invalid, match="held in memory"):
        Retention(seconds=10)
