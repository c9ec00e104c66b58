"""Traces: read, written, made, and turned into moments."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.forecast_bill import compared, drawn
from tidegate.domain.errors import Invalid
from tidegate.load import shapes
from tidegate.load.shapes import bank_calls
from tidegate.load.trace import Trace, arrivals, read, write

MONDAY_10, MONDAY_3, SUNDAY_10 = 10 * 60, 3 * 60, (6 * 24 + 10) * 60
"""Minutes of a week."""


def saved(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text)
    return path


def test_single_requests(tmp_path: Path) -> None:
    trace = read(saved(tmp_path, "# from a log\nat\n1700000000.5\n1700000000.5\n1700000002\n"))
    assert trace == Trace((0.0, 0.0, 1.5), (1.0, 1.0, 1.0), timed=True)
    assert list(arrivals(trace)) == [0.0, 0.0, 1.5]
    assert list(arrivals(trace, speed=3)) == [0.0, 0.0, 0.5]
    assert (trace.seconds, trace.requests) == (1.5, 3)


def test_counts(tmp_path: Path) -> None:
    trace = read(saved(tmp_path, "at,count\n0,2\n10,0\n30,3\n"))
    assert (trace.seconds, trace.requests) == (50.0, 5)
    moments = list(arrivals(trace, speed=10, seed=1))
    assert len(moments) == 5
    assert all(0 <= moment < 1 for moment in moments[:2]) and all(3 <= moment < 5 for moment in moments[2:])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line must be 'at' or 'at,count', not ''"),
        ("time\n1\n", "the first line must be 'at' or 'at,count', not 'time'"),
        ("at\n", "it has no lines"),
        ("at,count\n0,1\nx,2\n", "row 3: 'x,2': expected at,count"),
        ("at,count\n0\n", "row 2: '0': expected at,count"),
        ("at,count\n0,-1\n", "row 2: '0,-1': counts are 0 or more"),
        ("at,count\n0,nan\n", "row 2: '0,nan': counts are 0 or more"),
        ("at,count\n5,1\n5,1\n", "row 3: 5 does not come after 5"),
        ("at\n5\n4\n", "row 3: 4 does not come after 5"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(saved(tmp_path, text))
    assert message in str(caught.value)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(Invalid, match="No such file"):
        read(Path("nowhere.csv"))


def test_a_trace_survives_the_disk(tmp_path: Path) -> None:
    for trace in (shapes.bank_calls(days=1), Trace((0.0, 0.25), (1.0, 1.0), timed=True)):
        write(tmp_path / "t.csv", trace, ["made by a test"])
        assert read(tmp_path / "t.csv") == trace


@given(
    counts=st.lists(st.integers(0, 20), min_size=1, max_size=20),
    speed=st.floats(0.1, 100),
    scale=st.sampled_from([1.0, 2.0, 3.0]),
    seed=st.integers(0, 5),
)
def test_moments_are_in_order_and_all_there(counts: list[int], speed: float, scale: float, seed: int) -> None:
    trace = Trace(tuple(float(n) for n in range(len(counts))), tuple(map(float, counts)))
    moments = list(arrivals(trace, speed, scale, seed))
    assert moments == sorted(moments)
    assert len(moments) == sum(counts) * scale
    assert all(0 <= moment <= trace.seconds / speed for moment in moments)
    assert moments == list(arrivals(trace, speed, scale, seed)), "the seed decides"


def test_a_part_of_a_request_is_one_as_often_as_that() -> None:
    trace = Trace(tuple(map(float, range(2000))), (1.0,) * 2000)
    assert 900 < len(list(arrivals(trace, scale=0.5))) < 1100


def test_december_reaches_its_peak_once_and_is_never_below_its_base() -> None:
    rates = [count / width for _, width, count in shapes.december(50, 10, interval=600, seed=3).spans()]
    busiest = max(range(len(rates)), key=rates.__getitem__) * 600
    assert 480 < max(rates) < 520 and 45 < min(rates) < 55
    assert (1 + busiest // 86_400, 12 <= busiest % 86_400 / 3600 <= 16) == (23, True)


def test_some_days_of_december_are_those_days_of_the_month() -> None:
    month = shapes.december(100, 10, interval=3600, seed=1)
    part = shapes.december(100, 10, first=15, days=2, interval=3600, seed=2)
    assert part.seconds == 2 * 86_400
    for ours, theirs in zip(part.counts, month.counts[14 * 24 :], strict=False):
        assert abs(ours - theirs) < 0.05 * theirs


def test_the_week_of_a_bank() -> None:
    week = shapes.bank_calls(100, interval=60)
    rate = [count / 60 for count in week.counts]
    assert len(rate) == 7 * 24 * 60
    assert rate[MONDAY_10] > 4 * rate[MONDAY_3] and rate[MONDAY_10] > 10 * rate[SUNDAY_10]
    business = [rate[day * 1440 + minute] for day in range(5) for minute in range(7 * 60, 21 * 60)]
    assert 95 < sum(business) / len(business) < 105


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: shapes.december(base=0), "base 0 must be above 0"),
        (lambda: shapes.december(first=20, days=20), "20 days from December 20: it has the days 1 to 31"),
        (lambda: shapes.bank_calls(days=0), "days 0 at least 1"),
        (lambda: shapes.bank_calls(interval=0.5), "interval 0.5: must be from 1 second to a day"),
        (lambda: arrivals(Trace((0.0,), (1.0,)), speed=0), "speed 0 and scale 1: both must be above 0"),
    ],
)
def test_what_cannot_be_made_is_refused(make: object, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        make()  # type: ignore[operator]
    assert message in str(caught.value)


# A forecast against the bill of what the scaling machine ran: a day replayed second by second.


def test_the_forecast_of_a_replayed_day_is_within_a_tenth_of_what_ran() -> None:
    case = drawn("calls to a bank", lambda seed: bank_calls(50, days=1, seed=seed), 20, (2, 12))
    made = compared(case)
    assert made.most > 2 and made.changes > 2, "it scaled"
    assert 0.9 < made.expected / made.bill < 1.1
