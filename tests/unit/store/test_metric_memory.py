"""Recent metrics in memory: packed or not they read the same, and few objects are left for the garbage collector."""

import gc

from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.metric import MetricId, Sample
from tidegate.monitoring.samples import merge
from tidegate.store.metric_memory import MetricMemory, RecentCells, SpanCells, pack, unpack
from tidegate.store.samples import SeriesKey

T0 = 1_800_000_000
SERIES = [
    SeriesKey.of(MetricId.of("memory-test", name, {"EndpointName": "a"}), "None") for name in ("Errors", "Times")
]


def sample(at: int, series: SeriesKey, *values: float, resolution: int = 1) -> Sample:
    bins = {int(value): float(values.count(value)) for value in values}
    numbers = (float(len(values)), float(sum(values)), float(min(values)), float(max(values)))
    return Sample(series.metric, at, *numbers, bins, series.unit, resolution)


numbers = st.floats(-1e300, 1e300, allow_nan=False) | st.integers(-(2**80), 2**80)
bins = st.dictionaries(st.integers(-1_000_000, 40_000), st.floats(1, 1e12) | st.integers(1, 2**80), max_size=5)


@given(numbers, numbers, numbers, numbers, bins)
def test_packed_cell_is_read_as_it_was(
    count: float, total: float, low: float, high: float, bins: dict[int, float]
) -> None:
    """Whole numbers of more than 64 bits become the nearest float, and others keep their value."""
    series = SERIES[0]
    cell = Sample(series.metric, T0, count, total, low, high, bins, series.unit, 60)
    found = unpack(pack(cell), T0, series, 60)
    assert found == Sample(
        series.metric,
        T0,
        float(count),
        float(total),
        float(low),
        float(high),
        {key: float(one) for key, one in bins.items()},
        series.unit,
        60,
    )


adds = st.lists(
    st.tuples(st.integers(0, 8), st.sampled_from(SERIES), st.integers(1, 50), st.integers(0, 8)), max_size=30
)


@given(adds)
def test_packing_changes_nothing_that_is_read(given: list[tuple[int, SeriesKey, int, int]]) -> None:
    """Samples come in any order; cells of spans before some moment are packed after each."""
    cells, kept = SpanCells(T0, 1, complete=True), dict[tuple[int, SeriesKey], Sample]()
    for after, series, value, packed in given:
        one = sample(T0 + after, series, value)
        cells.add((T0 + after, series), one)
        present = kept.get((T0 + after, series))
        kept[T0 + after, series] = one if present is None else merge((present, one))
        cells.pack(T0 + packed)
    for at in range(T0, T0 + 9):
        for series in SERIES:
            assert cells.get(at, series) == kept.get((at, series))
    for series in SERIES:
        newest = max((at for at, one in kept if one is series), default=None)
        assert cells.newest([series], T0) == newest


def test_second_that_is_over_leaves_no_objects() -> None:
    memory = MetricMemory(SpanCells(T0, 1, complete=True), SpanCells(T0, 60, complete=True))
    for at in range(T0, T0 + 120):
        seconds = {(at, series): sample(at, series, at % 7) for series in SERIES}
        minute = at // 60 * 60
        memory.add(seconds, {(minute, series): sample(minute, series, at % 7, resolution=60) for series in SERIES})
        memory.seconds.mark_written(seconds)
        memory.minutes.dirty.clear()
        memory.pack(at)
    gc.collect()
    alive = [one for one in gc.get_objects() if isinstance(one, Sample) and one.metric.namespace == "memory-test"]
    # Those of the current second, the two before, and both minutes.
    assert 0 < len(alive) <= (3 + 2) * len(SERIES)
    assert memory.read([SERIES[0].metric], range(T0 + 1, T0 + 2), by_minutes=False) == [
        [sample(T0 + 1, SERIES[0], (T0 + 1) % 7)]
    ]


def test_equal_cells_of_a_span_are_one_object() -> None:
    cells = RecentCells(1)
    for series in SERIES:
        cells.put(T0, series, sample(T0, series, 3))
    cells.pack_before(T0 + 1)
    one, other = cells._packed[T0].values()
    assert one is other


def test_spans_that_are_too_old_go_packed_or_not() -> None:
    cells = RecentCells(1)
    for at in range(T0, T0 + 4):
        cells.put(at, SERIES[0], sample(at, SERIES[0], 1))
        cells.pack_before(T0 + 2)
    cells.drop_before(T0 + 1)
    assert [cells.has(at, SERIES[0]) for at in range(T0, T0 + 4)] == [False, True, True, True]
    cells.drop_before(T0 + 3)
    assert [cells.has(at, SERIES[0]) for at in range(T0, T0 + 4)] == [False, False, False, True]


def test_cell_whose_span_became_too_old_while_the_database_was_read_is_not_counted_twice() -> None:
    cells, key = SpanCells(T0, 1), (T0, SERIES[0])
    cells.add(key, sample(T0, SERIES[0], 5))
    cells.raise_floor(T0 + 1)
    stored = {key: sample(T0, SERIES[0], 4)}
    cells.load(stored)
    assert cells.complete and cells.unbased([key]) == [key]
    cells.base([key], stored)
    assert cells.dirty[key] == merge((stored[key], sample(T0, SERIES[0], 5)))
