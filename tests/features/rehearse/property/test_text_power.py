"""What a promise says of refusals is what is found, in rollouts drawn by chance."""

import random

import pytest

from tidegate.domain.evidence import Comparison, EvidenceBlock, EvidenceConfig, Finding
from tidegate.features.evidence.judge import begin, fold, judge
from tidegate.features.rehearse.promise.evidence_power import TEXTS_PER_SECOND, USUAL_REFUSALS, chance_to_find
from tidegate.features.rehearse.promise.passage import ComparedStage

CONFIG = EvidenceConfig(compare=(Comparison.TEXT,))
ROLLOUTS = 120
MORE, LESS = 0.1, 0.22
"""By how much the computed probability may be above and below the drawn one: deviations of the draw, and the
approximation, which errs on the safe side."""
SIZE = round(TEXTS_PER_SECOND)


def found_after(chance: random.Random, difference: float, most: int) -> int:
    """Seconds until a version fails that refuses more often by this; beyond the most if it does not."""
    state = begin(CONFIG, ("v",))
    for second in range(1, most + 1):
        old = sum(chance.random() < USUAL_REFUSALS for _ in range(SIZE))
        new = sum(chance.random() < USUAL_REFUSALS + difference for _ in range(SIZE))
        counts = {
            "v/text/refusals": (SIZE, old, SIZE, new),
            "v/text/repetitions": (SIZE, 0, SIZE, 0),
            "v/text/empty": (SIZE, 0, SIZE, 0),
        }
        state = fold(state, EvidenceBlock(second, 1, 0, counts))
        if judge(state).finding is Finding.FAIL:
            return second
    return most + 1


@pytest.mark.parametrize(("difference", "looks"), [(0.15, (15, 30, 50)), (0.3, (12, 20, 30))])
def test_refusals_are_found_as_surely_as_computed(difference: float, looks: tuple[int, ...]) -> None:
    chance = random.Random(4)
    taken = [found_after(chance, difference, max(looks)) for _ in range(ROLLOUTS)]
    for seconds in looks:
        said = chance_to_find(
            Comparison.TEXT, CONFIG, [ComparedStage(0.1, seconds, 100)], USUAL_REFUSALS, difference
        )
        drawn = sum(one <= seconds for one in taken) / ROLLOUTS
        assert drawn - LESS <= said <= drawn + MORE
