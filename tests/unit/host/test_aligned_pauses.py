"""Loops that wake up together look as often as they are to."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tidegate.host.aligned_pauses import APART, BEGIN, LATE, MIDDLE, SELDOM, align

moments = st.floats(1.7e9, 2.1e9)


@given(st.floats(0.0, 1e4), moments)
def test_a_pause_is_hardly_longer_than_asked_and_not_much_shorter(seconds: float, now: float) -> None:
    pause = align(seconds, now)
    assert 0 <= pause <= seconds + LATE + 1e-6
    assert pause > seconds + LATE - (APART if seconds < SELDOM else 1.0) - 1e-6


@given(st.floats(APART, 1e4), moments)
def test_it_ends_at_one_of_four_moments_of_a_second(seconds: float, now: float) -> None:
    if seconds >= SELDOM:
        assert abs((now + align(seconds, now) - MIDDLE) % 1.0 - 0.5) > 0.4999
    parts = (now + align(seconds, now) - BEGIN) / APART
    assert abs(parts - round(parts)) < 1e-4


@given(
    st.sampled_from((0.25, 0.5, 1.0, 2.0, 15.0)),
    moments,
    st.lists(st.floats(-0.004, LATE / 2), min_size=2, max_size=20),
)
def test_a_loop_of_little_work_keeps_its_rhythm(seconds: float, now: float, late: list[float]) -> None:
    """Its timers fire a little early or late, and none of its looks is skipped or made twice for that."""
    looks = []
    for one in late:
        now += align(seconds, now) + one
        looks.append(now)
    assert all(abs(after - before - seconds) < 0.02 for before, after in pairwise(looks))


@given(st.floats(0.0, APART, exclude_max=True), moments)
def test_a_short_pause_is_left_as_it_is(seconds: float, now: float) -> None:
    assert align(seconds, now) == seconds
