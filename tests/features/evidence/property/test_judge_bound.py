"""The bound on false failures of a judge of texts: whatever it likes, it rarely fails an equal version."""

from collections.abc import Callable
from random import Random

import pytest

from tidegate.domain.evidence import Comparison, EvidenceBlock, EvidenceConfig, Finding, Judging
from tidegate.features.evidence import judge
from tidegate.features.evidence.judging import LETTERS, add_all, count_verdict
from tidegate.features.evidence.pair_judge import pair_key

JUDGING = Judging("http://judge", "m", asks=400)
CONFIG = EvidenceConfig((Comparison.JUDGE,), judging=JUDGING)
RATE = CONFIG.false_rollback_rate

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


def rollout(decide: Judge, chance: Random, new: Callable[[Random], Text], pairs: int = 150) -> judge.EvidenceState:
    """Judge pairs in random order, one or two in a block. Some requests come in clumps of a topic, whose answers are
    alike in length and quality."""
    state, at = judge.begin(CONFIG, ("main",)), 0
    while at < pairs:
        sums: dict[str, tuple[int, float, float]] = {}
        for _ in range(chance.choice((1, 1, 2))):
            at += 1
            old, answered, new_first = text(chance), new(chance), chance.random() < 0.5
            shown = (answered, old) if new_first else (old, answered)
            sums = add_all(sums, count_verdict(decide(*shown, chance), new_first))
        keyed = {pair_key("main", Comparison.JUDGE, name): one for name, one in sums.items()}
        state = judge.fold(state, EvidenceBlock(at, 1, 0, {}, keyed))
    return state


def text(chance: Random) -> Text:
    return chance.gauss(0, 1), chance.randint(1, 10_000)


@pytest.mark.parametrize("decide", JUDGES)
def test_a_biased_judge_fails_equal_versions_no_more_often_than_the_spec_allows(decide: Judge) -> None:
    chance, rollouts = Random(5), 2_000
    failed = sum(judge.judge(rollout(decide, chance, text)).finding is Finding.FAIL for _ in range(rollouts))
    assert failed <= rollouts * RATE, "the bound holds at every look, and a failure is final"
