"""Whatever the rates and the sizes, a block's expected factor is at most 1 while the versions do not differ by
more than the tolerance: that is all that the bound on false rollbacks rests on. Expectations are sums over every
outcome."""

import math
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.evidence import Counts
from tidegate.statistics.rates import EFFECTS, RateTest, log_ratio, project
from tidegate.statistics.rates import WEIGHTS as RATE_WEIGHTS
from tidegate.statistics.shares import WEIGHTS as SHARE_WEIGHTS
from tidegate.statistics.shares import ShareTest
from tidegate.statistics.stakes import Stakes

SIZES = st.integers(1, 6)
RATES = st.floats(0.001, 0.9)
TOLERANCES = st.sampled_from([0.0, 0.0005, 0.02, 0.2])
ROUNDING = 1e-9

Factor = Callable[[Counts, RateTest], float]


def outcomes(old_n: int, new_n: int, old: float, new: float) -> Iterator[tuple[Counts, float]]:
    """Every outcome of a block with its probability."""
    for old_k in range(old_n + 1):
        for new_k in range(new_n + 1):
            chance = math.comb(old_n, old_k) * old**old_k * (1 - old) ** (old_n - old_k)
            chance *= math.comb(new_n, new_k) * new**new_k * (1 - new) ** (new_n - new_k)
            yield (old_n, old_k, new_n, new_k), chance


def factor(counts: Counts, before: RateTest) -> float:
    return math.exp(before.update(counts).log_evidence - before.log_evidence)


def expected(factor: Factor, before: RateTest, old_n: int, new_n: int, old: float, new: float) -> float:
    return math.fsum(factor(counts, before) * chance for counts, chance in outcomes(old_n, new_n, old, new))


@st.composite
def pasts(draw: st.DrawFn) -> RateTest:
    """A test that has seen some blocks, equal or not."""
    test = RateTest(draw(TOLERANCES), old_requests=50, old_hits=draw(st.integers(0, 50)))
    for _ in range(draw(st.integers(0, 3))):
        old_n, new_n = draw(st.integers(0, 40)), draw(st.integers(0, 10))
        test = test.update((old_n, draw(st.integers(0, old_n)), new_n, draw(st.integers(0, new_n))))
        test = test.enter_stage() if draw(st.booleans()) else test
    return test


@given(pasts(), SIZES, SIZES, RATES, st.floats(0, 1))
def test_no_rates_within_the_tolerance_are_expected_to_give_evidence(
    before: RateTest, old_n: int, new_n: int, old: float, below: float
) -> None:
    new = max(0.0, min(1.0, (old + before.tolerance)) * below)
    assert expected(factor, before, old_n, new_n, old, new) <= 1 + ROUNDING


@given(pasts(), SIZES, SIZES, RATES)
def test_the_bound_holds_at_the_edge_of_the_tolerance(
    before: RateTest, old_n: int, new_n: int, old: float
) -> None:
    new = min(1.0, old + before.tolerance)
    assert expected(factor, before, old_n, new_n, old, new) <= 1 + ROUNDING


@given(SIZES, SIZES, RATES, st.sampled_from(EFFECTS), TOLERANCES)
def test_the_projection_is_the_closest_point_of_the_null_hypothesis(
    old_n: int, new_n: int, old: float, effect: float, tolerance: float
) -> None:
    new = min(old + tolerance + effect, 0.999)
    if new <= old + tolerance:
        return

    def distance(at: float) -> float:
        return old_n * divergence(old, at) + new_n * divergence(new, at + tolerance)

    best = project(old_n, new_n, old, new, tolerance)
    near = [best + step for step in (-1e-4, 1e-4) if 0 < best + step < 1 - tolerance]
    assert all(distance(best) <= distance(at) + 1e-12 for at in near)


def divergence(one: float, other: float) -> float:
    return one * math.log(one / other) + (1 - one) * math.log((1 - one) / (1 - other))


def naive(counts: Counts, before: RateTest) -> float:
    """Takes the old rate for known, instead of the closest point."""
    old = (before.old_hits + 0.1) / (before.old_requests + 10)
    _, _, new_n, new_k = counts
    new = min(old + 0.04, 0.999)
    return math.exp(new_k * math.log(new / old) + (new_n - new_k) * math.log((1 - new) / (1 - old)))


def peeking(counts: Counts, before: RateTest) -> float:
    """Chooses the alternative by the block that it is tested on."""
    old_n, old_k, new_n, new_k = counts
    old, new = (old_k + 0.1) / (old_n + 1), (new_k + 0.1) / (new_n + 1)
    return math.exp(log_ratio(counts, old, new, before.tolerance))


def without_tolerance(counts: Counts, before: RateTest) -> float:
    """Asks whether there is any difference."""
    return math.exp(log_ratio(counts, 0.1, 0.14, 0.0))


@pytest.mark.parametrize("wrong", [naive, peeking, without_tolerance])
def test_a_test_that_breaks_the_bound_is_noticed(wrong: Factor) -> None:
    before = RateTest(0.2, old_requests=100, old_hits=10)
    grid = [(old, old + 0.2) for old in (0.01, 0.05, 0.1, 0.2, 0.4)]
    assert any(expected(wrong, before, 4, 4, old, new) > 1 + ROUNDING for old, new in grid)


@st.composite
def dependent_blocks(draw: st.DrawFn) -> tuple[float, list[tuple[Counts, float]]]:
    """A tolerance, and blocks with probabilities whose expected difference of shares is within it: within a block
    the requests depend on one another as they like."""
    tolerance = draw(st.sampled_from([0.0, 0.01, 0.1]))
    size = draw(st.integers(1, 5))
    blocks = []
    for _ in range(size):
        old_n, new_n = draw(st.integers(1, 50)), draw(st.integers(1, 50))
        blocks.append((old_n, draw(st.integers(0, old_n)), new_n, draw(st.integers(0, new_n))))
    mean = math.fsum(b[3] / b[2] - b[1] / b[0] for b in blocks) / size
    # A block in which only the old version has the property balances the others.
    balance = (mean - tolerance) / (1 + mean) if mean > tolerance else 0.0
    chances = [(block, (1 - balance) / size) for block in blocks]
    return tolerance, [*chances, ((1, 1, 1, 0), balance)]


@given(dependent_blocks(), st.integers(0, 5))
def test_no_dependence_within_a_block_is_expected_to_give_evidence(
    drawn: tuple[float, list[tuple[Counts, float]]], past: int
) -> None:
    tolerance, chances = drawn
    before = ShareTest(tolerance)
    for number in range(past):
        before = before.update((10, number % 3, 10, 2))
    before = before.enter_stage() if past > 2 else before
    mean = math.fsum((b[3] / b[2] - b[1] / b[0]) * chance for b, chance in chances)
    assert mean <= tolerance + 1e-9
    found = math.fsum(math.exp(before.update(block).log_evidence) * chance for block, chance in chances)
    assert found <= math.exp(before.log_evidence) * (1 + 1e-6)


@given(st.lists(st.booleans(), max_size=80))
def test_the_parts_of_a_stake_add_up_to_it_whenever_stages_begin(stages: list[bool]) -> None:
    stakes = Stakes.on(SHARE_WEIGHTS)
    for begins in stages:
        stakes = stakes.enter_stage() if begins else stakes.multiply([0.0] * len(SHARE_WEIGHTS))
        assert stakes.log_evidence == pytest.approx(0, abs=1e-9)


@given(st.lists(st.integers(-3, 2), min_size=1, max_size=40))
def test_a_stage_that_begins_is_no_evidence(steps: list[int]) -> None:
    stakes = Stakes.on(SHARE_WEIGHTS)
    for step in steps:
        stakes = stakes.multiply([float(step)] * len(SHARE_WEIGHTS))
    assert stakes.enter_stage().log_evidence == pytest.approx(stakes.log_evidence, abs=1e-9)


def test_the_weights_of_each_test_add_up_to_one() -> None:
    assert math.fsum(RATE_WEIGHTS) == pytest.approx(1) == math.fsum(SHARE_WEIGHTS)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), max_size=30)
)
def test_evidence_is_always_a_number(blocks: list[Counts]) -> None:
    rate, share = RateTest(0.0005), ShareTest(0.1)
    for old_n, old_k, new_n, new_k in blocks:
        counts = (old_n, min(old_k, old_n), new_n, min(new_k, new_n))
        rate, share = rate.update(counts), share.update(counts)
        assert math.isfinite(rate.log_evidence)
        assert math.isfinite(share.log_evidence)
