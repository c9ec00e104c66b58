"""The bound on false failures of a judge of texts: whatever it likes, it rarely fails an equal version."""

import math
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.evidence import NO_SUMS, Comparison, EvidenceConfig, Judging
from tidegate.features.evidence.judge import false_alarm_rates
from tidegate.features.evidence.judging import LETTERS, count_verdict
from tidegate.features.evidence.pairs import PREFERRED
from tidegate.statistics.means import NetTest, add_sums

CONFIG = EvidenceConfig((Comparison.JUDGE,), judging=Judging("http://judge", "m"))
LIMIT = -math.log(false_alarm_rates(CONFIG, 1)[Comparison.JUDGE])

Text = tuple[float, int]
"""How good an answer is, and how long."""
Judge = Callable[[Text, Text, Random], str]
"""Decides between the answer that it is shown first and the other one."""


def by_quality(first: Text, second: Text, chance: Random) -> str:
    return LETTERS[0] if first[0] > second[0] else LETTERS[1]


def by_length(first: Text, second: Text, chance: Random) -> str:
    return LETTERS[0] if first[1] > second[1] else LETTERS[1]


def always_first(first: Text, second: Text, chance: Random) -> str:
    return LETTERS[0]


def mostly_second(first: Text, second: Text, chance: Random) -> str:
    return LETTERS[1] if chance.random() < 0.9 else by_length(first, second, chance)


def by_mood(first: Text, second: Text, chance: Random) -> str:
    return chance.choice(LETTERS)


JUDGES = (by_quality, by_length, always_first, mostly_second, by_mood)


def rollout(decide: Judge, chance: Random, new: Callable[[Random], Text], pairs: int = 150) -> float:
    """Return the most evidence at any look of a rollout whose pairs are judged in random order, a few in a block.
    Answers of a block are about one topic, so that they resemble one another."""
    test, most, at = NetTest(CONFIG.judge), 0.0, 0
    while at < pairs:
        topic, sums = chance.gauss(0, 2), NO_SUMS
        for _ in range(chance.randint(1, 8)):
            at += 1
            old, answered, new_first = text(chance), new(chance), chance.random() < 0.5
            shown = [
                (good + topic, length) for good, length in ((answered, old) if new_first else (old, answered))
            ]
            letter = decide(shown[0], shown[1], chance)
            sums = add_sums(sums, count_verdict(letter, new_first)[PREFERRED])
        test = test.update(sums)
        most = max(most, test.log_evidence)
    return most


def text(chance: Random) -> Text:
    return chance.gauss(0, 1), chance.randint(1, 10_000)


def worse(chance: Random) -> Text:
    return chance.gauss(-1.5, 1), chance.randint(1, 10_000)


@pytest.mark.parametrize("decide", JUDGES)
def test_a_biased_judge_fails_equal_versions_no_more_often_than_the_spec_allows(decide: Judge) -> None:
    """Of 10,000 rollouts in all, at every look."""
    chance, rollouts = Random(5), 2_000
    failed = sum(rollout(decide, chance, text) >= LIMIT for _ in range(rollouts))
    assert failed <= rollouts * CONFIG.false_rollback_rate


def test_a_judge_that_sees_quality_finds_a_worse_version_and_one_that_sees_places_does_not() -> None:
    chance = Random(6)
    assert sum(rollout(by_quality, chance, worse) >= LIMIT for _ in range(50)) >= 48
    assert not any(rollout(always_first, chance, worse) >= LIMIT for _ in range(50))


@given(st.floats(0, 0.5), st.floats(0, 1), st.floats(0, 1))
def test_the_expected_growth_by_a_pair_is_at_most_one_within_the_tolerance(
    tolerance: float, ties: float, part: float
) -> None:
    """``part``: of the largest preference for the old version that is within the tolerance."""
    decided = 1 - ties
    net = part * min(tolerance, decided)
    chances = {1.0: (decided + net) / 2, 0.0: (decided - net) / 2, 0.5: ties}
    before = NetTest(tolerance).stakes.first
    for bet in range(len(before)):
        grown = sum(
            likely * math.exp(NetTest(tolerance).update((1, value, value * value)).stakes.first[bet])
            for value, likely in chances.items()
        )
        assert grown <= 1 + 1e-9
