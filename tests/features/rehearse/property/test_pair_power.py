"""What comparisons of pairs are said to find is what they find, in pairs drawn by chance."""

import math
import random

import pytest

from tidegate.domain.evidence import OF_TRAFFIC, Comparison, EvidenceBlock, EvidenceConfig, Finding, Judging, Sums
from tidegate.domain.pairs import FeatureRow, Pair
from tidegate.features.evidence import judge
from tidegate.features.evidence.judging import count_verdict
from tidegate.features.evidence.ledger import PairCounters
from tidegate.features.evidence.pair_judge import pair_key
from tidegate.features.rehearse.promise.evidence_power import chance_to_find, smallest_difference
from tidegate.features.rehearse.promise.pair_power import USUAL_SPREAD
from tidegate.features.rehearse.promise.passage import ComparedStage

PAIRED = EvidenceConfig(compare=(Comparison.ERRORS, Comparison.PAIRED))
FEATURES = EvidenceConfig(compare=(Comparison.ERRORS, Comparison.FEATURES))
ROLLOUTS = 40
NAMES = tuple(str(number) for number in range(20))
APART = 0.25
"""How far computed and drawn probabilities may lie apart: three deviations of the draw."""
COPIES = ComparedStage(0.0, 60, 100)


def found_after(config: EvidenceConfig, draw: random.Random, difference: float, seconds: int) -> float:
    """The second in which it is found."""
    counters, state = PairCounters.begin(config), judge.begin(config, ("v",))
    paired = Comparison.PAIRED in config.compare
    for second in range(1, seconds + 1):
        block = [_pair(draw, difference, paired) for _ in range(20 if paired else 4)]
        sums: dict[str, Sums] = counters.count("v", block)
        state = judge.fold(state, EvidenceBlock(second, 1, 0, {}, sums))
        if judge.judge(state).finding is Finding.FAIL:
            return second
    return math.inf


def _pair(draw: random.Random, difference: float, paired: bool) -> Pair:
    logit = draw.gauss(-2, 1.5)
    spread = USUAL_SPREAD * PAIRED.paired.limits(amounts=False).distance
    other = logit + draw.gauss(difference, spread) if paired else logit
    old, new = (1 / (1 + math.exp(-one)) for one in (logit, other))
    if paired:
        return Pair(old, new)
    before = tuple(draw.gauss(0, 1) for _ in NAMES)
    after = (before[0] + 5 if draw.random() < difference else before[0], *before[1:])
    return Pair(old, new, traced=True, features=(FeatureRow("a", NAMES, before, NAMES, after),))


@pytest.mark.parametrize("difference", [0.55, 0.7])
def test_a_bias_is_found_as_surely_as_computed(difference: float) -> None:
    draw = random.Random(1)
    taken = [found_after(PAIRED, draw, difference, 45) for _ in range(ROLLOUTS)]
    for seconds in (15, 25, 45):
        said = chance_to_find(Comparison.PAIRED, PAIRED, [ComparedStage(0.0, seconds, 100)], 0.0, difference)
        measured = sum(one <= seconds for one in taken) / ROLLOUTS
        assert said <= measured + APART, "it promises too much"


def test_a_column_is_found_as_surely_as_computed() -> None:
    draw = random.Random(2)
    taken = [found_after(FEATURES, draw, 0.2, 40) for _ in range(ROLLOUTS)]
    for seconds in (10, 15, 20, 40):
        said = chance_to_find(Comparison.FEATURES, FEATURES, [ComparedStage(0.0, seconds, 100)], 0.0, 0.2)
        assert said == pytest.approx(sum(one <= seconds for one in taken) / ROLLOUTS, abs=APART)


def test_a_preference_is_found_as_surely_as_computed_and_not_beyond_the_questions() -> None:
    draw, difference = random.Random(3), 0.5
    config = EvidenceConfig((Comparison.JUDGE,), judging=Judging("http://judge", "m", asks=120))
    taken = [preferred_after(config, draw, difference, 120) for _ in range(ROLLOUTS)]
    for seconds in (30, 60, 120, 500):
        said = chance_to_find(Comparison.JUDGE, config, [ComparedStage(0.0, seconds, 100)], 0.0, difference)
        assert said == pytest.approx(sum(one <= seconds for one in taken) / ROLLOUTS, abs=APART)


def preferred_after(config: EvidenceConfig, draw: random.Random, difference: float, pairs: int) -> float:
    """The second in which it is found that the old answers are preferred so much more often."""
    state = judge.begin(config, ("v",))
    for second in range(1, pairs + 1):
        sums = count_verdict("A" if draw.random() < (1 + difference) / 2 else "B", new_first=False)
        keyed = {pair_key("v", Comparison.JUDGE, name): one for name, one in sums.items()}
        state = judge.fold(state, EvidenceBlock(second, 1, 0, {}, keyed))
        if judge.judge(state).finding is Finding.FAIL:
            return second
    return math.inf


def test_copies_find_what_traffic_cannot_find_yet() -> None:
    config = EvidenceConfig(compare=tuple(Comparison))
    smallest = {one: smallest_difference(one, config, [COPIES], 0.01, 0.95) for one in Comparison}
    assert all(smallest[one] is None for one in OF_TRAFFIC)
    bias, rows = smallest[Comparison.PAIRED], smallest[Comparison.FEATURES]
    assert bias is not None and config.paired.limits(amounts=False).bias < bias < 1.0
    assert rows is not None and config.features.rows < rows < 0.2
