"""Traffic of live runs: what is due is what the phases say, however often somebody looks."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tidegate.features.lessons.run_records import Phase, Traffic

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PHASES = st.lists(st.builds(Phase, st.floats(0.5, 900), st.floats(0, 200)), min_size=1, max_size=5).map(tuple)


@given(PHASES, st.lists(st.floats(-10, 6_000), min_size=2, max_size=20).map(sorted))
def test_due_requests_rise_and_are_those_of_the_phases(phases: tuple[Phase, ...], looks: list[float]) -> None:
    traffic = Traffic(START, phases)
    due = [traffic.due(START + timedelta(seconds=at)) for at in looks]
    assert due == sorted(due)
    whole = sum(phase.seconds * phase.rate for phase in phases)
    assert abs(traffic.due(traffic.until + timedelta(days=1)) - whole) <= 1
    for (before, first), (after, second) in zip(
        zip(looks, due, strict=True), zip(looks[1:], due[1:], strict=True), strict=False
    ):
        assert second - first <= (after - before) * max(phase.rate for phase in phases) + 1


@given(PHASES, st.integers(-10_000, 6_000_000))
def test_the_rate_is_that_of_the_phase_and_none_outside(phases: tuple[Phase, ...], at: int) -> None:
    """``at``: milliseconds."""
    traffic = Traffic(START, phases)
    now = START + timedelta(milliseconds=at)
    rate = traffic.rate_at(now)
    if at < 0 or now > traffic.until + timedelta(milliseconds=1):
        assert rate == 0
    else:
        assert rate == 0 or rate in [phase.rate for phase in phases]
