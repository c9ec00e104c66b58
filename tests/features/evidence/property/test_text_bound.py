"""Versions that write alike: how often one is turned back by its texts."""

import random

from tidegate.domain.evidence import Comparison, EvidenceBlock, EvidenceConfig, Finding
from tidegate.domain.text_answers import TextAnswer
from tidegate.features.evidence.comparisons import SideCounts, add_sides, count_block, find_thresholds
from tidegate.features.evidence.judge import begin, fold, judge
from tidegate.features.evidence.texts import count_texts

RATE = 0.2
ROLLOUTS = 40
BLOCKS = 50
CONFIG = EvidenceConfig(compare=(Comparison.TEXT,), false_rollback_rate=RATE)


def write(chance: random.Random, mood: float) -> TextAnswer:
    """``mood``: what disturbs both versions alike."""
    length = round(chance.lognormvariate(4 + mood, 0.8), 1)
    return TextAnswer(
        began=0,
        tokens=round(length),
        given=round(length) if chance.random() < 0.7 else None,
        first=round(chance.lognormvariate(11 + mood, 0.4), -3),
        speed=round(chance.lognormvariate(4 - mood, 0.2)),
        refusal=chance.random() < 0.05 + max(0.0, mood) / 4,
        repeated=chance.random() < 0.02,
        empty=chance.random() < 0.02,
        phrases=1,
    )


def fails(chance: random.Random, rate: float, config: EvidenceConfig = CONFIG, blocks: int = BLOCKS) -> bool:
    """One rollout, looked at after each block."""
    state, past, mood = begin(config, ("v",)), SideCounts(), 0.0
    for at in range(blocks):
        mood = 0.9 * mood + chance.gauss(0, 0.1)
        sides = [
            SideCounts(texts=count_texts([write(chance, mood) for _ in range(size)]))
            for size in (chance.randrange(4, 12), chance.randrange(0, round(4 * rate) + 2))
        ]
        counts = count_block("v", config, find_thresholds("v", config, past), *sides)
        past = add_sides(past, sides[0])
        state = fold(state, EvidenceBlock(at, 1, 0, counts))
        if judge(state).finding is Finding.FAIL:
            return True
    return False


def test_equal_versions_are_turned_back_no_more_often_than_was_chosen() -> None:
    chance = random.Random(20)
    found = sum(fails(chance, 1.0) for _ in range(ROLLOUTS))
    # The chance of more than this at the bound itself is 1 in 1,000.
    assert found <= 17
