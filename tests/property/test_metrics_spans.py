"""Whatever is put, in whatever order, over restarts and with memory that forgets: a span read back is the sum of
the samples that lie in it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.errors import Unavailable
from tidegate.domain.metric import MetricId, Sample
from tidegate.monitoring import sketch
from tidegate.monitoring.samples import merge
from tidegate.store import metrics as adapter
from tidegate.store.database import Database, open_database
from tidegate.store.metrics import Retention, SqlMetrics

R = TypeVar("R")

T0 = 1_800_000_000
METRICS = [MetricId.of("mine", name, {"Endpoint": "a"}) for name in ("Errors", "Latency")]
KEEP = Retention(seconds_in_memory=20, minutes_in_memory=120)
"""All of it is kept, little of it in memory."""

SAMPLES = st.builds(
    lambda metric, second, value: Sample(
        metric, T0 + second, 1, value, value, value, {sketch.index(value): 1.0}, "None"
    ),
    st.sampled_from(METRICS),
    st.integers(0, 200),
    st.integers(0, 1000),
)
PUTS = st.lists(SAMPLES, max_size=5)
TURNS = st.integers(0, 90)
"""The clock goes on by so many seconds; 0: the process begins anew."""
READS = st.tuples(
    st.sampled_from(METRICS), st.integers(-70, 200), st.integers(1, 200), st.sampled_from([1, 10, 60, 90])
)
ALIGNED = READS.map(lambda read: (read[0], read[1] // 60 * 60, read[2], 60))


Step = list[Sample] | int | tuple[MetricId, int, int, int]

LAST: list[Step] = [(metric, -60, 300, period) for metric in METRICS for period in (7, 60)]


class Clock:
    second = T0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.second, UTC)


def expected(samples: list[Sample], metric: MetricId, start: int, end: int, period: int) -> dict[int, Sample]:
    found: dict[int, Sample] = {}
    for begin in range(start, end, period):
        inside = [s for s in samples if s.metric == metric and begin <= s.at < begin + period]
        if inside:
            whole = merge(inside)
            bins = sketch.merge(s.bins for s in inside)
            found[begin] = Sample(
                metric, begin, whole.count, whole.total, whole.low, whole.high, bins, "None", period
            )
    return found


@pytest.fixture(autouse=True, scope="module")
def patience() -> Iterator[None]:
    """However busy the machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter, "PUT_TIMEOUT", 60)
        patch.setattr(adapter, "LOAD_TIMEOUT", 60)
        yield


@given(st.lists(PUTS | TURNS | READS | ALIGNED, max_size=25))
async def test_a_span_is_the_sum_of_its_samples(steps: list[Step]) -> None:
    database = open_database("sqlite://")

    try:
        await play(database, steps)
    finally:
        await database.close()


async def play(database: Database, steps: list[Step]) -> None:
    clock = Clock()
    metrics = SqlMetrics(database, clock, KEEP)
    put: list[Sample] = []
    for step in steps + LAST:
        match step:
            case list():
                await metrics.put(step)
                put.extend(step)
            case 0:
                metrics = SqlMetrics(database, clock, KEEP)
            case int():
                clock.second += step
            case (metric, offset, length, period):
                start, end = T0 + offset, T0 + offset + length
                found = await metrics.read(metric, start, end, period)
                assert found == expected(put, metric, start, end, period)


FAULTS = st.sampled_from(["", "fails", "is deaf"])
"""What becomes of a transaction: all is well, it is undone, or it lands and its answer is lost."""
READ_LAST = [(metric, -60, 300, period) for metric in METRICS for period in (7, 60)]


@given(st.lists(PUTS | TURNS.filter(bool) | READS | ALIGNED, max_size=25), st.lists(FAULTS, max_size=60))
def test_whatever_becomes_of_transactions_each_sample_counts_once(steps: list[Step], faults: list[str]) -> None:
    """Memory knows it at once; the database in the end."""
    database = open_database("sqlite://")
    left = list(faults)
    trouble(database, left)

    async def main() -> None:
        try:
            await play_with_faults(database, steps, left)
        finally:
            await database.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter, "LOAD_RETRY", 0.0)
        asyncio.run(main())


def trouble(database: Database, faults: list[str]) -> None:
    transact = database.transact

    def troubled(work: Callable[[Any], R], *, read_only: bool = False) -> R:
        fault = faults.pop() if faults else ""
        if fault == "fails":
            raise Unavailable("it was undone")
        result = transact(work, read_only=read_only)
        if fault == "is deaf":
            raise Unavailable("it landed, and nobody heard")
        return result

    database.transact = troubled  # type: ignore[method-assign,assignment]


async def play_with_faults(database: Database, steps: list[Step], faults: list[str]) -> None:
    clock = Clock()
    metrics = SqlMetrics(database, clock, KEEP)
    put: list[Sample] = []
    for step in steps:
        match step:
            case list():
                put.extend(step)
                with suppress(Unavailable):
                    await metrics.put(step)
            case int():
                clock.second += step
            case (metric, offset, length, period):
                try:
                    found = await metrics.read(metric, T0 + offset, T0 + offset + length, period)
                except Unavailable:
                    assert T0 + offset < clock.second - KEEP.seconds_in_memory, "memory has the rest"
                else:
                    assert found == expected(put, metric, T0 + offset, T0 + offset + length, period)
    faults.clear()
    await metrics.put([Sample(METRICS[0], T0 + 300, 1, 1, 1, 1)])
    for again in (metrics, SqlMetrics(database, clock, KEEP)):
        for metric, offset, length, period in READ_LAST:
            found = await again.read(metric, T0 + offset, T0 + offset + length, period)
            assert found == expected(put, metric, T0 + offset, T0 + offset + length, period)
