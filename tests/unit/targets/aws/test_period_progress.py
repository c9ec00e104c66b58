"""Counts of CloudWatch by periods: nothing is counted twice or lost, and only what is complete counts as known."""

from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import FleetPeriod, FleetSecond
from tidegate.targets.aws.period_counts import PeriodCounts, latency, spread
from tidegate.targets.aws.period_progress import PeriodProgress

FLEET = FleetId("fraud", 1, "AllTraffic")


@given(st.integers(0, 5000), st.integers(0, 5000), st.sampled_from([1, 10, 60]))
def test_a_period_is_spread_over_its_seconds_without_loss(requests: int, failed: int, period: int) -> None:
    failed = min(requests, failed)
    found = spread(FLEET, "v1", 600, PeriodCounts(requests, failed), 2, period)
    assert sum(one.invocations for one in found) == requests
    assert sum(one.errors_5xx for one in found) == failed
    assert all(600 <= one.second < 600 + period for one in found)


@given(st.sampled_from([1, 10, 60]), st.lists(st.integers(0, 50), min_size=1, max_size=6))
def test_late_numbers_are_passed_on_once(period: int, arrivals: list[int]) -> None:
    progress, passed_on, total = PeriodProgress(settle=2 * period, period=period), 0, 0
    start = 1200
    for step, more in enumerate(arrivals):
        now = start + step * max(10, period)
        total += more
        assert progress.begin({"fraud"}, now) is not None
        passed_on += sum(one.invocations for one in progress.add(FLEET, "v1", start, PeriodCounts(total), {}))
        progress.end(now, {})
        if start + period <= progress.coverage()["fraud"].through:
            break  # complete: it is asked for no more
    assert passed_on == total


def test_a_period_is_known_once_it_is_complete() -> None:
    progress = PeriodProgress(settle=3, period=1)
    assert progress.begin({"fraud"}, 100) == (100, 101)
    progress.end(100, {})
    assert progress.coverage()["fraud"].through == 100, "nothing yet"
    assert progress.begin({"fraud"}, 105) == (100, 106)
    progress.end(105, {})
    assert progress.coverage()["fraud"].through == 102
    assert progress.begin({"fraud"}, 105) is None, "asked for in this period already"


Arrival = tuple[int, int, int]
"""Seconds after the begin of a period, requests that come by then, and errors."""
ARRIVALS = st.lists(st.tuples(st.integers(0, 350), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=6)


def visible(arrivals: list[Arrival], age: int) -> PeriodCounts:
    """Errors may be seen before and after their requests."""
    requests = sum(one[1] for one in arrivals if one[0] <= age)
    return PeriodCounts(requests, min(requests, sum(one[2] for one in arrivals if one[0] <= age)))


@given(ARRIVALS)
def test_datapoints_that_are_late_and_revised_are_counted_once(arrivals: list[Arrival]) -> None:
    progress, start = PeriodProgress(settle=120), 1200
    seconds: list[FleetSecond] = []
    periods: list[FleetPeriod] = []
    for age in range(0, 500, 10):
        span = progress.begin({"fraud"}, start + age)
        assert span is not None
        if progress.first("fraud") <= start < span[1]:
            seconds += progress.add(FLEET, "v1", start, visible(arrivals, age), {})
        progress.end(start + age, {})
        reports = progress.periods()["fraud"]
        assert not reports or start + age >= start + 180, "no period before it is complete"
        periods += reports
    whole = visible(arrivals, 500)
    assert sum(one.errors_5xx for one in seconds) == sum(one.failed for one in periods) == whole.failed
    for requests in (sum(one.invocations for one in seconds), sum(one.requests for one in periods)):
        assert whole.requests <= requests <= whole.requests + whole.failed, "a late error may count as a request"
    assert all(one.invocations >= one.errors_5xx for one in seconds), "an error without a request counts nowhere"
    assert all(one.requests >= one.failed for one in periods)


def test_a_period_grows_and_its_latencies_are_passed_on_once() -> None:
    progress = PeriodProgress(settle=0)
    found: list[FleetSecond] = []
    for now in (1200, 1260, 1320):
        progress.begin({"fraud"}, now)
        slow = {"model_latency": latency(now - 1100, {50.0: 1000.0, 100.0: 2000.0})}
        found += progress.add(FLEET, "v1", 1200, PeriodCounts(now - 1100), slow)
        progress.end(now, {})
    assert [one.model_latency.count for one in found if one.model_latency is not None] == [160.0]
    assert sum(one.invocations for one in found) == 220
