"""Traffic of live runs: how many requests are due does not depend on how often somebody looks."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tidegate.features.lessons.run_records import RunTraffic

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@given(
    st.floats(0.5, 900), st.floats(0, 200), st.lists(st.floats(-10, 6_000), min_size=2, max_size=20).map(sorted)
)
def test_due_requests_rise_at_the_rate_and_end(seconds: float, rate: float, looks: list[float]) -> None:
    traffic = RunTraffic(START, seconds, rate)
    due = [traffic.due(START + timedelta(seconds=at)) for at in looks]
    assert due == sorted(due)
    assert abs(traffic.due(traffic.until + timedelta(days=1)) - seconds * rate) <= 1
    for (before, first), (after, second) in zip(
        zip(looks, due, strict=True), zip(looks[1:], due[1:], strict=True), strict=False
    ):
        assert second - first <= (after - before) * rate + 1
