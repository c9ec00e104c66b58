"""A version with a harm is cleared of it with the probability that the settings allow, at all looks together."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.assure import KINDS, run
from tidegate.statistics.assurance import HarmRateTest
from tidegate.statistics.rates import log_ratio

HOLDS = [
    (harm, kind)
    for harm, (_, kinds) in KINDS.items()
    for kind in kinds
    if kind not in ("sticky, 5", "outages")  # what the documentation says of requests as units
]


@pytest.mark.parametrize(("harm", "kind"), HOLDS)
def test_a_version_at_the_harm_is_seldom_cleared_of_it(harm: str, kind: str) -> None:
    """1,000 rollouts at 1 %: more than 24 would be too many in all but 1 of 10,000 tries."""
    assert run(harm, kind, 1.0, 1000, 150, seed=7).passed <= 24


@pytest.mark.parametrize("harm", KINDS)
def test_an_equal_version_is_cleared_at_last(harm: str) -> None:
    assert run(harm, KINDS[harm][1][0], 0.0, 20, 1500, seed=8).passed >= 18


@given(
    st.sampled_from([0.002, 0.01, 0.1, 0.4]),
    st.sampled_from([1e-4, 0.01, 0.2]),
    st.sampled_from([0.0, 0.5]),
    st.floats(0, 0.6),
    st.integers(1, 12),
    st.integers(1, 6),
)
def test_a_block_of_independent_requests_is_not_expected_to_clear_a_harm_that_is_there(
    harm: float, usual: float, part: float, old: float, old_n: int, new_n: int
) -> None:
    """The expectation of a block's factor is summed over all its outcomes."""
    new = min(1.0, old + harm)
    expected = math.fsum(
        math.comb(old_n, old_k) * old**old_k * (1 - old) ** (old_n - old_k)
        * math.comb(new_n, new_k) * new**new_k * (1 - new) ** (new_n - new_k)
        * math.exp(log_ratio((new_n, new_k, old_n, old_k), usual + part * harm, usual, -harm))
        for old_k in range(old_n + 1)
        for new_k in range(new_n + 1)
    )  # fmt: skip
    assert expected <= 1 + 1e-6


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))))
def test_any_counts_leave_a_number(blocks: list[tuple[int, int, int, int]]) -> None:
    test = HarmRateTest(0.005)
    for old_n, old_k, new_n, new_k in blocks:
        test = test.update((old_n, min(old_k, old_n), new_n, min(new_k, new_n)))
    assert math.isfinite(test.log_evidence)
