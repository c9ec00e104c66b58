"""The bound on false rollbacks by labels of people: whatever the judge says, and whatever is in a group."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.evidence_judge import CONFIG, INDIFFERENT, NEVER, RATE, WORSE, find_first, is_held
from tidegate.features.evidence.people import part_of_rate
from tidegate.statistics.preferences import ENOUGH, GROUP, PreferenceTest, correct_label, spread_of

VALUES = st.sampled_from((0.0, 0.5, 1.0))
GROUPS = st.lists(st.tuples(VALUES, VALUES), min_size=GROUP, max_size=GROUP)
"""What people and what the judge prefers in each pair."""


@given(GROUPS, st.floats(0, 0.5))
def test_the_expected_growth_is_at_most_one_for_any_judge_where_people_are_within_the_tolerance(
    group: list[tuple[float, float]], more: float
) -> None:
    """Over the choice of the labelled pair alone: nothing is assumed of the pairs."""
    people, judged = zip(*group, strict=True)
    tolerance = max(0.0, 2 * sum(people) / GROUP - 1) + more
    for bet in range(len(PreferenceTest(tolerance).stakes.first)):
        grown = sum(
            math.exp(PreferenceTest(tolerance).update(people[chosen], judged, chosen).stakes.first[bet]) / GROUP
            for chosen in range(GROUP)
        )
        assert grown <= 1 + 1e-9


@given(GROUPS, st.sampled_from((0.0, 0.5, 1.0)))
def test_a_corrected_label_has_the_mean_of_its_group_whatever_the_judge_says(
    group: list[tuple[float, float]], reliance: float
) -> None:
    people, judged = zip(*group, strict=True)
    found = [correct_label(people[chosen], judged, chosen, reliance) for chosen in range(GROUP)]
    assert sum(found) / GROUP == pytest.approx(2 * sum(people) / GROUP - 1)
    assert all(abs(one) <= spread_of(reliance) + 1e-9 for one in found)


@pytest.mark.parametrize("texts", INDIFFERENT, ids=lambda one: one.name)
def test_a_biased_judge_rolls_versions_back_no_more_often_than_its_level(texts: object) -> None:
    """At every one of 200 looks. The largest number that chance explains at the level with 1 in 1,000."""
    chance, rollouts = Random(3), 300
    failed = sum(find_first(texts, chance) < NEVER for _ in range(rollouts))  # type: ignore[arg-type]
    assert failed <= _most_by_chance(rollouts, part_of_rate(RATE))


def test_a_judge_that_likes_length_alone_holds_what_people_let_pass() -> None:
    chance = Random(4)
    assert all(is_held(INDIFFERENT[0], chance) for _ in range(20))
    assert CONFIG.judging is not None


def test_a_version_that_people_find_worse_is_found_by_the_labels_that_decide() -> None:
    chance = Random(5)
    good, _, misled, *_ = WORSE
    assert sum(find_first(good, chance) <= ENOUGH for _ in range(50)) >= 48
    assert sum(find_first(misled, chance) <= 2 * ENOUGH for _ in range(50)) >= 48, "by the labels alone"


def _most_by_chance(count: int, rate: float) -> int:
    left, hits = 1 - (1 - rate) ** count, 0
    while left > 0.001:
        hits += 1
        left -= math.comb(count, hits) * rate**hits * (1 - rate) ** (count - hits)
    return hits
