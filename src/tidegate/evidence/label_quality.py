"""Late labels of two versions: does the new one rank, or hit, worse than the old one by more than a tolerance? Pure.

Each version answered requests of its own, so this compares two samples. AUC is the probability that a positive scores
above a negative. So positives and negatives of a version are paired, each once, in the order in which their labels
came: pairs are independent, and the share of those in the wrong order is one minus the AUC. The two shares are
compared by ``rates.RateTest``, whose bound holds at every look. Amounts are compared by the share of errors above the
old version's median error, and feedback by the share of answers that people do not like.

Pairing each label once costs power: the comparison of all with all would need a half to two thirds of the labels, but
its error bound holds only for one look."""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from zlib import crc32

from tidegate.domain.evidence import Counts
from tidegate.evidence.rates import RateTest

AUC_TOLERANCE = 0.02
ERROR_TOLERANCE = 0.05
"""Further errors above the old version's median."""
FEEDBACK_TOLERANCE = 0.05
"""Further answers that people do not like."""
DISLIKED = 0.5
"""Feedback below it says that."""
FALSE_ALARMS = 0.01
BLOCK = 10
"""Pairs, or amounts, of each version in a block."""
LEARNED = 200
"""Errors of the old version that its median is taken from; they are not compared."""


MOST_WAITING = 100_000
"""Labels of a class and a version that wait for one of the other class; beyond that the oldest are left out,
which does not depend on their scores."""


@dataclass(frozen=True)
class TimedLabel:
    """``new``: of the new version."""

    new: bool
    id: str
    score: float
    value: float


@dataclass(frozen=True)
class LabelComparison:
    """``evidence``: logarithm of the largest e-value over that at which the new version is worse: 1 or more.
    ``counts``: pairs (or amounts) and wrong ones, of the old and of the new version."""

    evidence: float
    counts: Counts


@dataclass
class _Side:
    """One version's labels that wait for one of the other class, and what was counted since the last block."""

    waiting: tuple[deque[TimedLabel], deque[TimedLabel]] = field(
        default_factory=lambda: (deque(maxlen=MOST_WAITING), deque(maxlen=MOST_WAITING))
    )
    pairs: int = 0
    wrong: int = 0

    def add(self, one: TimedLabel) -> None:
        mine, others = self.waiting[int(one.value)], self.waiting[1 - int(one.value)]
        if not others:
            mine.append(one)
            return
        other = others.popleft()
        positive, negative = (one, other) if one.value == 1 else (other, one)
        self.count(_is_wrong(positive, negative))

    def count(self, wrong: bool) -> None:
        self.pairs, self.wrong = self.pairs + 1, self.wrong + wrong


def compare_classes(labels: Iterable[TimedLabel], false_alarms: float = FALSE_ALARMS) -> LabelComparison:
    """Labels of 0 and 1, in the order in which they came."""
    return _compare(((one, None) for one in labels), AUC_TOLERANCE, false_alarms)


def compare_amounts(labels: Iterable[TimedLabel], false_alarms: float = FALSE_ALARMS) -> LabelComparison:
    """Labels that are amounts, in the order in which they came."""
    return _compare(_judge_amounts(labels), ERROR_TOLERANCE, false_alarms)


def compare_feedback(labels: Iterable[TimedLabel], false_alarms: float = FALSE_ALARMS) -> LabelComparison:
    """What people think of answers, from 0 to 1, in the order in which it came."""
    return _compare(((one, one.value < DISLIKED) for one in labels), FEEDBACK_TOLERANCE, false_alarms)


def _judge_amounts(labels: Iterable[TimedLabel]) -> Iterator[tuple[TimedLabel, bool]]:
    """With whether the error of each is above the median of the old version's first ones."""
    learned: list[float] = []
    median = 0.0
    for one in labels:
        error = abs(one.score - one.value)
        if len(learned) >= LEARNED:
            yield one, error > median
        elif not one.new:
            learned.append(error)
            median = sorted(learned)[len(learned) // 2]


def _compare(
    labels: Iterable[tuple[TimedLabel, bool | None]], tolerance: float, false_alarms: float
) -> LabelComparison:
    """``labels``: with whether each is wrong by itself; None: pairs are formed. A block is closed once both versions
    have enough in it, which does not depend on what is wrong."""
    test, most, totals = RateTest(tolerance), 0.0, [0, 0, 0, 0]
    sides = (_Side(), _Side())
    for one, wrong in labels:
        if wrong is None:
            sides[one.new].add(one)
        else:
            sides[one.new].count(wrong)
        if all(side.pairs >= BLOCK for side in sides):
            test = _close(test, sides, totals)
            most, sides = max(most, test.log_evidence), (_Side(sides[0].waiting), _Side(sides[1].waiting))
    test = _close(test, sides, totals)
    most = max(most, test.log_evidence)
    return LabelComparison(most / -math.log(false_alarms), (totals[0], totals[1], totals[2], totals[3]))


def _close(test: RateTest, sides: tuple[_Side, _Side], totals: list[int]) -> RateTest:
    counts = (sides[0].pairs, sides[0].wrong, sides[1].pairs, sides[1].wrong)
    for place, count in enumerate(counts):
        totals[place] += count
    return test.update(counts)


def _is_wrong(positive: TimedLabel, negative: TimedLabel) -> bool:
    """Equal scores are wrong in half of the cases, which the ids decide."""
    if positive.score == negative.score:
        return bool(crc32(f"{positive.id}\n{negative.id}".encode()) & 1)
    return positive.score < negative.score
