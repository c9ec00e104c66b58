"""How a judge of texts is corrected by labels of people: false rollbacks, power, and how many labels it takes.

    python -m bench.evidence_judge [--rollouts 2000] [--keep]

A rollout has up to 800 judged pairs, of each four of which one has a label: two hundred labels, and every label is a
look. A biased judge prefers the longer answer with a probability of 0.9, and the new version writes shorter ones."""

import argparse
import math
from dataclasses import dataclass
from random import Random
from statistics import median

from bench import tables
from tidegate.domain.evidence import NO_SUMS, Comparison, EvidenceConfig, Judging
from tidegate.features.evidence.judge import false_alarm_rates
from tidegate.features.evidence.people import part_of_rate
from tidegate.statistics.means import NetTest, add_sums
from tidegate.statistics.preferences import ENOUGH, GROUP, PreferenceTest

CONFIG = EvidenceConfig((Comparison.JUDGE,), judging=Judging("http://judge", "m", asks=800, labels=200))
RATE = false_alarm_rates(CONFIG, 1)[Comparison.JUDGE]
LIMIT = -math.log(part_of_rate(RATE))
MOST, LOOKS = 200, (30, 50, ENOUGH, 100, 200)
NEVER = MOST + 1

Pair = tuple[float, float]
"""What a person prefers and what the judge prefers: 1 for the old version's answer, 0 for the new one's, else 1/2."""


@dataclass(frozen=True)
class Texts:
    """``old``, ``new``: parts of the pairs in which people prefer that version's answer. ``agrees``: part in which
    the judge says what people say; in the others it prefers the old answer with probability ``biased``."""

    name: str
    old: float
    new: float
    agrees: float
    biased: float = 0.5

    def draw(self, chance: Random) -> Pair:
        place = chance.random()
        person = 1.0 if place < self.old else 0.0 if place < self.old + self.new else 0.5
        if chance.random() < self.agrees:
            return person, person
        return person, float(chance.random() < self.biased)


INDIFFERENT = (
    Texts("a judge that likes length, 0.9", 0.5, 0.5, 0.0, 0.9),
    Texts("the same, and people often say neither", 0.2, 0.2, 0.0, 0.9),
    Texts("the same, and right in half of the pairs", 0.5, 0.5, 0.5, 0.9),
    Texts("a judge that likes length always", 0.5, 0.5, 0.0, 1.0),
    Texts("a judge that always says the contrary", 0.5, 0.5, 0.0, 0.0),
    Texts("people at the tolerance, the judge likes length", 0.55, 0.45, 0.0, 0.9),
)
WORSE = (
    Texts("80 of 100 old answers preferred, good judge", 0.8, 0.2, 0.9),
    Texts("80 of 100, fair judge", 0.8, 0.2, 0.6),
    Texts("80 of 100, a judge that likes the new answers' length", 0.8, 0.2, 0.0, 0.1),
    Texts("70 of 100, good judge", 0.7, 0.3, 0.9),
    Texts("70 of 100, fair judge", 0.7, 0.3, 0.6),
    Texts("60 of 100 (20 neither), good judge", 0.6, 0.2, 0.9),
)


def find_first(texts: Texts, chance: Random) -> int:
    """Return the number of labels after which people's test fails the new version; NEVER: it does not."""
    test = PreferenceTest(CONFIG.judge)
    for number in range(1, MOST + 1):
        group, chosen = [texts.draw(chance) for _ in range(GROUP)], chance.randrange(GROUP)
        test = test.update(group[chosen][0], [judged for _, judged in group], chosen)
        if test.log_evidence >= LIMIT:
            return number
    return NEVER


def is_held(texts: Texts, chance: Random) -> bool:
    """Whether the judge alone holds the rollout with as many pairs as there are for ENOUGH labels."""
    test = NetTest(CONFIG.judge)
    for _ in range(ENOUGH):
        sums = NO_SUMS
        for _ in range(GROUP):
            judged = texts.draw(chance)[1]
            sums = add_sums(sums, (1, judged, judged * judged))
        test = test.update(sums)
        if test.log_evidence >= LIMIT:
            return True
    return False


def measure(rollouts: int, chance: Random) -> list[tuple[str, ...]]:
    rows = list[tuple[str, ...]]()
    for texts in (*INDIFFERENT, *WORSE):
        found = [find_first(texts, chance) for _ in range(rollouts)]
        held = sum(is_held(texts, chance) for _ in range(rollouts // 10)) / (rollouts // 10)
        parts = (sum(one <= look for one in found) / rollouts for look in LOOKS)
        middle = median(found)
        rows.append(
            (
                texts.name,
                f"{held:.0%}",
                *(f"{part:.2%}" for part in parts),
                f"{middle:g}" if middle < NEVER else "-",
            )
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=2_000)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    tables.show(
        "evidence-judge",
        f"Judged texts with labels of people (level {part_of_rate(RATE):.2%}, tolerance {CONFIG.judge:.0%},"
        f" {given.rollouts:,} rollouts)",
        ("versions", "judge alone holds", *(f"rolled back by {look} labels" for look in LOOKS), "median labels"),
        measure(given.rollouts, Random(7)),
        keep=given.keep,
        command="evidence_judge",
    )


if __name__ == "__main__":
    main()
