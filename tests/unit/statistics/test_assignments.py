"""However the requests of a block depend on one another, and which of them the new version moves: what a block
multiplies the evidence by is at most 1 in expectation, over all that chance could have given to each version.
Expectations are sums over every outcome."""

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.statistics import assignments
from tidegate.statistics.assignments import (
    EFFECTS,
    LEAST_SHARE,
    TOGETHER,
    WEIGHTS,
    AssignmentTest,
    choose_bet,
    group_size,
    log_bound,
    log_expectation,
)

ROUNDING = 1e-9
Group = tuple[int, float]
"""How many misses of the old version are moved together, and with which probability."""


def expected(hits: int, groups: Sequence[Group], new_n: int, bet: tuple[float, float, float]) -> float:
    """Expected factor of a block in which the old version has ``hits``, over all choices of the requests that the new
    version gets and of the groups that it moves."""
    gain, loss, most = bet
    members = [-1] * hits + [number for number, (size, _) in enumerate(groups) for _ in range(size)]
    total, count = 0.0, 0
    for chosen in itertools.combinations(range(len(members)), new_n):
        got = [members[at] for at in chosen]
        found = got.count(-1)
        factor = math.exp(gain * found - loss * (hits - found) - most)
        for number, (_, chance) in enumerate(groups):
            factor *= 1 + chance * math.expm1(gain * got.count(number))
        total, count = total + factor, count + 1
    return total / count


@st.composite
def blocks(draw: st.DrawFn) -> tuple[int, list[Group], int, int, float]:
    """Hits, groups of misses at the edge of the tolerance, requests of the new version, the size of a group at most,
    and the tolerance."""
    whole = draw(st.integers(2, 9))
    tolerance, together = draw(st.sampled_from([0.05, 0.1, 0.3])), draw(st.integers(1, whole))
    hits, sizes = draw(st.integers(0, whole)), list[int]()
    while (left := whole - hits - sum(sizes)) > 0:
        sizes.append(draw(st.integers(1, min(left, together))))
    moved, groups = tolerance * whole, list[Group]()
    for number, size in enumerate(sizes):
        later = sum(sizes[number + 1 :])
        least, most = max(0.0, (moved - later) / size), min(1.0, moved / size)
        chance = draw(st.sampled_from([min(least, 1.0), most, min(1.0, moved / (size + later))]))
        moved -= chance * size
        groups.append((size, chance))
    return hits, groups, draw(st.integers(1, whole - 1)), together, tolerance


@given(blocks(), st.sampled_from([LEAST_SHARE, 0.25, 0.5, 0.65]), st.sampled_from(EFFECTS))
def test_no_requests_of_which_few_are_moved_are_expected_to_give_evidence(
    block: tuple[int, list[Group], int, int, float], share: float, effect: float
) -> None:
    hits, groups, new_n, together, tolerance = block
    old_n = hits + sum(size for size, _ in groups) - new_n
    bet = choose_bet(old_n, new_n, share, effect, tolerance, together)
    assert expected(hits, groups, new_n, bet) <= 1 + ROUNDING
    none = [(size, 0.0) for size, _ in groups]
    assert expected(hits, none, new_n, bet) <= 1 + ROUNDING


@pytest.mark.parametrize("together", [1, 2, 4])
@pytest.mark.parametrize("share", [0.25, 0.5])
@pytest.mark.parametrize("effect", EFFECTS)
def test_groups_that_are_alike_by_chance_are_not_expected_to_give_evidence(
    together: int, share: float, effect: float
) -> None:
    """Each group is a hit of the old version with its share, and one of the new version's with the tolerance more."""
    whole, new_n, tolerance = 8, 3, 0.1
    bet, total = choose_bet(whole - new_n, new_n, share, effect, tolerance, together), 0.0
    for hits in range(whole // together + 1):
        groups = whole // together - hits
        chance = math.comb(groups + hits, hits) * share**hits * (1 - share) ** groups
        total += chance * expected(hits * together, [(together, tolerance / (1 - share))] * groups, new_n, bet)
    assert total <= 1 + ROUNDING


def test_a_test_that_takes_equal_requests_for_independent_is_noticed() -> None:
    bet = choose_bet(5, 3, 0.25, EFFECTS[-1], 0.1, 1)
    assert expected(0, [(8, 0.1)], 3, bet) > 1.1
    assert expected(0, [(8, 0.1)], 3, choose_bet(5, 3, 0.25, EFFECTS[-1], 0.1, 8)) <= 1 + ROUNDING


@pytest.mark.parametrize(("old_n", "new_n"), [(38, 12), (90, 10), (25, 25), (20, 60), (3, 1)])
@pytest.mark.parametrize("together", [1, TOGETHER, 20])
def test_the_largest_expectation_is_found_and_its_bound_is_larger(old_n: int, new_n: int, together: int) -> None:
    whole = old_n + new_n
    for share, effect in itertools.product((LEAST_SHARE, 0.25, 0.5, 0.75), EFFECTS):
        size = min(together, whole)
        gain, loss, most = choose_bet(old_n, new_n, share, effect, 0.1, size)
        each = (
            log_expectation(old_n, new_n, hits, gain, loss, min(1.0, 0.1 * whole / max(1, whole - hits)), size)
            for hits in range(whole + 1)
        )
        assert max(each) <= most + ROUNDING
        assert most <= log_bound(old_n, new_n, gain, loss, 0.1, size) + ROUNDING


def test_large_blocks_take_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    small = choose_bet(120, 40, 0.5, EFFECTS[0], 0.1, TOGETHER)
    monkeypatch.setattr(assignments, "EXACT", 10)
    choose_bet.cache_clear()
    large = choose_bet(120, 40, 0.5, EFFECTS[0], 0.1, TOGETHER)
    choose_bet.cache_clear()
    assert large[:2] == small[:2]
    assert large[2] > small[2]


def test_equal_requests_are_as_many_as_chance_gave_both_versions() -> None:
    assert group_size(30, 10, 1) == TOGETHER
    assert group_size(30, 10, 15) == 20
    assert group_size(30, 10, None) == 40
    assert group_size(2, 1, 1) == 3, "not more than there are"


def test_a_difference_is_found_in_few_requests_and_in_more_if_they_are_equal() -> None:
    def blocks_to_find(alike: int | None) -> int:
        test, count = AssignmentTest(0.1).update((200, 100, 0, 0)), 0
        while test.log_evidence < math.log(1000):
            test, count = test.update((38, 19, 12, 12), alike), count + 1
        return count

    assert blocks_to_find(1) <= 5
    assert blocks_to_find(1) < blocks_to_find(15) < blocks_to_find(None) <= 40


def test_a_share_that_cannot_exceed_the_tolerance_gives_no_evidence() -> None:
    test = AssignmentTest(0.1).update((200, 190, 0, 0))
    assert test.update((30, 28, 10, 10), 1).log_evidence == test.log_evidence
    assert AssignmentTest(0.1).update((10, 5, 10, 10), 1).stakes.blocks == 0, "the old share is not known yet"


def test_the_weights_add_up_to_one() -> None:
    assert math.fsum(WEIGHTS) == pytest.approx(1)
    assert len(WEIGHTS) == len(EFFECTS)
