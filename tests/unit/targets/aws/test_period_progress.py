"""Counts of CloudWatch by periods: nothing is counted twice or lost, and only what is complete counts as known."""

from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.fleet import FleetId
from tidegate.targets.aws.period_counts import PeriodCounts, spread
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
        progress.end(now)
        if start + period <= progress.coverage()["fraud"].through:
            break  # complete: it is asked for no more
    assert passed_on == total


def test_a_period_is_known_once_it_is_complete() -> None:
    progress = PeriodProgress(settle=3, period=1)
    assert progress.begin({"fraud"}, 100) == (100, 101)
    progress.end(100)
    assert progress.coverage()["fraud"].through == 100, "nothing yet"
    assert progress.begin({"fraud"}, 105) == (100, 106)
    progress.end(105)
    assert progress.coverage()["fraud"].through == 102
    assert progress.begin({"fraud"}, 105) is None, "asked for in this period already"
