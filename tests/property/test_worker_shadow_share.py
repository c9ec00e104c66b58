"""How evenly a share of the requests is copied."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.domain.traffic import WHOLE
from tidegate.serving.front.sampling import EvenSampler

shares = st.integers(0, WHOLE)
seeds = st.integers(0, 2**32 - 1)


@given(shares, seeds, st.integers(1, 2_000))
def test_of_any_number_from_the_first_on_the_share_is_taken_to_within_one(
    share: int, seed: int, count: int
) -> None:
    even, taken = EvenSampler(share, seed), 0
    for number in range(1, count + 1):
        taken += even.take()
        assert abs(taken - number * share / WHOLE) <= 1


@given(shares, shares, seeds, st.integers(0, 300), st.integers(100, 300))
def test_a_share_that_changes_counts_from_then_on(old: int, new: int, seed: int, before: int, after: int) -> None:
    even = EvenSampler(old, seed)
    for _ in range(before):
        even.take()
    even.share = new
    assert abs(sum(even.take() for _ in range(after)) - after * new / WHOLE) <= 2


@settings(max_examples=40)
@given(st.integers(500, 5_000), seeds, st.integers(2, 12), st.integers(0, 11))
def test_a_regular_part_of_the_traffic_is_neither_missed_nor_all_that_is_seen(
    share: int, seed: int, every: int, first: int
) -> None:
    even = EvenSampler(share, seed)
    taken = [even.take() for _ in range(every * 4_000)][first % every :: every]
    assert 0.5 < sum(taken) / (len(taken) * share / WHOLE) < 2
